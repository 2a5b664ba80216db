"""What comes before the first head that is off is not computed again, and never where that would matter."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import jtviz
from jtviz.analysis.attribution.progress import Progress
from jtviz.analysis.importance.examples import examples_of
from jtviz.analysis.importance.metrics import metric_named
from jtviz.analysis.importance.opened import opened
from jtviz.capture import HookedTransformer, hook
from jtviz.capture.intervention.ablation import Mask
from tests.zoo.plain import WIDTH, HeadsByLayer

TOLERANCE = 1e-6


def measured(hooked: HookedTransformer, dataset: Any, metric: Any, *, can_skip: bool) -> tuple[Any, bool]:
    """Return the metric of each example with each head off, and whether anything was given back."""
    with (
        opened(hooked, examples_of(hooked, dataset), 4, can_skip=can_skip) as session,
        Progress("", 0, shown=False, seconds=0) as progress,
    ):
        masks = [Mask(heads=(head,)) for head in session.heads]
        masks += [Mask(heads=session.heads[-3:]), Mask(heads=session.heads[::3]), Mask(heads=session.heads)]
        return session.measure(metric_named(metric), masks, None, progress)[1], session.can_skip


def vectors() -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [{"x": torch.randn(1, 5, WIDTH, generator=generator)} for _ in range(4)]


def first(output: Tensor, _: Any) -> Tensor:
    return output[0, :8].sum()


@pytest.mark.parametrize("metric", ["loss", "probability"])
def test_of_both_sides_of_a_translator_nothing_changes(metric: str) -> None:
    pairs = [("I like to drink tea.", "我喜欢喝茶。"), ("I am tired.", "我很累。"), ("It rains.", "下雨了。")]
    kept, was_skipped = measured(jtviz.demo.translator(), pairs, metric, can_skip=True)
    again, was_not = measured(jtviz.demo.translator(), pairs, metric, can_skip=False)
    assert (was_skipped, was_not) == (True, False)
    np.testing.assert_allclose(kept, again, atol=TOLERANCE, rtol=0)
    assert np.ptp(again, axis=0).min() > 1e-3


def test_of_a_bare_transformer_of_torch_nothing_changes() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Transformer(16, 2, 2, 2, 24, batch_first=True).eval()
        dataset = [{"src": torch.randn(1, 5, 16), "tgt": torch.randn(1, 4, 16)} for _ in range(4)]
    kept, was_skipped = measured(hook(model), dataset, first, can_skip=True)
    again, _ = measured(hook(model), dataset, first, can_skip=False)
    assert was_skipped
    np.testing.assert_allclose(kept, again, atol=TOLERANCE, rtol=0)


def counted(model: Any) -> Counter[int]:
    """Return how often each layer computes."""
    calls: Counter[int] = Counter()
    for number, layer in enumerate(model.layers):
        # What runs in a layer is counted: a layer that is given back is still called.
        layer.linear1.register_forward_hook(lambda *_, number=number: calls.update([number]))
    return calls


def test_early_layers_compute_less_often() -> None:
    model = HeadsByLayer().eval()
    calls = counted(model)
    examples_of(hook(model), vectors())
    found = []
    for can_skip in (True, False):
        calls.clear()
        measured(hook(model), vectors(), first, can_skip=can_skip)
        found.append([calls[number] for number in range(3)])
    kept, again = found
    assert len(set(again)) == 1
    # There are 2, 4 and 8 heads, and three masks of several, of which one is of the last layer alone.
    assert again[0] - kept[0] >= 4 + 8 + 1 - 2
    assert kept[0] < kept[1] < kept[2]


class Noted(nn.Module):
    def __init__(self, seen: list[Any]) -> None:
        super().__init__()
        self.seen = seen
        self.inner = nn.TransformerEncoderLayer(WIDTH, 2, 48, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(self.inner(x))
        output: Tensor = self.seen[-1]
        return output


class Beside(nn.Module):
    """Its layers leave what they compute in a list, too."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.layers = nn.ModuleList(Noted(self.seen) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.clear()
        for layer in self.layers:
            x = layer(x)
        return x + torch.stack(self.seen).sum(0)


class Dicts(nn.Module):
    """Its layers return no tensors."""

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.TransformerEncoderLayer(WIDTH, 2, 48, batch_first=True)

        def forward(self, given: Any) -> Any:
            return {"x": self.inner(given["x"])}

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Dicts.Layer() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        given: Any = {"x": x}
        for layer in self.layers:
            given = layer(given)
        found: Tensor = given["x"]
        return found


class InPlace(HeadsByLayer):
    """Changes in place what a layer returned."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).add_(1).mul_(0.5)
        return x


@pytest.mark.parametrize(
    ("build", "is_skipped"), [(Beside, False), (Dicts, False), (InPlace, True), (HeadsByLayer, True)]
)
def test_what_layers_leave_elsewhere_is_not_missed(build: Any, is_skipped: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build().eval()
    kept, was_skipped = measured(hook(model), vectors(), first, can_skip=True)
    again, _ = measured(hook(model), vectors(), first, can_skip=False)
    assert was_skipped is is_skipped
    np.testing.assert_allclose(kept, again, atol=TOLERANCE * np.abs(again).max(), rtol=0)
    assert np.ptp(again, axis=0).min() > 1e-3
