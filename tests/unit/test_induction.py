"""Repeat scores, and the embedded induction model that they were made for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import jtviz
from jtviz.analysis import repeat_scores
from jtviz.capture import JtvizError, hook
from jtviz.demo import embedded, train_induction

PERIOD = 32


def test_repeat_scores_are_the_means_their_names_say() -> None:
    trace = jtviz.demo.induction().trace("abcdeabcdeab")
    scores = repeat_scores(trace, period=5)
    for layer in range(2):
        pattern = trace.attention("decoder", layer=layer)
        for head in range(4):
            for found, back in (
                (scores.previous_token, 1),
                (scores.duplicate_token, 5),
                (scores.induction, 4),
            ):
                weights = [pattern[head, row, row - back].item() for row in range(back, 12)]
                assert found[layer, head].item() == pytest.approx(sum(weights) / len(weights), abs=1e-6)


def test_a_text_that_does_not_repeat_itself_so_is_refused() -> None:
    with pytest.raises(JtvizError, match="is the same 3 tokens later"):
        repeat_scores(jtviz.demo.induction().trace("abcdefgh"), 3)


@pytest.mark.parametrize("period", [1, 12, 40, 2.5])
def test_a_period_that_does_not_fit_the_text_is_refused(period: float) -> None:
    trace = jtviz.demo.induction().trace("abcdeabcdeab")
    with pytest.raises(JtvizError, match=f"between 2 and 11 for 12 tokens, not {period}"):
        repeat_scores(trace, period)  # type: ignore[arg-type]


def test_a_repeat_is_not_scored_across_two_texts() -> None:
    with pytest.raises(JtvizError, match="where a text looks at itself"):
        repeat_scores(jtviz.demo.translator().trace("I like tea."), 2, stage="cross")


def test_one_head_looks_back_one_token_and_others_look_for_what_followed() -> None:
    hooked = jtviz.demo.induction()
    generator = torch.Generator().manual_seed(1234)
    previous, induction = torch.zeros(4), torch.zeros(4)
    for _ in range(16):
        half = torch.randint(1, 95, (1, PERIOD), generator=generator)
        trace = hooked.trace(inputs={"input_ids": torch.cat([half, half], dim=1)})
        scores = repeat_scores(trace, PERIOD)
        previous += scores.previous_token[0] / 16
        induction += scores.induction[1] / 16
    assert previous.max() >= 0.85
    assert (induction >= 0.8).sum() >= 2
    # What one layer alone can do is in the card, with the same training.
    figures = jtviz.demo.card("induction").figures
    (one_layer,) = (v for k, v in figures.items() if k.startswith("induction scores") and "one layer" in k)
    assert max(map(float, str(one_layer).split(","))) < 0.1


def test_a_text_longer_than_its_positions_is_refused() -> None:
    with pytest.raises(JtvizError, match="65 tokens, but the model reads at most 64"):
        jtviz.demo.induction().trace("abcde" * 13)


def test_nothing_is_guessed_of_a_text_that_has_not_repeated_itself() -> None:
    text = "abcdefghijklmnopqrstuvwxyz"
    trace = jtviz.demo.induction().trace(text)
    assert trace.logits is not None
    first = trace.logits.softmax(-1)[:, (trace.tokens["decoder"].ids or ())[0]]
    assert first[8:].mean() < 0.5


@pytest.mark.parametrize("text", ["k7Qm2xRtk7Qm2", "hello world; hello w"])
def test_it_continues_what_repeats_itself(text: str) -> None:
    half = text.replace(" ", "")
    period = next(n for n in range(1, len(half)) if half[n:] == half[: len(half) - n])
    continued = (half[:period] * 3)[len(half) : len(half) + 4]
    assert jtviz.demo.induction().generate(text, max_new_tokens=4) == continued


def test_attention_is_what_the_formula_gives() -> None:
    hooked = jtviz.demo.induction()
    trace = hooked.trace("k7Qm2xRt k7Qm2xRt")
    model: Any
    model, _ = embedded.open_induction(embedded.FOLDER / "induction")
    with torch.no_grad():
        stream = model.embedding(torch.tensor([trace.tokens["decoder"].ids])) + model.positions.weight[:16]
        for number, layer in enumerate(model.layers):
            normed = layer.norm(stream)
            queries, keys = (
                part(normed).view(16, 4, 16).transpose(0, 1) for part in (layer.query, layer.key)
            )
            scores = queries @ keys.mT / 4 + torch.full((16, 16), -torch.inf).triu(1)
            torch.testing.assert_close(
                trace.attention("decoder", layer=number), scores.softmax(-1), atol=1e-5, rtol=0
            )
            stream = layer(stream)


def test_training_makes_a_model_that_loads_and_a_card_that_says_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path), "--steps", "3"])
    train_induction.main()
    model, tokenizer = embedded.open_induction(tmp_path)
    assert sum(parameter.numel() for parameter in model.parameters()) < 50_000
    card = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert len(card["curve"]) == 3
    # Untrained, it guesses.
    assert card["figures"]["accuracy in the second half, two halves of 32 random tokens"] < 0.2
    assert hook(model, tokenizer).trace("abc").stages == ("decoder",)


def test_one_token_that_a_decoder_reads_is_of_a_decoder() -> None:
    trace = embedded.induction().trace("a")
    assert trace.stages == ("decoder",)
    assert trace.attention("decoder", layer=0).flatten().tolist() == [1.0] * 4


def test_sequences_repeat_themselves_with_a_period_from_8_to_32() -> None:
    ids, periods = train_induction.repeats(200, 95, torch.Generator().manual_seed(0))
    assert ids.shape == (200, 64)
    assert (int(periods.min()), int(periods.max())) == (8, 32)
    for row, period in zip(ids, periods.tolist(), strict=True):
        assert torch.equal(row[period:], row[:-period])
