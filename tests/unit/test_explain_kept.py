"""Explanations are saved, copied and cut into parts; what needs the model says so in one sentence."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import jtviz
from jtviz.analysis import Explanation, trust
from jtviz.capture import JtvizError, OutOfRangeError
from tests.unit.explaining import TEXT, build, words

NOTE = "Man, 60. Has crushing chest pain. No sore throat. Lives alone."
QUICK: dict[str, Any] = {"method": "input_x_gradient"}
GONE = "loaded without its model"


def explained(kind: str) -> Explanation:
    if kind == "class":
        return jtviz.explain(jtviz.demo.classifier(), NOTE, **QUICK)
    if kind == "by layer":
        return jtviz.explain(jtviz.demo.classifier(), NOTE, method="layer_conductance", trust=False)
    if kind == "function":
        return jtviz.explain(
            build("Bert", "ForSequenceClassification"), TEXT, tokenizer=words(), trust=False,
            target=lambda output: output.logits[0, 0], **QUICK,
        )  # fmt: skip
    return jtviz.explain(jtviz.demo.translator(), "I like tea.", **QUICK)


@pytest.mark.parametrize("kind", ["class", "by layer", "function", "translation"])
def test_a_pickled_explanation_has_all_but_the_model(kind: str) -> None:
    found = explained(kind)
    loaded = pickle.loads(pickle.dumps(found))  # noqa: S301 - made here
    assert loaded.attributions == found.attributions
    assert loaded.to_pandas().equals(found.to_pandas())
    assert loaded.to_html(annotate=True) == found.to_html(annotate=True)
    assert (repr(loaded), loaded.target, loaded.delta) == (repr(found), found.target, found.delta)
    for part, own in zip(loaded.parts, found.parts, strict=True):
        assert dict(part.tokens) == dict(own.tokens)
        assert part.score.words == own.score.words
    assert [worth.sentences for worth in loaded.trust or ()] == [w.sentences for w in found.trust or ()]
    assert loaded._repr_mimebundle_()["text/html"] == found.to_html()
    for call in (loaded.view, lambda: loaded.traces):
        with pytest.raises(JtvizError, match=GONE):
            call()


def test_a_pickled_attribution_is_refused_where_it_has_to_be_computed_with() -> None:
    found = explained("class")
    loaded = pickle.loads(pickle.dumps(found.parts[0]))  # noqa: S301 - made here
    np.testing.assert_array_equal(loaded.scores["encoder"], found.parts[0].scores["encoder"])
    with pytest.raises(JtvizError, match=GONE):
        trust(found.traces[0], loaded)
    with (
        jtviz.analysis.attribution.opened(found.traces[0]) as session,
        pytest.raises(JtvizError, match=GONE),
    ):
        session.attribute(loaded.score, found.how)


def test_a_copy_still_has_its_model() -> None:
    found = explained("class")
    for copied in (copy.copy(found), copy.deepcopy(found)):
        assert copied.to_html() == found.to_html()
        assert copied.traces == found.traces
        assert trust(copied.traces[0], copied.parts[0]).sentences == (found.trust or ())[0].sentences


def test_a_slice_has_these_parts() -> None:
    found = explained("translation")
    some = found[1:3]
    assert some.names == found.names[1:3]
    assert some.parts == found.parts[1:3]
    assert some.trust == (found.trust or ())[1:3]
    assert found[-1].names == found.names[-1:]
    assert not len(found[0:0])
    assert "Name what to explain" in found[0:0].to_html()


def test_what_is_no_part_is_refused_in_one_sentence() -> None:
    found = explained("class")
    with pytest.raises(OutOfRangeError, match="part 3 is not there: there are 1"):
        found[3]
    wrong: Any
    for wrong in (1.5, None, (0, 1)):
        with pytest.raises(JtvizError, match="a part is a number, a name or a slice"):
            found[wrong]
