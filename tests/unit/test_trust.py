"""Baselines, methods and all findings together, against scipy on attributions made one by one."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats

import jtviz
from jtviz.analysis import (
    Attribution,
    agreement,
    attribute,
    baseline_sensitivity,
    faithfulness,
    randomisation,
    trust,
)
from jtviz.capture import JtvizError
from tests.unit.trusted import NOTE, attributed, negated, trace


@pytest.fixture(scope="module")
def note() -> jtviz.Trace:
    return jtviz.demo.classifier().trace(NOTE)


@pytest.fixture(scope="module")
def noted(note: jtviz.Trace) -> Attribution:
    return attribute(note, target="urgent", output="log_prob")


def test_ranks_of_baselines_are_compared_as_by_scipy(note: jtviz.Trace, noted: Attribution) -> None:
    found = baseline_sensitivity(note, noted)
    assert found.baselines == ("pad", "zero", "mean")
    assert set(found.left_out) == {"mask"}
    assert "mask token" in found.left_out["mask"]
    ours = slice(1, None)  # all but [CLS]
    rows = [
        attribute(note, target="urgent", output="log_prob", baseline=name).scores["encoder"][ours]
        for name in found.baselines
    ]
    expected = scipy.stats.spearmanr(np.stack(rows), axis=1).statistic
    np.testing.assert_allclose(found.correlation, expected, atol=1e-9)
    assert found.first == tuple(("encoder", int(row.argmax()) + 1) for row in rows)
    assert found.lowest == pytest.approx(expected.min())
    assert found.to_pandas().loc["pad", "mean"] == pytest.approx(expected[0, 2])


def test_a_sum_ranks_alike_whatever_the_constant_baseline() -> None:
    found = baseline_sensitivity(trace(), attributed(), ("zero", "mean"))
    # Each token's value less that of the baseline: the same ranks.
    np.testing.assert_allclose(found.correlation, np.ones((2, 2)), atol=1e-12)
    assert found.first == (("encoder", 3), ("encoder", 3))
    assert "is first with every baseline" in found.words


def test_methods_are_compared_by_absolute_scores_as_by_scipy(note: jtviz.Trace) -> None:
    names = ("saliency_l2", "input_x_gradient", "integrated_gradients", "rollout")
    found = agreement(note, names, target="urgent", output="log_prob")
    rows = [attribute(note, name, target="urgent", output="log_prob").scores["encoder"][1:] for name in names]
    expected = scipy.stats.spearmanr(np.abs(np.stack(rows)), axis=1).statistic
    np.testing.assert_allclose(found.correlation, expected, atol=1e-9)
    signed = scipy.stats.spearmanr(rows[1], rows[2]).statistic
    assert found.signed[1, 2] == pytest.approx(signed, abs=1e-9)
    assert np.isnan(found.signed[[0, 3]]).all()
    tops = [set(np.abs(row).argsort()[-3:].tolist()) for row in rows]
    assert found.overlap[0, 2] == pytest.approx(len(tops[0] & tops[2]) / 3)
    assert found.to_pandas().loc["rollout", "saliency_l2"] == pytest.approx(expected[3, 0])
    others = [expected[0, i] for i in (1, 2, 3)]
    assert found.by_method["saliency_l2"] == pytest.approx(np.mean(others))


def test_a_method_that_cannot_is_left_out_with_its_reason() -> None:
    read = jtviz.demo.classifier().trace(" ".join([NOTE] * 5))
    found = agreement(read, ("saliency_l2", "attention_flow", "rollout"))
    assert found.methods == ("saliency_l2", "rollout")
    assert "at most 64 tokens" in found.left_out["attention_flow"]
    with pytest.raises(JtvizError, match="no two of these methods can be computed"):
        agreement(read, ("saliency_l2", "attention_flow"))


def test_trust_says_every_finding_and_doubts_a_wrong_one(note: jtviz.Trace, noted: Attribution) -> None:
    good = trust(note, noted, sensitivity=True, agreement=True)
    assert good.faithfulness is not None
    assert good.sensitivity is not None
    assert good.agreement is not None
    assert not good.is_doubtful
    parts = (good.faithfulness, good.sensitivity, good.agreement)
    assert good.sentences == (good.completeness, *(part.words for part in parts))
    assert f"{noted.relative_delta:.1%}" in good.completeness
    # Either is enough: an order that is worse than random, scores that do not sum to what they should.
    assert trust(note, negated(attribute(note, "saliency_l2", target="urgent"))).is_doubtful
    doubled = replace(noted, scores={side: 2 * row for side, row in noted.scores.items()})
    assert doubled.relative_delta == pytest.approx(1, abs=0.1)
    assert trust(note, doubled).is_doubtful


def test_trust_says_what_could_not_be_computed(note: jtviz.Trace) -> None:
    found = trust(note, attribute(note, "saliency_l2", target="urgent"), sensitivity=True)
    assert found.sensitivity is None
    assert found.agreement is None
    assert "has no baseline to vary" in found.left_out["sensitivity"]
    assert found.sentences[0] == "saliency (L2) promises no sum of its scores."
    assert found.sentences[-1].startswith("sensitivity is not known: ")


def test_an_attribution_of_another_text_is_refused(note: jtviz.Trace) -> None:
    for judge in (faithfulness, trust):
        with pytest.raises(JtvizError, match="of another text"):
            judge(note, attributed())
    with pytest.raises(JtvizError, match="of another text"):
        baseline_sensitivity(note, attributed())


def test_lists_that_are_none_are_refused(note: jtviz.Trace, noted: Attribution) -> None:
    with pytest.raises(JtvizError, match="methods= is a list of at least two"):
        agreement(note, "rollout")
    with pytest.raises(JtvizError, match="there is no method 'rolout'"):
        agreement(note, ("saliency_l2", "rolout"))
    with pytest.raises(JtvizError, match="k= is a number of tokens"):
        agreement(note, k=0)
    with pytest.raises(JtvizError, match="at least two baselines"):
        baseline_sensitivity(note, noted, ("pad", "mask"))
    with pytest.raises(JtvizError, match="has no baseline to vary: those that have are"):
        baseline_sensitivity(note, attribute(note, "rollout"))


@pytest.mark.parametrize("judge", [agreement, baseline_sensitivity, randomisation])
def test_without_scipy_it_is_said_what_to_install(
    note: jtviz.Trace, noted: Attribution, judge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(JtvizError, match=r"pip install jtviz\[explain\]"):
        judge(note, noted) if judge is baseline_sensitivity else judge(note)
