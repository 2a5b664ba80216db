"""Probes: equal to scikit-learn by hand, and they find what was planted where it was planted.

The reference: a pipeline of scikit-learn on hidden states that are read one text at a time.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jtviz
from jtviz.analysis import Probes, probe
from jtviz.capture import JtvizError, OutOfRangeError, hook
from jtviz.capture.memory import fingerprint
from jtviz.tokens import Tokens
from tests.unit.planted import KNOWN_FROM, Planted, texts, tokenizer

Array = np.ndarray[Any, Any]
WHO = ("A man", "A woman", "A boy", "My sister", "The farmer", "Our doctor")
WHAT = ("a cough", "a rash", "crushing chest pain", "a runny nose")
NOTES = [f"{who} has {what}." for who in WHO for what in WHAT]
URGENT = ["urgent" if "pain" in note or "rash" in note else "can wait" for note in NOTES]


def by_hand(x: Array, y: Array, groups: Array, model: Any = None, cv: int = 5) -> Array:
    """Return what scikit-learn's own pipeline says of each row."""
    pipeline = model or make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedGroupKFold(cv, shuffle=True, random_state=0)
    said: Array = cross_val_predict(pipeline, x, y, groups=groups, cv=folds)
    return said


def means(hooked: Any, notes: list[str], layer: int) -> Array:
    """Return the mean over the tokens that are not special, of each text."""
    rows = []
    for note in notes:
        trace = hooked.trace(note)
        own = [i for i, special in enumerate(trace.tokens["encoder"].special) if not special]
        rows.append(trace.hidden("encoder")[layer, own].mean(0).numpy())
    return np.stack(rows)


def test_probes_of_sentences_are_those_of_scikit_learn() -> None:
    hooked = jtviz.demo.classifier()
    found = probe(hooked, NOTES, URGENT)
    assert (found.layers, found.n, found.texts, found.side) == ((0, 1, 2), 24, 24, "encoder")
    y, groups = np.array(URGENT), np.arange(24)
    for i, layer in enumerate(found.layers):
        right = by_hand(means(hooked, NOTES, layer), y, groups) == y
        assert found.accuracy[i] == pytest.approx(right.mean(), abs=1e-12)
        assert found.accuracy_error[i] == pytest.approx(right.std(ddof=1) / 24**0.5, abs=1e-12)
    dummy = by_hand(np.zeros((24, 1)), y, groups, DummyClassifier(strategy="most_frequent")) == y
    assert found.majority == pytest.approx(dummy.mean(), abs=1e-12)


def test_probes_of_tokens_are_those_of_scikit_learn_with_texts_kept_apart() -> None:
    model, (given, words) = Planted(), texts()
    labels = [[model.label(word) for word in row] for row in words]
    found = probe(model, given, labels, unit="token", tokenizer=tokenizer(), layer=[1, 3])
    y, groups = np.array(labels).ravel(), np.repeat(np.arange(len(given)), 4)
    hooked = hook(model, tokenizer())
    for i, layer in enumerate((1, 3)):
        x = np.concatenate([hooked.trace(text).hidden("encoder")[layer].numpy() for text in given])
        right = (by_hand(x, y, groups) == y).astype(float)
        assert found.accuracy[i] == pytest.approx(right.mean(), abs=1e-12)
        # The standard error of the mean of clusters of equal size is that of their means.
        wanted = right.reshape(-1, 4).mean(1).std(ddof=1) / len(given) ** 0.5
        assert found.accuracy_error[i] == pytest.approx(wanted, abs=1e-12)


def test_a_planted_property_is_found_where_it_was_planted_and_nowhere_before() -> None:
    model, (given, words) = Planted(), texts()
    labels = [[model.label(word) for word in row] for row in words]
    found = probe(model, given, labels, unit="token", tokenizer=tokenizer())
    assert found.layers == (0, 1, 2, 3, 4)
    for i in range(KNOWN_FROM):
        assert found.accuracy[i] < found.majority + 3 * found.accuracy_error[i]
    assert (found.accuracy[KNOWN_FROM:] > 0.97).all()
    # Each word is in one text only, so that nothing of it can be remembered.
    assert (found.selectivity[KNOWN_FROM:] > 3 * found.selectivity_error[KNOWN_FROM:]).all()
    assert found.best == KNOWN_FROM


def test_the_control_task_gives_a_word_one_label_and_is_learnt_where_words_can_be_remembered() -> None:
    # Six words that come again and again, in vectors wide enough to tell them all apart.
    hooked = jtviz.demo.translator()
    names = ["tea", "milk", "bread", "rice", "fish", "water"]
    rng = np.random.default_rng(0)
    given = [" ".join(rng.permutation(names)) for _ in range(30)]
    labels = [["drink" if w in {"tea", "milk", "water"} else "food" for w in t.split()] for t in given]
    found = probe(hooked, given, labels, unit="token", layer=0)
    assert found.accuracy[0] == 1
    assert found.control[0] == 1
    assert found.selectivity[0] == 0


def test_labels_of_words_are_those_of_all_their_tokens_and_a_function_labels_tokens() -> None:
    hooked = jtviz.demo.translator()
    given = ["I like bookshops.", "We like old bookshops."] * 2 + ["I like tea.", "They drink tea."]
    tokens = [hooked.trace(text).tokens["encoder"] for text in given]
    assert any(len(set(t.words)) < len(t) for t in tokens)

    def first(of: Tokens) -> list[int | None]:
        return [None if special else int(i == 0) for i, special in enumerate(of.special)]

    by_function = probe(hooked, given, first, unit="token", cv=2)
    by_word = [[int(i == 0) for i in range(len(text[:-1].split()) + 1)] for text in given]
    assert probe(hooked, given, by_word, unit="token", cv=2).n == by_function.n
    np.testing.assert_array_equal(
        probe(hooked, given, by_word, unit="token", cv=2).accuracy, by_function.accuracy
    )


def test_a_data_frame_is_read_by_the_names_of_its_columns() -> None:
    hooked = jtviz.demo.classifier()
    wanted = probe(hooked, NOTES, URGENT).accuracy
    frame = pd.DataFrame({"text": NOTES, "label": URGENT, "who": [note.split()[1] for note in NOTES]})
    np.testing.assert_array_equal(probe(hooked, frame).accuracy, wanted)
    np.testing.assert_array_equal(probe(hooked, frame["text"], frame["label"]).accuracy, wanted)
    assert len(probe(hooked, frame, "who", cv=2, layer=-1).classes) == 6
    table = jtviz.probe(hooked, frame).to_pandas()
    assert isinstance(table, pd.DataFrame)
    assert table["accuracy"].to_list() == wanted.tolist()
    assert {"layer", "control", "selectivity", "majority"} <= set(table.columns)


def test_of_too_many_units_a_random_sample_is_probed_and_it_is_said() -> None:
    model, (given, words) = Planted(), texts()
    labels = [[model.label(word) for word in row] for row in words]
    found = probe(model, given, labels, unit="token", tokenizer=tokenizer(), most=100)
    assert found.n == 100
    assert found.notes == ("100 of 160 units were probed, a random sample",)
    assert found.accuracy[KNOWN_FROM] > 0.95


def test_both_sides_of_a_translator_can_be_probed() -> None:
    hooked = jtviz.demo.translator()
    given = [f"{who} {verb} tea." for who in ("I", "We") for verb in ("like", "drink", "want", "have")]
    for side in ("encoder", "decoder"):
        found = probe(hooked, given, [text.split()[0] for text in given], side=side, cv=4)
        assert found.side == side
        assert found.accuracy[0] == 1


def test_probing_leaves_the_model_and_what_is_remembered_of_it_as_they_were() -> None:
    hooked = jtviz.demo.classifier()
    trace = hooked.trace("A man has a cough.")
    before = fingerprint(hooked.model)
    probe(hooked, NOTES, URGENT)
    assert fingerprint(hooked.model) == before
    assert hooked.trace("A man has a cough.") is trace


def test_repeated_probes_are_the_same() -> None:
    first, second = (probe(jtviz.demo.classifier(), NOTES, URGENT, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.control, second.control)
    np.testing.assert_array_equal(first.accuracy, second.accuracy)


@pytest.mark.parametrize(
    ("given", "labels", "options", "said"),
    [
        (NOTES, URGENT[:-1], {}, "24 texts and 23 labels"),
        (NOTES, None, {}, "labels= is a list"),
        (NOTES, ["urgent"] * 24, {}, "at least two labels"),
        (NOTES, ["rare", *["often"] * 23], {}, "label 'rare' is in 1 texts, and cv=5"),
        (NOTES, [0.5] * 24, {}, "example 0: a label is the name or number of a class"),
        (NOTES, [None, *URGENT[1:]], {}, "example 0: there is no label"),
        (NOTES, URGENT, {"unit": "word"}, "unit= is 'sentence' or 'token'"),
        (NOTES, URGENT, {"unit": "token"}, "example 0: with unit='token' a text has a list"),
        (NOTES, [["a"]] * 24, {"unit": "token"}, "example 0: there are 1 labels for"),
        (NOTES, URGENT, {"cv": 1}, "cv= is a number, at least 2"),
        (NOTES, URGENT, {"side": "cross"}, "side= is 'encoder' or 'decoder'"),
        (NOTES, URGENT, {"side": "decoder"}, "side 'decoder' is not there"),
        (["", *NOTES[1:]], URGENT, {}, "example 0: text is empty"),
        ("one text", URGENT, {}, "texts are a list of strings"),
        (pd.DataFrame({"sentence": NOTES}), URGENT, {}, "needs a column 'text'"),
        (pd.DataFrame({"text": NOTES}), "mood", {}, "no column 'mood'"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(given: Any, labels: Any, options: Any, said: str) -> None:
    with pytest.raises(JtvizError, match=said):
        probe(jtviz.demo.classifier(), given, labels, **options)


def test_a_layer_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(OutOfRangeError, match="layer 3 is not there: the encoder has layers 0 to 2"):
        probe(jtviz.demo.classifier(), NOTES, URGENT, layer=3)


def test_without_scikit_learn_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(JtvizError, match=r'pip install "jtviz\[layers\]"'):
        probe(jtviz.demo.classifier(), NOTES, URGENT)


def test_a_stream_that_is_not_finite_is_refused() -> None:
    model = Planted()
    with torch.no_grad():
        model.embedding.weight[0, 0] = torch.inf
    given, words = texts()
    labels = [[str(word % 2) for word in row] for row in words]
    with pytest.raises(JtvizError):
        probe(model, given, labels, unit="token", tokenizer=tokenizer())


def test_what_is_returned_is_a_frozen_data_class() -> None:
    found = probe(jtviz.demo.classifier(), NOTES, URGENT, layer=0)
    assert isinstance(found, Probes)
    with pytest.raises(AttributeError):
        found.side = "decoder"  # type: ignore[misc]
