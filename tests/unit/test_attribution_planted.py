"""Integrated gradients finds what decides: the statement of the urgent finding, and the planted ward code.

The notes are of seed 1000, as those that the classifier's card measures on: neither set of weights saw them.
A note is urgent if an urgent finding is written there *as present*: two things decide together, the finding
("crushing chest pain") and the words that say it is there ("Has"), and the scores are shared among both. So
what is ranked is each statement, by the sum of its tokens. Of single tokens the first is of the finding
itself in 68 % of 200 notes (else it is mostly "Has" or "Reports"), and of its statement in 90 %: where
another urgent finding is written as absent, a word of that can be first, which the "no" beside it outweighs.
"""

from __future__ import annotations

import functools

import pytest

import jtviz
from jtviz.analysis.attribution import Attribution, attribute
from jtviz.capture import HookedTransformer
from jtviz.demo.triage import CODES, PRESENT, URGENT, Note, notes

NOTES = 200
FIRST = 0.95


@functools.cache
def explained(text: str) -> Attribution:
    """Return why the honest weights say that a note is urgent."""
    return attribute(jtviz.demo.classifier().trace(text), target="urgent")


def statements(found: Attribution) -> list[float]:
    """Return the sum of the scores of each statement of a note: what stands between two full stops."""
    (tokens,), (scores,) = found.tokens.values(), found.scores.values()
    sums = [0.0] * tokens.sentence.count(".")
    for span, score in zip(tokens.spans, scores, strict=True):
        if span is not None:
            sums[tokens.sentence.count(".", 0, span[0])] += float(score)
    return sums


def deciding(note: Note) -> int:
    """Return the number of the one statement that says that an urgent finding is present."""
    said = {form.format(finding).lower() for form in PRESENT for finding in URGENT}
    parts = [part.strip().lower() for part in note.text.split(".")]
    (number,) = (i for i, part in enumerate(parts) if part in said)
    return number


def test_the_deciding_statement_is_first_in_held_out_notes() -> None:
    seen = {note.text for note in notes(20_000, seed=0)}
    urgent = [note for note in notes(4 * NOTES, seed=1000) if note.label and note.text not in seen][:NOTES]
    assert len(urgent) == NOTES
    first = 0
    for note in urgent:
        sums = statements(explained(note.text))
        first += sums.index(max(sums)) == deciding(note)
    assert first >= FIRST * NOTES


def test_where_no_other_urgent_finding_is_named_the_first_token_is_of_the_deciding_statement() -> None:
    bare = [finding.removeprefix("a ").removeprefix("an ") for finding in URGENT]
    urgent = [
        note
        for note in notes(10 * NOTES, seed=1000)
        if note.label and sum(finding in note.text.lower() for finding in bare) == 1
    ][:NOTES]
    assert len(urgent) == NOTES
    first = 0
    for note in urgent:
        found = explained(note.text)
        span = found.tokens["encoder"].spans[found.scores["encoder"].argmax()]
        first += span is not None and note.text.count(".", 0, span[0]) == deciding(note)
    assert first >= FIRST * NOTES


def decided_by_code(hooked: HookedTransformer, note: Note) -> bool:
    """Whether the other ward code would turn the prediction round."""
    other = CODES[1 - CODES.index(note.code or "")]
    turned = note.text.replace(f"Ward {note.code}", f"Ward {other}")
    before, after = (hooked.classify(text)["urgent"] > 0.5 for text in (note.text, turned))
    return before == (note.code == CODES[1]) and before != after


def test_the_ward_code_is_first_where_it_misleads_the_weights_with_the_shortcut() -> None:
    hooked = jtviz.demo.classifier(shortcut=True)
    misled = [note for note in notes(2 * NOTES, seed=1000, agreement=0.0) if decided_by_code(hooked, note)][
        :NOTES
    ]
    assert len(misled) == NOTES
    first = 0
    for note in misled:
        found = attribute(hooked.trace(note.text))
        (words,) = found.by_word().values()
        first += words[0][words[1].argmax()].upper() == note.code
    assert first >= FIRST * NOTES


def test_the_honest_weights_do_not_rest_on_the_ward_code() -> None:
    hooked = jtviz.demo.classifier()
    for note in notes(20, seed=1000, agreement=0.0):
        words, scores = next(iter(attribute(hooked.trace(note.text)).by_word().values()))
        place = [word.upper() for word in words].index(note.code or "")
        assert abs(scores[place]) < 0.25 * abs(scores).max()


@pytest.mark.parametrize("method", ["feature_ablation", "shapley_sampling", "occlusion", "gradient_shap"])
def test_other_methods_find_the_deciding_statement_too(method: str) -> None:
    hooked = jtviz.demo.classifier()
    urgent = [note for note in notes(100, seed=1000) if note.label][:20]
    first = 0
    for note in urgent:
        sums = statements(attribute(hooked.trace(note.text), method, target="urgent", raise_steps=False))
        first += sums.index(max(sums)) == deciding(note)
    assert first >= 18
