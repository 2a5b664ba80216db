"""Weighed attention, against products over whole patterns, values and projections."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import jtviz
from jtviz.analysis import WEIGHTINGS, weighted
from jtviz.capture import JtvizError, OutOfRangeError, hook
from tests.zoo.families import FAMILIES


def by_hand(trace: jtviz.Trace, weighting: str, stage: str, layer: int) -> Tensor:
    weights = trace.attention(stage, layer=layer)
    site = trace.site(stage, layer)
    values = site.value.float()[list(trace.key_heads(stage, layer))]
    moved = values @ trace.output_projection(stage, layer) if weighting == "output" else values
    if weighting == "gradient":
        return weights * trace.gradient(stage, layer=layer)
    if weighting == "raw":
        return weights
    # The weighed vectors themselves, [heads, queries, keys, d], then their lengths.
    lengths: Tensor = (weights[..., None] * moved[:, None]).norm(dim=-1)
    return lengths


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("family", ["GPT-2", "Llama", "BERT", "T5"])
def test_weighed_attention_is_the_length_of_what_moves(family: str, weighting: str) -> None:
    case = FAMILIES[family]
    model = case.build("sdpa")
    trace = hook(model).trace(inputs=case.inputs(1, "none"), target=lambda output: output[0][0, 1].sum())
    for stage in trace.stages:
        wanted = by_hand(trace, weighting, stage, 1)
        found = weighted(trace, weighting, stage, layer=1)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-4)


PARTS: list[dict[str, Any]] = [
    {"head": 1},
    {"rows": 2},
    {"cols": -1},
    {"head": [2, 0], "rows": slice(1, 3), "cols": [3, 0]},
    {"head": 0, "rows": 1, "cols": 2},
    {"head": 0, "cols": slice(1, 2)},
]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_the_part_of_the_whole(weighting: str, part: dict[str, Any]) -> None:
    trace = hook(jtviz.demo.translator()).trace("I like tea.", target="茶")
    whole = weighted(trace, weighting, "cross", layer=1)
    found = weighted(trace, weighting, "cross", layer=1, **part)
    wanted = whole
    for dim, name in ((2, "cols"), (1, "rows"), (0, "head")):
        index = part.get(name, slice(None))
        wanted = wanted[(slice(None),) * dim + (index,)]
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_what_a_trace_cannot_say_is_refused() -> None:
    patterns = jtviz.from_arrays(torch.eye(3).expand(1, 1, 3, 3), list("abc"))
    with pytest.raises(JtvizError, match="kept no values"):
        weighted(patterns, "value", "decoder", layer=0)
    with pytest.raises(JtvizError, match="no gradients"):
        weighted(patterns, "gradient", "decoder", layer=0)
    with pytest.raises(OutOfRangeError, match="attention is weighed by 'raw', 'value'"):
        weighted(patterns, "rollout", "decoder", layer=0)
