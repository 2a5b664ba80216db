"""Words, sentences and spans of one's own as units: of what is computed, tables and pages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jtviz
from jtviz.analysis import Explanation
from jtviz.analysis.attribution import attribute
from jtviz.capture import JtvizError
from tests.unit.explaining import CONTEXT, build, words

NOTE = "Man, 60. Has crushing chest pain. No sore throat. Lives alone."
SENTENCES = ("[CLS]", "Man, 60.", "Has crushing chest pain.", "No sore throat.", "Lives alone.")
SPANS = [(1, 4), (6, 9)]
TOLERANCE = 1e-6  # of sums of float32 scores


def explained(**asked: Any) -> Explanation:
    return jtviz.explain(jtviz.demo.classifier(), NOTE, trust=False, method="input_x_gradient", **asked)


def test_units_sum_the_scores_of_their_tokens_and_miss_none() -> None:
    part = explained(unit="sentence").parts[0]
    tokens, scores = part.tokens["encoder"], part.scores["encoder"]
    units = part.by_unit("sentence")["encoder"]
    assert units.names == SENTENCES
    assert [i for span in units.spans for i in range(*span)] == list(range(len(tokens)))
    wanted = np.add.reduceat(scores.astype(float), [start for start, _ in units.spans])
    np.testing.assert_allclose(units.scores, wanted, atol=TOLERANCE, rtol=0)
    assert part.by_unit("token")["encoder"].names == tuple(tokens)
    names, sums = part.by_word()["encoder"]
    assert part.by_unit("word")["encoder"].names == names
    np.testing.assert_array_equal(part.by_unit("word")["encoder"].scores, sums)


def test_spans_are_units_and_what_they_leave_out_stays_single() -> None:
    part = explained().parts[0]
    units = part.by_unit(SPANS)["encoder"]
    count = len(part.tokens["encoder"])
    single = [(i, i + 1) for i in range(count) if not any(a <= i < b for a, b in SPANS)]
    assert list(units.spans) == sorted([*single, *SPANS])
    assert units.names[1] == "Man, 60"


def test_the_unit_that_was_asked_for_is_in_the_table_and_on_the_page() -> None:
    found = explained(unit="sentence")
    table = found.to_pandas()
    spans = found.parts[0].by_unit("sentence")["encoder"].spans
    assert table.groupby("unit").size().tolist() == [stop - start for start, stop in spans]
    by = found.to_pandas(by="sentence")
    assert tuple(by["text"]) == SENTENCES
    np.testing.assert_allclose(by["score"], table.groupby("unit")["score"].sum(), atol=TOLERANCE, rtol=0)
    assert [name for name, _ in found.by_unit()] == list(SENTENCES)
    for page in (found.to_html(), explained().to_html(unit="sentence")):
        assert ">Has crushing chest pain.<" in page
    assert ">Man, 60<" in found.to_html(unit=SPANS)


def test_a_pair_without_full_stops_is_two_sentences() -> None:
    model = build("Bert", "ForSequenceClassification")
    found = jtviz.explain(model, ("the cat sat", "a dog ran"), tokenizer=words(), trust=False)
    names = found.parts[0].by_unit("sentence")["encoder"].names
    assert [name for name in names if "[" not in name] == ["the cat sat", "a dog ran"]


@pytest.mark.parametrize("unit", ["sentence", SPANS], ids=["sentence", "spans"])
def test_a_view_replaces_sentences_and_spans_and_shades_tokens(unit: Any) -> None:
    model = jtviz.demo.classifier()
    view = jtviz.show_gradients(model, NOTE, method="feature_ablation", unit=unit, check=False)
    wanted = attribute(model.trace(NOTE), "feature_ablation", unit=unit).scores["encoder"]
    np.testing.assert_allclose(view.attributions[0].scores["encoder"], wanted, atol=TOLERANCE, rtol=0)
    assert view.strip.unit == "token"
    view.close()


@pytest.mark.parametrize("unit", ["letter", [(1, 2, 3)], [1, 2], 3, None, {"a": 1}], ids=str)
def test_what_is_no_unit_is_refused_before_the_text_is_read(unit: Any) -> None:
    model = jtviz.demo.classifier()
    handle = model.model.register_forward_pre_hook(lambda *_: pytest.fail("the model was run"))
    try:
        for call in (jtviz.explain, jtviz.show_gradients):
            with pytest.raises(JtvizError, match=r"unit= is one of 'token', 'word', 'sentence' or spans"):
                call(model, CONTEXT, unit=unit)
    finally:
        handle.remove()


def test_spans_out_of_the_text_are_refused_in_tables_and_pages() -> None:
    found = explained()
    for call in (lambda: found.to_html(unit=[(0, 99)]), lambda: found.to_pandas(by=[(0, 99)])):
        with pytest.raises(JtvizError, match=r"unit \(0, 99\) is not there"):
            call()
