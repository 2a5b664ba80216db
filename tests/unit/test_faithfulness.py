"""Taking tokens away in the order of their scores, against sums by hand, scipy and planted words."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from torch import Tensor

import jtviz
from jtviz.analysis import Attribution, attribute, faithfulness, trust
from jtviz.analysis.attribution import opened
from jtviz.analysis.trust.curves import Compared
from jtviz.capture import JtvizError
from jtviz.demo.triage import notes
from jtviz.views.trusted import trusted
from tests.unit.trusted import IDS, NOTE, VALUES, attributed, negated, trace
from tests.zoo.families import FAMILIES

YES = scipy.special.expit
TOTAL = sum(VALUES[i] for i in IDS)
"""2 - 1 + 0.5 + 3 + 0.25: from the highest on the tokens are 3, 0, 2, 4, 1."""


@pytest.fixture(scope="module")
def note() -> jtviz.Trace:
    return jtviz.demo.classifier().trace(NOTE)


@pytest.fixture(scope="module")
def noted(note: jtviz.Trace) -> Attribution:
    return attribute(note, target="urgent", output="log_prob")


@pytest.fixture(scope="module")
def translated() -> jtviz.Trace:
    return jtviz.demo.translator().trace("I like to drink tea.")


def test_comprehensiveness_and_sufficiency_are_erasers_by_hand() -> None:
    found = faithfulness(trace(), attributed(), fractions=(0.01, 0.4, 0.5))
    # One token, two, and two and a half rounded up.
    without, alone = YES([1.75, -0.25, -0.75]), YES([3.0, 5.0, 5.5])
    np.testing.assert_allclose(found.comprehensiveness, YES(TOTAL) - without, atol=1e-6)
    np.testing.assert_allclose(found.sufficiency, YES(TOTAL) - alone, atol=1e-6)
    assert found.aopc_comprehensiveness.value == pytest.approx((YES(TOTAL) - without).mean(), abs=1e-6)
    assert found.aopc_sufficiency.value == pytest.approx((YES(TOTAL) - alone).mean(), abs=1e-6)
    assert found.measure == "probability of yes"
    assert found.order == tuple((("encoder", i),) for i in (3, 0, 2, 4, 1))


def test_curves_are_the_model_on_every_beginning_of_the_order() -> None:
    found = faithfulness(trace(), attributed())
    by_hand = [0.0, 3.0, 5.0, 5.5, 5.75, 4.75]
    np.testing.assert_allclose(found.share, np.arange(6) / 5)
    np.testing.assert_allclose(found.insertion, YES(by_hand), atol=1e-6)
    np.testing.assert_allclose(found.deletion, YES(TOTAL - np.array(by_hand)), atol=1e-6)


def test_areas_are_those_of_scipy(note: jtviz.Trace, noted: Attribution) -> None:
    found = faithfulness(note, noted)
    for name in ("deletion", "insertion"):
        area = getattr(found, f"{name}_area")
        mine, drawn = getattr(found, name), getattr(found, f"random_{name}")
        assert area.value == pytest.approx(scipy.integrate.trapezoid(mine, found.share), abs=1e-9)
        np.testing.assert_allclose(
            area.random, scipy.integrate.trapezoid(drawn, found.share, axis=1), atol=1e-9
        )


@pytest.mark.parametrize("baseline", ["pad", "zero", "mean"])
def test_deletion_leads_from_the_text_to_the_baseline_and_insertion_back(
    note: jtviz.Trace, translated: jtviz.Trace, baseline: str
) -> None:
    for of, target in ((note, "urgent"), (translated, "茶")):
        attribution = attribute(of, "feature_ablation", target=target, output="prob", baseline=baseline)
        found = faithfulness(of, attribution)
        ends = np.array([attribution.score.value, attribution.baseline_value], dtype=np.float64)
        assert found.baseline == baseline
        np.testing.assert_allclose(found.deletion[[0, -1]], ends, atol=1e-6)
        np.testing.assert_allclose(found.insertion[[-1, 0]], ends, atol=1e-6)
        np.testing.assert_allclose(
            found.random_deletion[:, [0, -1]],
            np.broadcast_to(ends, found.random_deletion[:, [0, -1]].shape),
            atol=1e-6,
        )


def test_random_orders_have_the_mean_and_the_spread_of_all_orders() -> None:
    found = faithfulness(trace(), attributed(), fractions=(0.4,), orders=3000)
    sums = np.array([VALUES[IDS[a]] + VALUES[IDS[b]] for a, b in itertools.combinations(range(5), 2)])
    without, alone = YES(TOTAL) - YES(TOTAL - sums), YES(TOTAL) - YES(sums)
    # Four standard errors of 3,000 draws.
    error = 4 / np.sqrt(3000)
    for drawn, expected in ((found.aopc_comprehensiveness, without), (found.aopc_sufficiency, alone)):
        assert drawn.mean == pytest.approx(expected.mean(), abs=error * expected.std())
        assert drawn.spread == pytest.approx(expected.std(), rel=0.1)
        assert drawn.deviations == pytest.approx(
            abs(drawn.value - drawn.random.mean()) / drawn.random.std(ddof=1), abs=1e-9
        )


def test_the_planted_finding_is_better_than_random_order() -> None:
    # 95 % of texts, as for the rank of the deciding word.
    model = jtviz.demo.classifier()
    urgent = [each.text for each in notes(80, seed=4321, agreement=0.5) if each.label]
    found = []
    for text in urgent:
        read = model.trace(text)
        found.append(faithfulness(read, attribute(read, target="urgent", output="log_prob")))
    assert len(found) > 30
    assert np.mean([one.beats_random for one in found]) >= 0.95
    assert all(one.aopc_comprehensiveness.value > one.aopc_comprehensiveness.mean for one in found)


@pytest.mark.parametrize("text", ["Has a seizure.", "Has chest pain.", "Has crushing chest pain."])
def test_a_short_text_is_compared_with_all_orders_and_not_doubted(text: str) -> None:
    read = jtviz.demo.classifier().trace(text)
    attribution = attribute(read, target="urgent", output="log_prob")
    found = faithfulness(read, attribution)
    size = len(found.order)
    assert len(found.random_deletion) == math.factorial(size)
    # Among all orders is the order itself, and no order is better than the best.
    assert np.abs(found.random_deletion - found.deletion).max(1).min() < 1e-6
    assert found.aopc_comprehensiveness.value <= found.aopc_comprehensiveness.random.max() + 1e-6
    assert found.beats_random, found.words
    assert not trust(read, attribution).is_doubtful
    assert not faithfulness(read, negated(attribution)).beats_random


def test_the_best_order_is_told_from_random_or_the_text_is_too_short() -> None:
    # All values and lengths up to five: by comparing every order with all others.
    for size in range(2, 6):
        orders = list(itertools.permutations(VALUES[1 : size + 1]))
        firsts = np.array([order[0] for order in orders])
        best = Compared(float(firsts.max()), firsts, 1, is_short=True)
        luck = np.mean(firsts == firsts.max())
        assert luck == 1 / size
        assert best.is_better == (luck <= 0.25)
        assert best.is_too_short == (luck > 0.25)
        if best.is_better:
            assert Compared(float(firsts.min()), firsts, 1, is_short=True).is_worse
            assert not Compared(float(np.median(firsts)), firsts, 1, is_short=True).is_better


def test_two_units_are_too_short_to_tell_and_no_reason_for_doubt() -> None:
    attribution = attributed(ids=(1, 4))
    found = faithfulness(trace((1, 4)), attribution)
    assert len(found.random_deletion) == 2
    assert found.is_too_short
    assert not found.beats_random
    assert "the text is too short to tell (" in found.words
    assert not trust(trace((1, 4)), attribution).is_doubtful
    shown = trusted(trust(trace((1, 4)), attribution))
    assert (shown["doubtful"], shown["told"]) == (False, False)
    assert shown["verdict"].startswith("too short to tell: ")


def test_one_unit_has_one_order() -> None:
    found = faithfulness(trace((4,)), attributed(ids=(4,)))
    assert found.is_too_short
    assert np.isfinite(found.to_pandas().to_numpy()).all()


def test_scores_turned_round_are_said_to_be_worse_than_random_order(
    note: jtviz.Trace, noted: Attribution
) -> None:
    good, bad = faithfulness(note, noted), faithfulness(note, negated(noted))
    assert good.words.startswith("integrated gradients is better than random order (+")
    assert bad.words.startswith("integrated gradients is worse than random order (-")
    assert good.beats_random
    assert not bad.beats_random
    assert bad.order == good.order[::-1]
    np.testing.assert_allclose(bad.random_deletion, good.random_deletion, atol=1e-9)


def test_where_nothing_matters_no_order_is_better(note: jtviz.Trace) -> None:
    def constant(output: Tensor) -> Tensor:
        return 0 * output.sum() + 0.5

    found = faithfulness(note, attribute(note, "saliency_l2", target=constant))
    assert found.aopc_comprehensiveness.deviations == 0
    assert not found.beats_random
    assert found.words.startswith("saliency (L2) is not clearly better than random order (+0.0 standard")


def test_special_tokens_are_no_part_of_the_order(note: jtviz.Trace, translated: jtviz.Trace) -> None:
    for of, target in ((note, "urgent"), (translated, "茶")):
        found = faithfulness(of, attribute(of, "input_x_gradient", target=target))
        ordered = {place for unit in found.order for place in unit}
        for side, tokens in of.tokens.items():
            for i, special in enumerate(tokens.special):
                assert not (special and (side, i) in ordered)
        assert ("encoder", 1) in ordered


def test_tokens_of_both_sides_are_ordered_together_up_to_the_row_that_predicts(
    translated: jtviz.Trace,
) -> None:
    attribution = attribute(translated, "input_x_gradient", target="茶", output="log_prob")
    row = attribution.score.target.row
    assert row == 4
    found = faithfulness(translated, attribution)
    expected = {("encoder", i) for i in range(6)} | {("decoder", i) for i in range(1, 5)}
    assert {place for unit in found.order for place in unit} == expected
    scores = [attribution.scores[side][i] for ((side, i),) in found.order]
    assert scores == sorted(scores, reverse=True)


def test_a_unit_goes_as_one_and_has_the_score_of_its_tokens() -> None:
    found = faithfulness(trace(), attributed(), unit=[(1, 3)])
    # 3, 2, 0.25 and, together, 0.5 - 1.
    assert found.order == (
        (("encoder", 3),), (("encoder", 0),), (("encoder", 4),), (("encoder", 1), ("encoder", 2)),
    )  # fmt: skip
    np.testing.assert_allclose(found.deletion, YES([4.75, 1.75, -0.25, -0.5, 0.0]), atol=1e-6)


def test_words_are_units() -> None:
    read = jtviz.demo.translator().trace("I like bookshops.")
    found = faithfulness(read, attribute(read, "input_x_gradient"), unit="word")
    words = read.tokens["encoder"].words
    shops = tuple(("encoder", i) for i, word in enumerate(words) if word == words[2])
    assert len(shops) > 1
    assert shops in found.order


@pytest.mark.parametrize("output", ["log_prob", "prob", "loss"])
def test_every_scale_is_judged_by_the_probability(output: str) -> None:
    logit, other = faithfulness(trace(), attributed()), faithfulness(trace(), attributed(output=output))
    # A loss is lowered by what supports: its scores have the other sign.
    assert other.order == logit.order
    assert other.measure == logit.measure
    np.testing.assert_allclose(other.deletion, logit.deletion, atol=1e-6)


@pytest.mark.parametrize("method", ["relevance", "attention_x_gradient", "saliency_l2"])
def test_a_loss_begins_with_the_tokens_that_support_the_target(note: jtviz.Trace, method: str) -> None:
    loss, chance = (
        attribute(note, method, target="urgent", output=output) for output in ("loss", "log_prob")
    )
    sign = -1 if loss.method.is_signed else 1
    np.testing.assert_allclose(sign * loss.scores["encoder"], chance.scores["encoder"], atol=1e-6, rtol=1e-4)
    found, wanted = faithfulness(note, loss), faithfulness(note, chance)
    assert found.order == wanted.order
    np.testing.assert_allclose(found.deletion, wanted.deletion, atol=1e-6)
    if method == "relevance":
        # Without what it names first, the finding is less likely; it was more likely than at random before.
        assert found.aopc_comprehensiveness.value > found.aopc_comprehensiveness.mean


def test_a_difference_is_judged_by_the_share_of_the_first_in_the_two(translated: jtviz.Trace) -> None:
    attribution = attribute(translated, "input_x_gradient", target="茶", against="水")
    assert translated.logits is not None
    tea, water = attribution.score.target, attribution.score.against
    assert water is not None
    pair = translated.logits[tea.row, [tea.index, water.index]].softmax(-1)
    found = faithfulness(translated, attribution)
    assert found.deletion[0] == pytest.approx(float(pair[0]), abs=1e-6)
    assert found.measure == "probability of 茶 rather than 水"


def test_the_loss_of_an_answer_is_judged_by_its_perplexity(translated: jtviz.Trace) -> None:
    found = faithfulness(translated, attribute(translated, "input_x_gradient", output="loss"))
    known = [chance for chance in translated.tokens["decoder"].probability or () if chance is not None]
    last = attribute(translated, "input_x_gradient", target={"row": 6}, output="prob").score.value
    mean = scipy.stats.gmean([*known, last])
    assert found.deletion[0] == pytest.approx(mean, abs=1e-5)


def test_a_number_without_a_probability_is_judged_by_itself() -> None:
    def yes(output: Tensor) -> Tensor:
        return output[0, 0]

    attribution = attribute(trace(), "input_x_gradient", target=yes, baseline="zero")
    found = faithfulness(trace(), attribution, baseline="zero")
    np.testing.assert_allclose(found.insertion, [0.0, 3.0, 5.0, 5.5, 5.75, 4.75], atol=1e-6)
    assert found.measure == "function of yes"


def test_small_batches_give_the_same_numbers(note: jtviz.Trace, noted: Attribution) -> None:
    one, many = faithfulness(note, noted, memory=1), faithfulness(note, noted)
    np.testing.assert_allclose(one.random_deletion, many.random_deletion, atol=1e-5)


def test_long_texts_have_about_as_many_points_as_asked() -> None:
    read = jtviz.demo.induction().trace("k7Qm2xRt" * 8)
    found = faithfulness(read, attribute(read, "input_x_gradient"), points=10)
    assert len(found.order) > 50
    assert len(found.share) <= 11 + 2 * 5
    np.testing.assert_allclose(found.share, 1 - found.share[::-1], atol=1e-12)


def test_a_table_has_the_curves_and_the_spread_of_random_ones(note: jtviz.Trace, noted: Attribution) -> None:
    found = faithfulness(note, noted)
    table = found.to_pandas()
    np.testing.assert_array_equal(table["deletion"], found.deletion)
    np.testing.assert_allclose(table["random_insertion"], found.random_insertion.mean(0))
    np.testing.assert_allclose(
        # At both ends all orders are the same text.
        table["random_deletion_spread"][1:-1],
        scipy.stats.tstd(found.random_deletion[:, 1:-1], axis=0),
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"orders": 1}, "orders= is a number, at least 2"),
        ({"fractions": ()}, "fractions= are shares of the text"),
        ({"fractions": (0.5, 1.5)}, "fractions= are shares of the text"),
        ({"fractions": 0.5}, "fractions= are shares of the text"),
        ({"points": 0}, "points= is a number, at least 1"),
        ({"memory": "1 GiB"}, "memory= is a number, at least 1"),
        ({"unit": "letter"}, "unit= is one of"),
    ],
)
def test_what_makes_no_sense_is_said(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(JtvizError, match=said):
        faithfulness(trace(), attributed(), **wrong)


def test_an_example_is_charged_for_the_logits_that_come_with_it() -> None:
    case = replace(FAMILIES["GPT-2"], settings={**FAMILIES["GPT-2"].settings, "vocab_size": 20_000})
    model = case.build("sdpa")
    read = jtviz.hook(model).trace(inputs=case.inputs(1, "none"))
    with opened(read) as session:
        cost = session.cost(session.score(None, "logit"))
    logits = 9 * 20_000 * 4
    assert cost.nbytes >= 2 * logits


@pytest.mark.parametrize("family", ["BERT", "ALBERT", "DeBERTa-v2", "XLNet", "GPT-2", "Llama", "Qwen3",
                                    "T5", "BART", "Marian"])  # fmt: skip
def test_curves_end_at_the_baseline_in_every_family(family: str) -> None:
    case = FAMILIES[family]
    model = case.build(case.implementations[0])
    read = jtviz.hook(model).trace(inputs=case.inputs(1, "none"))

    def third(output: Any) -> Tensor:
        number: Tensor = output[0][0, 2, 3]
        return number

    with opened(read) as session, torch.no_grad():
        twice = {side: vectors.repeat(2, 1, 1) for side, vectors in session.forward.vectors.items()}
        again = session.forward(twice)[0]
        # The vectors that were read, read again: the same output, whatever axis examples are in.
        torch.testing.assert_close(again, session.forward.output[0].expand_as(again), atol=1e-5, rtol=0)
    attribution = attribute(read, "feature_ablation", target=third)
    found = faithfulness(read, attribution, orders=2)
    assert found.deletion[-1] == pytest.approx(attribution.baseline_value, abs=1e-5)
    assert found.deletion[0] == pytest.approx(attribution.score.value, abs=1e-5)
    # Random weights, and still each token counts for something.
    assert np.ptp(found.deletion) > 0
    assert torch.is_grad_enabled()
