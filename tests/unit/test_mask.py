"""Where a query cannot look, as `Trace.mask` says it, against what the model was told."""

import pytest
import torch

import jtviz
from jtviz.analysis import head_measures
from jtviz.capture import JtvizError, Trace
from tests.zoo.families import FAMILIES


def test_a_causal_mask_is_the_upper_triangle() -> None:
    trace = jtviz.hook(jtviz.demo.translator()).trace("I like tea.")
    mask = trace.mask("decoder", layer=1)
    later = torch.ones(mask.shape[1:], dtype=torch.bool).triu(1)
    assert torch.equal(mask, later.expand_as(mask))
    assert not trace.mask("cross", layer=0).any()


def test_a_window_is_seen_as_such() -> None:
    window = torch.ones(40, 40).triu(-4).tril().bool()
    trace = Trace.from_qkv(*torch.randn(2, 1, 2, 40, 8), mask=window, stage="decoder")
    assert torch.equal(trace.mask("decoder", layer=0, head=0), ~window)
    part = trace.mask("decoder", layer=0, head=1, rows=[30, 3], cols=[28, 29])
    assert torch.equal(part, ~window[[30, 3], 28:30])


@pytest.mark.parametrize("name", ["Mistral", "BERT", "GPT-2"])
def test_what_cannot_be_looked_at_has_no_weight_and_the_rest_has(name: str) -> None:
    family = FAMILIES[name]
    for implementation in ("sdpa", "eager"):
        trace = jtviz.hook(family.build(implementation)).trace(inputs=family.inputs(2, "right"))
        for stage in trace.stages:
            mask = trace.mask(stage, layer=0)
            weights = trace.attention(stage, layer=0)
            assert not weights[mask].any(), implementation
            seen = ~mask.all(-1)
            assert (weights > 0)[seen].sum() > 0.9 * (~mask)[seen].sum(), implementation


def test_measures_of_a_sample_come_near_those_of_all() -> None:
    torch.manual_seed(0)
    trace = Trace.from_qkv(*torch.randn(2, 2, 3, 600, 8), causal=True)
    every, some = head_measures(trace, "decoder"), head_measures(trace, "decoder", sample=200)
    torch.testing.assert_close(some.entropy, every.entropy, atol=0.1, rtol=0)
    torch.testing.assert_close(some.distance, every.distance, atol=0, rtol=0.1)
    same = head_measures(trace, "decoder", sample=600)
    torch.testing.assert_close(same.previous_token, every.previous_token, atol=0, rtol=0)
    with pytest.raises(JtvizError, match="at least 1"):
        head_measures(trace, "decoder", sample=0)
