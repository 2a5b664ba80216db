"""Direct logit attribution on the embedded models: what it says, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import jtviz
from jtviz.analysis.layers import direct_logit_attribution
from jtviz.capture import JtvizError, hook
from tests.zoo.families import FAMILIES

TOLERANCE = 1e-4


def test_the_terms_of_a_translation_sum_to_the_logit_of_each_character() -> None:
    translator = jtviz.demo.translator()
    trace = translator.trace("I like to drink tea.")
    assert trace.logits is not None
    for row, wanted in enumerate(trace.logits.max(-1).values.tolist()):
        found = direct_logit_attribution(trace, row)
        assert sum(term.value for term in found.terms[:-1]) == pytest.approx(wanted, rel=TOLERANCE)
        assert found.target.value == pytest.approx(wanted, rel=TOLERANCE)
        assert {stage for stage, _, _ in found.heads} == {"decoder", "cross"}


def test_induction_heads_name_the_token_that_followed_before() -> None:
    trace = jtviz.demo.induction().trace("qmzqmzqm")
    found = direct_logit_attribution(trace)
    assert found.target.name == "z"
    assert found.value == pytest.approx(float(trace.logits[-1].max()), rel=TOLERANCE)  # type: ignore[index]
    assert sum(term.value for term in found.terms[:-1]) == pytest.approx(found.value, rel=TOLERANCE)
    of_layer = [sum(v for (_, at, _), v in found.heads.items() if at == layer) for layer in (0, 1)]
    assert of_layer[1] > 0.8 * found.value > of_layer[0]
    # The model has no feed-forward layers.
    assert not found.feed_forward
    assert {"embedding", "positions"} == set(found.embeddings)


def test_without_a_head_of_the_last_layer_the_logit_is_less_what_it_added_up_to_the_norm() -> None:
    hooked = jtviz.demo.induction()
    trace = hooked.trace("qmzqmzqm")
    found = direct_logit_attribution(trace)
    best = max(found.heads, key=lambda head: found.heads[head])
    scale: Any = hooked.model.norm
    before = trace.hidden("decoder")[-1, -1]
    with hooked.ablate(heads={best[:2]: [best[2]]}):
        off = hooked.trace("qmzqmzqm")
    after = off.hidden("decoder")[-1, -1]
    # The norm of the intact forward, by hand.
    sigma = (before.var(correction=0) + scale.eps).sqrt()
    with torch.no_grad():
        lost = (before - after - (before - after).mean()) / sigma * scale.weight
        wanted = lost @ trace.unembedding()[:, found.target.index]
    assert found.heads[best] == pytest.approx(float(wanted), rel=TOLERANCE)


def test_why_this_rather_than_that_is_the_difference_term_by_term() -> None:
    trace = jtviz.demo.translator().trace("I like to drink tea.")
    both = direct_logit_attribution(trace, "茶", against="水")
    row = both.target.row or 0
    one, other = (direct_logit_attribution(trace, {"row": row, "token": token}) for token in "茶水")
    assert both.value == pytest.approx(one.value - other.value, rel=TOLERANCE)
    for head, value in both.heads.items():
        assert value == pytest.approx(one.heads[head] - other.heads[head], abs=1e-4)
    assert "−" in repr(both)


def test_the_class_of_a_note_is_taken_apart_too() -> None:
    trace = jtviz.demo.classifier().trace("Man, 60. Has crushing chest pain.")
    found = direct_logit_attribution(trace, "urgent")
    assert found.value == pytest.approx(float(trace.logits[found.target.index]), rel=TOLERANCE)  # type: ignore[index]
    assert sum(term.value for term in found.terms[:-1]) == pytest.approx(found.value, rel=TOLERANCE)


def test_a_table_has_each_term_and_units_sum_to_their_layer() -> None:
    trace = jtviz.demo.translator().trace("I like tea.", target="茶")
    found = direct_logit_attribution(trace)
    assert found.target.name == "茶"  # that of the trace
    table = found.to_pandas()
    assert table.value.sum() == pytest.approx(found.value)
    assert set(table.kind) == {"embedding", "head", "feed_forward", "bias", "rest"}
    row = table[(table.kind == "feed_forward") & (table.layer == 1)].iloc[0]
    assert row.value == pytest.approx(found.units["decoder", 1].sum())
    assert found.units["decoder", 1].shape == (512,)


def test_the_model_is_left_as_it_was() -> None:
    hooked = jtviz.demo.translator()
    trace = hooked.trace("I like tea.")
    direct_logit_attribution(trace)
    assert hooked.trace("I like tea.") is trace
    assert not any(module._forward_hooks for module in hooked.model.modules())
    assert all(parameter.grad is None for parameter in hooked.model.parameters())


def test_what_is_no_logit_of_one_text_is_said() -> None:
    trace = jtviz.demo.induction().trace("abcabc")
    with pytest.raises(JtvizError, match="a function is not a logit"):
        direct_logit_attribution(trace, lambda output: output.sum())
    query = torch.randn(2, 4, 6, 8)
    with pytest.raises(JtvizError, match="has no model to run"):
        direct_logit_attribution(jtviz.Trace.from_qkv(query, query, causal=True))
    model = FAMILIES["Llama"].build("sdpa")
    with pytest.raises(JtvizError, match="one example at a time"):
        direct_logit_attribution(hook(model).trace(inputs=FAMILIES["Llama"].inputs(3, "none")))
