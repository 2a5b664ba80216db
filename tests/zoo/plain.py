"""Models that need no library but PyTorch, for the table and the test of what works how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

WIDTH, HEADS = 32, 4


class HandWritten(nn.Module):
    """Attention as textbooks write it."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.pattern = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(-1, (HEADS, -1)).transpose(-2, -3) for part in (self.q, self.k, self.v))
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        later = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).triu(1)
        self.pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        mixed: Tensor = self.out((self.pattern @ v).transpose(-2, -3).flatten(-2))
        return x + mixed


class HeadsByLayer(nn.Module):
    """Layers that differ in their number of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, heads, 48, batch_first=True) for heads in (2, 4, 8)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


@dataclass(frozen=True)
class Plain:
    """One model, what its forward takes, and what is peculiar to it."""

    build: Callable[[], nn.Module]
    inputs: Callable[[], dict[str, Any]]
    peculiar: str = ""

    def made(self) -> tuple[nn.Module, dict[str, Any]]:
        """Return the model in evaluation mode, and inputs, the same ones every time."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return self.build().eval(), self.inputs()


def _encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, HEADS, 48, batch_first=True), 2)


def _layer() -> nn.Module:
    return nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)


def _source() -> dict[str, Any]:
    return {"src": torch.randn(1, 9, WIDTH)}


def _itself(*, need_weights: bool) -> dict[str, Any]:
    x = torch.randn(1, 9, WIDTH)
    return {"query": x, "key": x, "value": x, "need_weights": need_weights}


PLAIN: dict[str, Plain] = {
    "`nn.Transformer`": Plain(
        lambda: nn.Transformer(WIDTH, HEADS, 2, 3, 48, batch_first=True),
        lambda: {
            "src": torch.randn(1, 9, WIDTH),
            "tgt": torch.randn(1, 7, WIDTH),
            "tgt_mask": nn.Transformer.generate_square_subsequent_mask(7),
            "tgt_is_causal": True,
        },
        "sides differ in depth",
    ),
    "`nn.TransformerEncoder`": Plain(_encoder, _source, "its fast path is on"),
    "`nn.MultiheadAttention`": Plain(_layer, lambda: _itself(need_weights=False)),
    "the same, asked for weights": Plain(_layer, lambda: _itself(need_weights=True)),
    "written by hand": Plain(HandWritten, lambda: {"x": torch.randn(1, 9, WIDTH)}, "softmax of a product"),
    "layers of 2, 4 and 8 heads": Plain(HeadsByLayer, lambda: {"x": torch.randn(1, 9, WIDTH)}),
    "`torch.compile`d": Plain(lambda: torch.compile(_encoder(), backend="eager"), _source),  # type: ignore[arg-type, return-value]
}
