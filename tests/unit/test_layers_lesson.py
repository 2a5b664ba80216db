"""The lesson *How meaning is built*: its last part follows a sentence through a model of the reader's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
import transformers

import jtviz
from tests.unit.explaining import words

LESSON = "notebooks/04_how_meaning_is_built.ipynb"


def ran(repository: Path, **left: Any) -> dict[str, Any]:
    """Run the cells about a pretrained model and return what they leave."""
    if not (repository / LESSON).exists():
        pytest.skip("an sdist has the tests, but no notebooks")
    lesson = nbformat.read(repository / LESSON, as_version=4)  # type: ignore[no-untyped-call]
    cells = [cell.source for cell in lesson.cells if cell.cell_type == "code" and "pretrained" in cell.source]
    assert len(cells) == 2
    found: dict[str, Any] = {"jtviz": jtviz} | left
    for source in cells:
        exec(source, found)  # noqa: S102  # our own notebook
    return found


def test_a_pretrained_model_is_followed_where_there_is_one(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = words(with_marks=False)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_layer=3, n_head=2, n_embd=16, bos_token_id=0, eos_token_id=0
    )
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    monkeypatch.setenv("JTVIZ_PRETRAINED", str(tmp_path))
    displayed: list[Any] = []
    found = ran(repository, display=displayed.append)
    view, table = displayed
    assert view.panels.tab == "lens"
    assert view.panels.lens.words(view.panels.lens.answer[-1:]) == [found["shown"].trace.predicts[-1]]
    assert list(table.columns) == ["kind", "stage", "layer", "head", "name", "value"]


def test_without_one_it_says_how_to_name_one(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JTVIZ_PRETRAINED", "no-such/model")
    assert ran(repository)["pretrained"] is None
    assert "no-such/model is not on this computer" in capsys.readouterr().out
