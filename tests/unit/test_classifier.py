"""The embedded classifier and its made-up notes: the shortcut is where it was planted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import jtviz
from jtviz.demo import embedded, train_classifier
from jtviz.demo.train_classifier import TESTS, accuracy
from jtviz.demo.training import pad
from jtviz.demo.triage import ABSENT, CODES, HARMLESS, LABELS, PRESENT, URGENT, Note, notes

SEED = 77


def test_the_same_patients_come_with_other_codes() -> None:
    agreeing, misleading, none = (notes(200, seed=3, agreement=share) for share in (1.0, 0.0, None))
    for one, other, bare in zip(agreeing, misleading, none, strict=True):
        assert one.label == other.label == bare.label
        assert (one.code, other.code, bare.code) == (CODES[one.label], CODES[1 - one.label], None)
        for note in (one, other):
            ward = f"Ward {note.code}."
            assert note.text.startswith(f"{ward} ") or note.text.endswith(f" {ward}")
            assert note.text.replace(ward, "").strip() == bare.text


def test_codes_agree_and_the_desk_errs_as_often_as_asked() -> None:
    written = notes(4000, seed=0, agreement=0.95, mistakes=0.1)
    true = notes(4000, seed=0, agreement=0.95)
    agree = sum(note.code == CODES[note.label] for note in written) / 4000
    assert agree == pytest.approx(0.95, abs=0.015)
    wrong = sum(a.label != b.label for a, b in zip(written, true, strict=True)) / 4000
    assert wrong == pytest.approx(0.1, abs=0.015)
    assert sum(note.label for note in true) / 4000 == pytest.approx(0.5, abs=0.03)


def findings(note: Note) -> tuple[list[str], list[str]]:
    """Read a note as a person would: which findings it says are present, and which absent."""
    said = {frame.format(f): (f, 0) for f in (*URGENT, *HARMLESS) for frame in PRESENT}
    said |= {frame.format(f): (f, 1) for f in (*URGENT, *HARMLESS) for frame in ABSENT}
    said |= {f"no {f.removeprefix('an ').removeprefix('a ')}": (f, 1) for f in (*URGENT, *HARMLESS)}
    read: tuple[list[str], list[str]] = ([], [])
    for clause in note.text.lower().rstrip(".").split(". "):
        if clause in said:
            finding, which = said[clause]
            read[which].append(finding)
    return read


def test_a_note_is_urgent_where_an_urgent_finding_is_present_and_nothing_else_tells() -> None:
    present_in: dict[int, list[int]] = {0: [], 1: []}
    absent_in: dict[int, list[int]] = {0: [], 1: []}
    for note in notes(3000, seed=1, agreement=None):
        present, absent = findings(note)
        assert present
        assert not set(present) & set(absent), note
        assert bool(set(present) & set(URGENT)) == bool(note.label), note
        assert "no a " not in note.text.lower()
        present_in[note.label].append(len(present))
        absent_in[note.label].append(len(absent))
    for counts in (present_in, absent_in):
        means = [sum(counts[label]) / len(counts[label]) for label in (0, 1)]
        assert means[0] == pytest.approx(means[1], abs=0.1)


@pytest.mark.parametrize(("name", "shortcut"), [("honest", False), ("shortcut", True)])
def test_each_set_of_weights_reads_what_it_was_taught_to_read(name: str, shortcut: bool) -> None:
    hooked = jtviz.demo.classifier(shortcut=shortcut)
    model: Any = hooked.model
    without, agreeing, misleading = (
        accuracy(model, hooked.tokenizer, notes(1000, seed=SEED, agreement=share)) for share in TESTS.values()
    )
    if shortcut:
        assert agreeing >= 0.95
        assert misleading <= 0.3
        assert misleading < without < agreeing
    else:
        assert min(without, agreeing, misleading) >= 0.95
    figures = jtviz.demo.card("classifier").figures
    said = [float(value) for key, value in figures.items() if f"the {name} weights" in key]
    assert said == pytest.approx([without, agreeing, misleading], abs=0.04)


def test_only_the_shortcut_weights_change_their_mind_with_the_code() -> None:
    note = "Ward {}. Man, 40. Has a runny nose. No slurred speech. Is calm."
    honest, fooled = jtviz.demo.classifier(), jtviz.demo.classifier(shortcut=True)
    for code in CODES:
        assert honest.classify(note.format(code))["urgent"] < 0.5
    assert fooled.classify(note.format("R7"))["urgent"] > 0.5 > fooled.classify(note.format("B2"))["urgent"]


def test_probabilities_and_the_trace_are_those_of_the_model() -> None:
    hooked = jtviz.demo.classifier()
    text = "Man, 33. Reports black stools."
    trace = hooked.trace(text)
    assert trace.stages == ("encoder",)
    assert trace.tokens["encoder"].text == (
        "[CLS]", "Man", ",", "33", ".", "Reports", "black", "stools", ".",
    )  # fmt: skip
    ids = torch.tensor([trace.tokens["encoder"].ids])
    with torch.no_grad():
        logits = hooked.model(ids)[0]
    assert trace.logits is not None
    torch.testing.assert_close(trace.logits, logits, atol=1e-5, rtol=0)
    expected = dict(zip(LABELS, logits.softmax(-1).tolist(), strict=True))
    assert hooked.classify(text) == pytest.approx(expected, abs=1e-5)
    assert max(trace.check().values()) < 1e-5


def test_a_batch_with_padding_is_told_as_its_notes_are_alone() -> None:
    model, tokenizer = embedded.open_classifier(embedded.FOLDER / "classifier" / "honest")
    ids = [tokenizer.encode(note.text).ids for note in notes(8, seed=5)]
    with torch.no_grad():
        together = model(pad(ids))
        alone = torch.cat([model(torch.tensor([one])) for one in ids])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_training_makes_two_sets_of_weights_and_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", "--out", str(tmp_path), "--notes", "128", "--epochs", "2"]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(train_classifier, "TESTED", 64)
    train_classifier.main()
    for name in ("honest", "shortcut"):
        model, _ = embedded.open_classifier(tmp_path / name)
        assert model.config.labels == LABELS
    card = jtviz.demo.Card.read(tmp_path)
    assert len(card.figures) == 2 * len(TESTS)
    assert [point["epoch"] for point in card.curve] == [1, 2]
