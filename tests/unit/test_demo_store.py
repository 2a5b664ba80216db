"""Embedded models on disk: whole or refused, and each with a card."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import jtviz
from jtviz.demo import embedded
from jtviz.demo.embedded import FOLDER, NAMES

OPENED = {
    "translator": embedded.open_translator,
    "induction": embedded.open_induction,
    "classifier/honest": embedded.open_classifier,
    "classifier/shortcut": embedded.open_classifier,
}
FILES = [(name, file.name) for name in OPENED for file in sorted((FOLDER / name).glob("[!c]*"))]
FILES += [(name, "config.json") for name in OPENED]


@pytest.mark.parametrize(("name", "file"), FILES)
@pytest.mark.parametrize("harm", ["cut", "changed", "missing"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str, file: str, harm: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FOLDER / name, folder)
    content = bytearray((folder / file).read_bytes())
    if harm == "cut":
        (folder / file).write_bytes(content[: len(content) // 2])
    elif harm == "changed":
        content[len(content) // 2] ^= 1
        (folder / file).write_bytes(content)
    else:
        (folder / file).unlink()
    with pytest.raises(
        jtviz.demo.DamagedModelError, match=r"is damaged \(.*\): install jtviz again"
    ) as caught:
        OPENED[name](folder)
    assert str(folder) in str(caught.value)
    # Where the list of checksums itself is harmed, another file may be the one that no longer fits.
    assert file in str(caught.value) or file == "sha256.json"


@pytest.mark.parametrize("name", OPENED)
def test_what_is_opened_is_what_the_file_holds(name: str) -> None:
    before = torch.random.get_rng_state()
    model = OPENED[name](FOLDER / name)[0]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(module.training for module in model.modules())
    stored = load_file(FOLDER / name / "model.safetensors")
    state = model.state_dict()
    assert len(stored) > 5
    for key, tensor in stored.items():
        assert tensor.dtype == torch.float16
        torch.testing.assert_close(state[key], tensor.float(), atol=0, rtol=0)
    # Only a weight that is tied to one in the file may be left out of it.
    for key in set(state) - set(stored):
        assert state[key].data_ptr() in {state[name].data_ptr() for name in stored}


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_what_a_model_is_and_how_it_was_made(name: str) -> None:
    card = jtviz.demo.card(name)
    assert card.command.startswith(f"python -m jtviz.demo.train_{name}")
    assert f"--seed {card.seed}" in card.command
    assert len(card.curve) >= 5
    losses = [key for key in card.curve[0] if key.startswith("loss")]
    assert losses
    assert all(card.curve[-1][key] < card.curve[0][key] for key in losses)
    assert len(card.figures) >= 5
    assert len(card.wrong) >= 3
    page = card._repr_markdown_()
    for part in (card.model, card.data, card.licence, card.command, *card.wrong, *card.figures):
        assert part in page
    hooked = getattr(jtviz.demo, name)()
    assert card.parameters == sum(parameter.numel() for parameter in hooked.model.parameters())


def test_the_translator_card_gives_the_data_their_due() -> None:
    card = jtviz.demo.card("translator")
    assert "tatoeba.org, CC BY 2.0 FR" in card.data
    assert card.figures["test pairs"] == 500
    bleu = {name: float(value) for name, value in card.figures.items() if name.startswith("BLEU")}
    assert len(bleu) == 4
    assert min(bleu.values()) >= 20


def test_the_loss_is_drawn_as_a_chart() -> None:
    figure = jtviz.demo.card("classifier").chart()
    lines, names = figure.marks
    curve = jtviz.demo.card("classifier").curve
    assert lines.y.tolist() == [
        [point[f"loss of the {name} weights"] for point in curve] for name in ("honest", "shortcut")
    ]
    assert lines.x.tolist() == [point["epoch"] for point in curve]
    assert names.text.tolist() == ["honest weights", "shortcut weights"]


def test_a_model_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="choose from 'translator', 'induction', 'classifier'"):
        jtviz.demo.card("summariser")


def test_a_damaged_card_is_refused(tmp_path: Path) -> None:
    for content in (None, "{", json.dumps({"model": "something"})):
        if content is not None:
            (tmp_path / "card.json").write_text(content, encoding="utf-8")
        with pytest.raises(jtviz.demo.DamagedModelError, match="install jtviz again"):
            jtviz.demo.Card.read(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_opened_once(name: str) -> None:
    opened = getattr(jtviz.demo, name)
    assert opened() is opened()
    assert isinstance(opened(), jtviz.HookedTransformer)
    assert jtviz.demo.classifier() is jtviz.demo.classifier(shortcut=False)


@pytest.mark.parametrize("name", OPENED)
def test_what_is_switched_on_round_the_first_call_does_not_stay(name: str) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode():
            model = OPENED[name](FOLDER / name)[0]
    finally:
        torch.set_default_dtype(torch.float32)
    for parameter in model.parameters():
        assert parameter.dtype == torch.float32
        assert not parameter.is_inference()


def test_the_models_open_in_under_a_second() -> None:
    started = time.perf_counter()
    for name, open_model in OPENED.items():
        open_model(FOLDER / name)
    # Milliseconds each; make bench has the figures.
    assert time.perf_counter() - started < len(OPENED)
