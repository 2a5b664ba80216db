"""Curves of pruning, and what heads do together, against models with those heads off."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import jtviz
from jtviz.analysis import Interactions, PruningCurve, head_importance, interactions, pruning_curve
from jtviz.analysis.importance.curve import POINTS
from jtviz.capture import JtvizError, OutOfRangeError, Trace, hook
from jtviz.capture.intervention.ablation import Mask
from jtviz.demo import embedded

NOTES = [
    ("Man, 60. Has crushing chest pain.", "urgent"),
    ("Woman, 31. Has a runny nose.", "can wait"),
    ("Man, 44. Has a sore throat and a cough.", "can wait"),
    ("Woman, 70. Has fainted twice today.", "urgent"),
]


def repeats(count: int) -> list[dict[str, Tensor]]:
    """Return random sequences that repeat themselves, scored on the repeat."""
    generator = torch.Generator().manual_seed(0)
    out = []
    for _ in range(count):
        half = torch.randint(1, 95, (24,), generator=generator)
        labels = torch.cat([torch.full((25,), -100), half[1:]])
        out.append({"input_ids": torch.cat([half, half]), "labels": labels})
    return out


def loss(mask: Mask) -> float:
    """Return the loss of the classifier, one note at a time, with a mask off."""
    hooked = jtviz.demo.classifier()
    heads: dict[tuple[str, int], list[int]] = {}
    for stage, layer, head in mask.heads:
        heads.setdefault((stage, layer), []).append(head)
    found = []
    with hooked.ablate(heads=heads):
        for text, label in NOTES:
            found.append(-np.log(hooked.classify(text)[label]))
    return float(np.mean(found))


@pytest.fixture(scope="module")
def curve() -> PruningCurve:
    return pruning_curve(jtviz.demo.classifier(), NOTES, draws=3)


def test_a_curve_is_the_metric_with_more_and_more_heads_off(curve: PruningCurve) -> None:
    assert curve.counts.tolist() == [*range(9)]
    assert list(curve.values) == ["exact", "gradient"]
    for method, values in curve.values.items():
        assert len(set(curve.orders[method])) == 8
        for share, value in zip(curve.shares, values, strict=True):
            assert value == pytest.approx(loss(curve.mask(method, float(share))), abs=1e-5)


def test_the_order_is_that_of_importance(curve: PruningCurve) -> None:
    importance = head_importance(jtviz.demo.classifier(), NOTES, method=["exact", "gradient"])
    for method, order in curve.orders.items():
        assert [one[:3] for one in importance.ranking(method)] == list(order)
    again = pruning_curve(jtviz.demo.classifier(), NOTES, importance, draws=0)
    np.testing.assert_allclose(again.values["exact"], curve.values["exact"], atol=1e-6)
    assert again.random.shape == (0, 9)
    assert np.isnan(again.random_mean).all()
    assert set(again.to_pandas()["method"]) == {"exact", "gradient"}


def test_all_curves_begin_with_the_whole_model_and_end_without_heads(curve: PruningCurve) -> None:
    every = [*curve.values.values(), *curve.random]
    assert {float(one[0]) for one in every} == {curve.intact.value}
    assert len({float(one[-1]) for one in every}) == 1
    assert curve.intact.value == pytest.approx(loss(Mask()), abs=1e-5)
    assert curve.errors["exact"][0] == curve.intact.error > 0


def test_random_orders_spread_between_the_ends_and_are_drawn_by_the_seed(curve: PruningCurve) -> None:
    assert curve.random.shape == (3, 9)
    assert (curve.random_deviation[1:-1] > 0).all()
    assert curve.random_deviation[[0, -1]].tolist() == [0, 0]
    np.testing.assert_allclose(curve.random_mean, curve.random.mean(0))
    asked: dict[str, Any] = {"methods": "confidence", "draws": 3}
    again = pruning_curve(jtviz.demo.classifier(), NOTES, **asked)
    other = pruning_curve(jtviz.demo.classifier(), NOTES, seed=1, **asked)
    np.testing.assert_allclose(again.random, curve.random, atol=1e-6)
    assert np.abs(other.random - curve.random).max() > 1e-4
    table = curve.to_pandas()
    assert table[table["method"] == "random"]["error"].tolist() == curve.random_deviation.tolist()
    assert table[table["method"] == "exact"]["value"].tolist() == curve.values["exact"].tolist()


def test_a_data_set_is_read_once(curve: PruningCurve) -> None:
    again = pruning_curve(jtviz.demo.classifier(), iter(NOTES), methods="gradient", draws=0)
    np.testing.assert_allclose(again.values["gradient"], curve.values["gradient"], atol=1e-6)


def test_importance_beats_chance_where_one_head_is_needed() -> None:
    curve = pruning_curve(jtviz.demo.induction(), repeats(6), metric="accuracy", methods="exact", draws=4)
    third = int(np.flatnonzero(curve.counts == 3)[0])
    assert curve.values["exact"][third] > 0.95
    assert curve.random_mean[third] < 0.8


def test_points_are_few_where_heads_are_many(curve: PruningCurve) -> None:
    assert len(curve.counts) <= POINTS + 1
    translator = jtviz.demo.translator()
    pairs = [("I like to drink tea.", "我喜欢喝茶。"), ("I am tired.", "我很累。")]
    asked: dict[str, Any] = {"methods": "gradient", "draws": 0}
    assert len(pruning_curve(translator, pairs, **asked).counts) == 25
    assert pruning_curve(translator, pairs, steps=4, **asked).counts.tolist() == [0, 8, 16, 24]
    shares = pruning_curve(translator, pairs, steps=[0.5, 0], **asked)
    assert shares.shares.tolist() == [0, 0.5]


def test_a_curve_can_be_pickled(curve: PruningCurve) -> None:
    again = pickle.loads(pickle.dumps(curve))  # noqa: S301 - our own
    assert again.to_pandas().equals(curve.to_pandas())
    assert "8 heads by exact, gradient and 3 random orders; loss (nats) over 4 examples" in repr(again)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"draws": -1}, "draws= is a number of random orders, at least 0, not -1"),
        ({"steps": 1}, "steps= is a number of points, at least 2, or a list of shares"),
        ({"steps": [0.5, 2]}, "steps= is a number of points, at least 2, or a list of shares"),
        ({"steps": ["half"]}, "steps= is a number of points, at least 2, or a list of shares"),
        ({"methods": "taylor"}, "'taylor' is of feed-forward units, and this is a curve of heads"),
        ({"importance": {}}, "importance= is what head_importance returned, not dict"),
    ],
)
def test_what_makes_no_curve_is_said_in_a_sentence(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(JtvizError, match=said):
        pruning_curve(jtviz.demo.classifier(), NOTES, **({"methods": "gradient"} | asked))


def test_importance_of_another_model_is_refused(curve: PruningCurve) -> None:
    importance = head_importance(jtviz.demo.induction(), repeats(2), method="gradient")
    with pytest.raises(JtvizError, match="importance= is of another model"):
        pruning_curve(jtviz.demo.classifier(), NOTES, importance)
    with pytest.raises(OutOfRangeError, match="not measured by 'exact'"):
        pruning_curve(jtviz.demo.induction(), repeats(2), importance, methods="exact")
    with pytest.raises(
        OutOfRangeError, match="there is no curve by 'confidence': choose from exact, gradient"
    ):
        curve.mask("confidence", 0.5)
    with pytest.raises(JtvizError, match=r"share is a share of the heads, 0 to 1, not 1\.5"):
        curve.mask("exact", 1.5)


def test_an_interaction_is_what_is_lost_beyond_each_alone() -> None:
    heads = [("encoder", 0, 1), ("encoder", 1, 0), ("encoder", 1, 3)]
    found = interactions(jtviz.demo.classifier(), NOTES, heads)
    intact = loss(Mask())
    alone = [loss(Mask(heads=(head,))) - intact for head in heads]
    np.testing.assert_allclose(found.alone, alone, atol=1e-5)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        both = loss(Mask(heads=(heads[i], heads[j]))) - intact
        assert found.pairs[i, j] == pytest.approx(both - alone[i] - alone[j], abs=1e-5)
        assert found.pairs[j, i] == found.pairs[i, j]
    every = loss(Mask(heads=tuple(heads))) - intact
    assert found.joint.value == pytest.approx(every, abs=1e-5)
    assert found.beyond.value == pytest.approx(every - sum(alone), abs=1e-5)
    assert np.isnan(np.diag(found.pairs)).all()
    table = found.to_pandas()
    assert table["interaction"].tolist() == [found.pairs[0, 1], found.pairs[0, 2], found.pairs[1, 2]]
    assert table["joint"][0] == pytest.approx(found.pairs[0, 1] + found.alone[0] + found.alone[1])
    again: Interactions = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own
    assert again.words == found.words


def test_the_error_of_an_interaction_is_that_of_paired_differences() -> None:
    heads = [("encoder", 0, 1), ("encoder", 1, 0)]
    found = interactions(jtviz.demo.classifier(), NOTES, heads)
    hooked = jtviz.demo.classifier()
    each = []
    for off in ({}, {("encoder", 0): [1]}, {("encoder", 1): [0]}, {("encoder", 0): [1], ("encoder", 1): [0]}):
        with hooked.ablate(heads=off):
            each.append([-np.log(hooked.classify(text)[label]) for text, label in NOTES])
    intact, one, other, both = np.array(each)
    wanted = (both - one - other + intact).std(ddof=1) / 2
    assert found.pair_errors[0, 1] == pytest.approx(wanted, abs=1e-6)
    assert found.beyond.error == pytest.approx(wanted, abs=1e-6)


def test_heads_that_continue_what_repeats_back_each_other_up() -> None:
    """Each of the four can go; a repeat is no longer continued when all are gone."""
    heads = [("decoder", 1, head) for head in range(4)]
    found = interactions(jtviz.demo.induction(), repeats(8), heads)
    assert found.alone.max() < 0.01
    assert (found.alone > 0).all()
    assert found.joint.value > 3
    pair = interactions(jtviz.demo.induction(), repeats(8), [("decoder", 1, 1), ("decoder", 1, 2)])
    assert pair.pairs[0, 1] == pytest.approx(found.pairs[1, 2], abs=1e-6)
    # Of two alone it is less, and still several times what each does.
    assert pair.joint.value > 5 * found.alone[1:3].sum()
    assert pair.beyond.value > 2 * pair.beyond.error
    assert "they back each other up" in found.words
    assert found.words.startswith("loss changes by +6.")


def test_nothing_is_backed_up_where_the_model_is_better_without() -> None:
    trace = jtviz.demo.induction().trace("k7Qm2xRt k7Qm2xRt")
    found = interactions(jtviz.demo.induction(), trace, [("decoder", 1, head) for head in range(4)])
    assert found.joint.value < 0 < found.beyond.value  # the half that repeats nothing weighs more
    assert "act together, beyond the sum of each" in found.words
    assert found.words.startswith("loss changes by -2.13 without all 4 heads, by -2.61 in sum")


def test_what_chance_could_do_is_not_claimed() -> None:
    found = interactions(
        jtviz.demo.induction(), repeats(4), [("decoder", 1, 0), ("decoder", 1, 1)], metric="accuracy"
    )
    assert "within chance" in found.words


@pytest.mark.parametrize(
    ("open_model", "asked", "stage"),
    [
        (jtviz.demo.induction, {"text": "k7Qm2xRt k7Qm2xRt"}, "decoder"),
        (jtviz.demo.classifier, {"text": "Man, 60. Has crushing chest pain."}, "encoder"),
        (jtviz.demo.translator, {"text": "I like tea.", "target_text": "我讨厌喝茶。"}, "cross"),
    ],
)
def test_one_text_that_was_traced_can_be_asked(open_model: Any, asked: Any, stage: str) -> None:
    hooked = open_model()
    found = interactions(hooked, hooked.trace(**asked), [(stage, 1, 0), (stage, 1, 2)])
    scale = {"output": "loss"} if stage != "encoder" else {"output": "loss", "target": "urgent"}
    intact = hooked.trace(**asked, **scale).target
    with hooked.ablate(heads={(stage, 1): [0, 2]}):
        ablated = hooked.trace(**asked, **scale).target
    assert found.intact.value == pytest.approx(intact.value, abs=1e-5)
    assert found.joint.value == pytest.approx(ablated.value - intact.value, abs=1e-5)
    assert abs(found.joint.value) > 1e-3
    assert found.n == 1
    assert np.isnan(found.beyond.error)
    assert "on this example" in found.words


@pytest.mark.parametrize(
    "heads", [[], [("encoder", 0, 1)], [("encoder", 0, 1)] * 2, [("encoder", 0)] * 3, "encoder"]
)
def test_heads_that_are_no_list_of_several_are_refused(heads: Any) -> None:
    with pytest.raises(JtvizError, match="heads= is a list of 2 to 24 different heads"):
        interactions(jtviz.demo.classifier(), NOTES, heads)


def test_heads_that_are_not_there_and_traces_of_others_are_refused() -> None:
    with pytest.raises(OutOfRangeError, match="head"):
        interactions(jtviz.demo.classifier(), NOTES, [("encoder", 0, 1), ("encoder", 0, 9)])
    two = [("encoder", 0, 1), ("encoder", 0, 2)]
    trace: Trace = jtviz.demo.induction().trace("abcabc")
    with pytest.raises(JtvizError, match="this trace is of another model"):
        interactions(jtviz.demo.classifier(), trace, two)
    with pytest.raises(JtvizError, match="was loaded or made from arrays"):
        interactions(jtviz.demo.classifier(), jtviz.from_arrays([np.full((1, 2, 2), 0.5)]), two)


def test_units_go_in_the_order_of_taylor_and_each_point_is_zeroing_by_hand() -> None:
    model, tokenizer = embedded.open_classifier(embedded.FOLDER / "classifier/honest")
    hooked = hook(model, tokenizer)
    curve = pruning_curve(hooked, NOTES, of="units", steps=[0, 0.25, 0.75, 1], draws=2, progress=False)
    importance = curve.importance
    assert importance.units is not None
    order = curve.orders["taylor"]
    scores = [importance.units[stage][layer, unit] for stage, layer, unit in order]
    assert scores == sorted(scores)
    assert curve.mask("taylor", 0.25) == importance.mask(0.25, "taylor") == Mask(units=order[:64])
    for count, value in zip(curve.counts, curve.values["taylor"], strict=True):
        other, _ = embedded.open_classifier(embedded.FOLDER / "classifier/honest")
        encoder: Any = other.encoder
        with torch.no_grad():
            for _, layer, unit in order[:count]:
                encoder.layers[layer].linear2.weight[:, unit] = 0
        zeroed = hook(other, tokenizer)
        losses = [-math.log(zeroed.classify(text)[label]) for text, label in NOTES]
        assert value == pytest.approx(sum(losses) / len(losses), abs=1e-4)
    assert list(curve.to_pandas().columns) == ["method", "units", "share", "value", "error"]
    assert pickle.loads(pickle.dumps(curve)).of == "units"  # noqa: S301 - our own


def test_units_are_refused_where_they_make_no_sense() -> None:
    with pytest.raises(JtvizError, match="of= is 'heads' or 'units'"):
        pruning_curve(jtviz.demo.classifier(), NOTES, of="neurons")
    with pytest.raises(JtvizError, match="of= is 'heads' or 'units'"):
        pruning_curve(jtviz.demo.classifier(), NOTES, of=["units"])  # type: ignore[arg-type]
    with pytest.raises(JtvizError, match="ordered by 'taylor', not 'exact'"):
        pruning_curve(jtviz.demo.classifier(), NOTES, of="units", methods="exact")
    with pytest.raises(JtvizError, match="none were found in this model"):
        pruning_curve(jtviz.demo.induction(), ["abcabcabc", "xyzxyzxyz"], of="units")
    found = jtviz.head_importance(jtviz.demo.classifier(), NOTES, method="exact", progress=False)
    with pytest.raises(JtvizError, match="units were not measured"):
        pruning_curve(jtviz.demo.classifier(), NOTES, found, of="units")
