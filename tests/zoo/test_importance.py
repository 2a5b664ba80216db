"""What is not computed again changes no number, in every family and implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jtviz.analysis.attribution.progress import Progress
from jtviz.analysis.importance.examples import examples_of
from jtviz.analysis.importance.metrics import metric_named
from jtviz.analysis.importance.opened import opened
from jtviz.capture import hook
from jtviz.capture.intervention.ablation import Mask

from .families import FAMILIES, Family

TOLERANCE = 1e-6
SHOWN = {name: family for name, family in FAMILIES.items() if family.refused is None}
CASES = [(name, way) for name, family in SHOWN.items() for way in family.implementations]


def data(family: Family) -> list[dict[str, Tensor]]:
    """Return four examples of one length."""
    inputs = family.inputs(4, "none")
    inputs.pop("attention_mask", None)
    return [{name: value[i : i + 1] for name, value in inputs.items()} for i in range(4)]


def mixed(logits: Tensor, _: Any) -> Tensor:
    """Return a number that every logit has a share in."""
    return (logits.flatten() * torch.arange(logits.numel()).cos()).sum()


@pytest.mark.parametrize(("name", "way"), CASES)
def test_blocks_that_are_given_back_change_no_number(name: str, way: str) -> None:
    family = SHOWN[name]
    hooked = hook(family.build(way))
    examples, metric = examples_of(hooked, data(family)), metric_named(mixed)
    found = []
    for can_skip in (True, False):
        with opened(hooked, examples, 4, can_skip=can_skip) as session:
            assert session.can_skip == can_skip
            assert family.batches == (len(session.batches[0]) == 4)
            masks = [Mask(heads=(head,)) for head in session.heads]
            masks += [Mask(units=((place.stage, place.layer, 3),)) for place in session.places.units]
            with Progress("", 0, shown=False, seconds=0) as progress:
                found.append(session.measure(metric, masks, None, progress))
    scale = np.abs(found[1][1]).max()
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=TOLERANCE * scale, rtol=0)
    # Something was off each time.
    assert (np.abs(found[0][1] - found[0][0]).max(1) > 0).mean() > 0.9
    assert torch.is_grad_enabled()
