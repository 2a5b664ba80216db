"""A model made by hand, in which one property can be read linearly from a known layer on and not before.

Each word is two numbers *a* and *b*. The third block, and no other, computes ``|a + b| - |a - b|``, which has
the sign of ``a * b``: before it, no line separates the words by that sign, and after it one number does.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

WIDTH = 8
KNOWN_FROM = 3
"""As in `Trace.hidden`: what the third block returns."""


class Block(nn.Module):
    """Attention that copies the mean of *a* and *b* elsewhere, and a feed-forward layer of four units."""

    def __init__(self, *, is_planted: bool) -> None:
        super().__init__()
        self.value, self.out = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4, bias=False), nn.Linear(4, WIDTH, bias=False)
        with torch.no_grad():
            for weight in self.parameters():
                weight.zero_()
            self.value.weight[:2, :2] = torch.eye(2)
            self.out.weight[4:6, :2] = torch.eye(2)
            self.up.weight[:, :2] = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
            if is_planted:
                self.down.weight[2] = torch.tensor([1.0, 1.0, -1.0, -1.0])

    def forward(self, x: Tensor) -> Tensor:
        value = self.value(x).unflatten(-1, (2, -1)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(torch.zeros_like(value), torch.zeros_like(value), value)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        added: Tensor = self.down(self.up(x).relu())
        return x + added


class Planted(nn.Module):
    """Four blocks on a vocabulary that is alike in all four quadrants of *a* and *b*."""

    def __init__(self, words: int = 160) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, WIDTH)
        self.layers = nn.ModuleList(Block(is_planted=i == KNOWN_FROM - 1) for i in range(4))
        drawn = torch.Generator().manual_seed(0)
        first = torch.rand(words // 4, 2, generator=drawn) + 0.5
        signs = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
        with torch.no_grad():
            self.embedding.weight.zero_()
            self.embedding.weight[:, :2] = (signs[:, None] * first).flatten(0, 1)

    def forward(self, ids: Tensor) -> Tensor:
        x: Tensor = self.embedding(ids)
        for layer in self.layers:
            x = layer(x)
        return x

    def label(self, word: int) -> str:
        """Return the planted property of a word."""
        return "same" if float(self.embedding.weight[word, :2].detach().prod()) > 0 else "other"


def tokenizer(words: int = 160) -> Any:
    """Return one token for each word ``w0`` to ``w159``."""
    made = Tokenizer(models.WordLevel({f"w{i}": i for i in range(words)}, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def texts(words: int = 160, length: int = 4) -> tuple[list[str], list[list[int]]]:
    """Return texts in which each word is once, and the words of each."""
    order = torch.randperm(words, generator=torch.Generator().manual_seed(1)).view(-1, length).tolist()
    return [" ".join(f"w{i}" for i in row) for row in order], order
