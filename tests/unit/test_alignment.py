"""Alignment by cross attention: that it is computed as it says, and that the translator's is good."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import jtviz
from jtviz.analysis import align
from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.demo.alignments import alignment_accuracy, read_alignments

SENTENCE = "Where's the café, Tom?"
ALIGNED = Path(__file__).parent.parent / "data" / "alignments.tsv"


def test_each_row_is_what_the_predicting_row_gives_to_each_whole_word() -> None:
    trace = jtviz.demo.translator().trace(SENTENCE, target_text="汤姆，咖啡馆在哪里？")
    found = align(trace, layer=1, heads=[0, 2])
    pattern = trace.attention("cross", layer=1)[[0, 2]].mean(0)
    source = trace.tokens["encoder"]
    assert found.words == ("Where's", "the", "café", ",", "Tom", "?", "</s>")
    assert found.written == trace.predicts
    assert "".join(found.written) == "汤姆，咖啡馆在哪里？</s>"
    for column, (word, span) in enumerate(zip(found.words, found.word_spans, strict=True)):
        pieces = [i for i, s in enumerate(source.spans) if s and span and span[0] <= s[0] < span[1]]
        pieces = pieces or [i for i, special in enumerate(source.special) if special]
        torch.testing.assert_close(found.weights[:, column], pattern[:, pieces].sum(1), msg=word)
    torch.testing.assert_close(found.weights.sum(1), torch.ones(len(found.written)))


def test_the_row_that_predicts_a_word_decides_not_the_row_that_reads_it() -> None:
    trace = jtviz.demo.translator().trace("I like tea.", target_text="我喜欢茶。")
    found = align(trace, layer=1)
    pattern = trace.attention("cross", layer=1).mean(0)
    # 喜 is token 2 of the decoder (after <s> and 我), so it is predicted in row 1.
    source = trace.tokens["encoder"].spans
    predicting, reading = source[int(pattern[1].argmax())], source[int(pattern[2].argmax())]
    assert predicting != reading
    assert found.strongest((1, 3)) == predicting
    assert found.written_spans == ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), None)
    with pytest.raises(JtvizError, match="no token of the translation starts in characters 40 to 42"):
        found.strongest((40, 42))


def test_negative_layers_count_from_the_end_and_absent_ones_are_refused() -> None:
    trace = jtviz.demo.translator().trace("I like tea.")
    assert align(trace).layer == 1
    with pytest.raises(OutOfRangeError, match="layers are 0 to 1"):
        align(trace, layer=2)
    with pytest.raises(JtvizError, match="heads= is empty"):
        align(trace, heads=[])


def test_a_model_without_cross_attention_is_refused() -> None:
    with pytest.raises(JtvizError, match="'cross' is not there"):
        align(jtviz.demo.induction().trace("abcabc"))


def test_cross_attention_of_the_translator_aligns_words_as_a_person_does() -> None:
    pairs = read_alignments(ALIGNED)
    assert len(pairs) >= 40
    assert sum(len(pair.links) for pair in pairs) >= 200
    accuracy = alignment_accuracy(jtviz.demo.translator(), pairs)
    assert max(accuracy) >= 0.7, accuracy
    # What the card says is what is measured here.
    figures = jtviz.demo.card("translator").figures
    said = [value for name, value in figures.items() if "right by cross attention" in name]
    assert said == pytest.approx(accuracy, abs=6e-4)


@pytest.mark.parametrize(
    "line",
    ["I see.\t我看。\t看=hear", "I see.\t我看。\t吃=see", "I see I.\t我看。\t我=I", "I see.\t我看。\t看=se"],
)
def test_a_slip_in_an_alignment_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "slip.tsv").write_text(f"# ours\n{line}\n", encoding="utf-8")
    with pytest.raises(JtvizError, match="does not name one place in each sentence: I see"):
        read_alignments(tmp_path / "slip.tsv")


def test_a_line_without_three_parts_and_a_file_without_pairs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "two.tsv").write_text("I see.\t我看。", encoding="utf-8")
    with pytest.raises(JtvizError, match="English, tab, Chinese, tab, links"):
        read_alignments(tmp_path / "two.tsv")
    with pytest.raises(JtvizError, match="no aligned pairs"):
        alignment_accuracy(jtviz.demo.translator(), [])
