"""The lesson *Attention, step by step*: it runs as it is, and its checks know right from wrong.

Required: answers here are computed by hand, with what the lesson itself leaves in the notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from nbclient import NotebookClient

import jtviz
from jtviz.demo.exercises import EXERCISES, SENTENCE, check

LESSON = "notebooks/01b_attention_step_by_step.ipynb"
NAMES = list(EXERCISES)


def read(repository: Path) -> Any:
    if not (repository / LESSON).exists():
        pytest.skip("an sdist has the tests, but no notebooks")
    return nbformat.read(repository / LESSON, as_version=4)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def lesson(repository: Path) -> Iterator[SimpleNamespace]:
    """Run the cells here and give what they leave: exercises are answered with it."""
    left: dict[str, Any] = {}
    with torch.no_grad(), pd.option_context("display.float_format", None):  # the lesson sets both
        for cell in read(repository).cells:
            if cell.cell_type == "code":
                exec(cell.source, left)  # noqa: S102  # our own notebook
        left["like"] = left["tokens"].index("like")
        yield SimpleNamespace(**left)


def head_adds(lesson: SimpleNamespace, query: int, head: int) -> torch.Tensor:
    part = slice(head * 48, (head + 1) * 48)
    weights = torch.softmax(lesson.Q[query, part] @ lesson.K[:, part].T / 48**0.5, dim=-1)
    added: torch.Tensor = lesson.W_o[:, part] @ (weights @ lesson.V[:, part])
    return added


Answer = Callable[[SimpleNamespace], Any]
RIGHT: dict[str, list[Answer]] = {
    "score": [
        lambda at: at.queries[at.drink] @ at.keys[at.like] / 48**0.5,
        lambda at: round(float(at.queries[at.drink] @ at.keys[at.like] / 48**0.5), 2),
    ],
    "weights": [
        lambda at: (at.keys @ at.queries[at.drink] / 48**0.5).softmax(-1),
        lambda at: [round(weight, 2) for weight in at.pattern[at.drink].tolist()],
        lambda at: at.pattern[at.drink].numpy()[None],
        lambda at: pd.Series(at.pattern[at.drink], index=at.tokens),
    ],
    "mask": [
        lambda at: at.written[: at.written.index("欢") + 1],
        lambda _: {"欢", "喜", "我 ", "<s>"},
    ],
    "source": [lambda _: "drink", lambda _: " Drink"],
    "added": [
        lambda at: (at.pattern[at.drink] @ at.V[:, :48]) @ at.W_o[:, :48].T,
        lambda at: head_adds(at, at.drink, 0).tolist(),
    ],
    "most": [
        lambda at: max(range(4), key=lambda head: float(head_adds(at, 0, head).norm())),
        lambda _: torch.tensor([2]),
    ],
}
WRONG: dict[str, list[tuple[Answer, str]]] = {
    "score": [
        (lambda at: at.queries[at.drink] @ at.keys[at.like], "divide it by the square root"),
        (lambda at: at.queries[at.drink] @ at.keys[at.like] / 48, "not by 48"),
        (lambda at: at.queries[at.like] @ at.keys[at.drink] / 48**0.5, "`like` looking at `drink`"),
        (lambda at: at.pattern[at.drink, at.like], "after softmax"),
        (lambda _: 0, "add up the 48 products"),
        (lambda at: at.queries[at.drink], "this has 48 numbers"),
        (lambda _: "drink", "The answer is one number."),
    ],
    "weights": [
        (lambda at: at.keys @ at.queries[at.drink], "Those are the dot products"),
        (lambda at: at.keys @ at.queries[at.drink] / 48**0.5, "put them through softmax"),
        (lambda at: (at.keys @ at.queries[at.drink] / 48**0.5).exp(), "divide them by their sum"),
        (lambda at: (at.keys @ at.queries[at.drink]).softmax(-1), "Scale first"),
        (lambda at: at.pattern[:, at.drink], "That is a column"),
        (lambda at: at.pattern[at.tea], "the query of `drink` with every key"),
        (lambda at: at.pattern, "a shape of (7, 7)"),
        (lambda at: at.pattern[at.drink, 0], "this has 1 number."),
    ],
    "mask": [
        (lambda _: ["<s>", "我", "喜"], "also looks at itself"),
        (lambda _: ["我", "喜", "欢"], "begins every translation"),
        (lambda _: ["<s>", "我", "喜", "欢", "喝"], "must not see it"),
        (lambda at: at.written, "Those are all"),
        (lambda _: ["I", "like"], "Find the row"),
        (lambda _: "我", "The answer is a list"),
        (lambda _: [0, 1, 2, 3], "The answer is a list"),
    ],
    "source": [
        (lambda _: "tea", "go one row up"),
        (lambda _: "</s>", "Find the row that predicts 喝"),
        (lambda at: at.drink, "in quotes"),
    ],
    "added": [
        (lambda at: at.pattern[at.drink] @ at.V[:, :48], "before the output projection"),
        (
            lambda at: head_adds(at, at.drink, 0) + at.block.self_attn.out_proj.bias,
            "belongs to all heads",
        ),
        (lambda at: sum(head_adds(at, at.drink, head) for head in range(4)), "what all heads add"),
        (lambda at: at.own[0, at.drink], "the output of the whole layer"),
        (lambda at: (at.pattern[at.drink] @ at.V[:, :48]) @ at.W_o[:48], "take its first columns"),
        (lambda at: at.added, "Multiply the weights of `drink`"),
    ],
    "most": [
        (lambda _: 0, "has the largest weight"),
        (lambda at: [head_adds(at, 0, head).norm() for head in range(4)], "which head has the longest?"),
        (lambda _: 3, "compare the lengths"),
    ],
}


def cases(answers: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, answer, id=f"{name}-{number}")
        for name in NAMES
        for number, answer in enumerate(answers[name])
    ]


def test_the_lesson_runs_from_top_to_bottom_with_no_answer_typed(repository: Path) -> None:
    notebook = read(repository)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": repository}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    said = [output.data.get("text/plain", "") for output in outputs if "data" in output]
    assert sum(text.startswith("Not answered yet.") for text in said) == len(NAMES)


def test_the_file_holds_the_numbers_and_no_answer(repository: Path) -> None:
    cells = read(repository).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    asked = [cell.source.split('check("')[1].split('"')[0] for cell in code if 'check("' in cell.source]
    assert asked == NAMES
    assert sum("answer = None" in cell.source for cell in code) == len(NAMES)
    assert all(cell.outputs and cell.execution_count for cell in code)
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert f'sentence = "{SENTENCE}"' in code[0].source


@pytest.mark.parametrize(("name", "answer"), cases(RIGHT))
def test_a_right_answer_is_found_right(lesson: SimpleNamespace, name: str, answer: Answer) -> None:
    verdict = check(name, answer(lesson))
    assert verdict.right is True, verdict
    assert repr(verdict).startswith("Right. ")


@pytest.mark.parametrize(("name", "answer"), cases(WRONG))
def test_a_wrong_answer_is_told_what_may_have_happened(
    lesson: SimpleNamespace, name: str, answer: tuple[Answer, str]
) -> None:
    given, words = answer
    verdict = check(name, given(lesson))
    assert verdict.right is False
    assert words in verdict.message
    assert repr(verdict).startswith("Not yet. ")


@pytest.mark.parametrize("name", NAMES)
def test_every_wrong_turn_differs_from_the_right_way_and_from_the_others(name: str) -> None:
    exercise = EXERCISES[name](jtviz.demo.translator().trace(SENTENCE))
    said = [check(name, ending).message for ending, _ in exercise.slips]
    assert said == [hint for _, hint in exercise.slips]
    assert check(name, exercise.right).right


@pytest.mark.parametrize("name", NAMES)
def test_no_answer_is_no_mistake(name: str) -> None:
    for nothing in (None, ...):
        verdict = check(name, nothing)
        assert verdict.right is None
        assert repr(verdict).startswith("Not answered yet. Replace None with ")
        assert verdict._repr_markdown_().startswith("**Not answered yet.** ")


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_typed_is_answered_in_words(name: str) -> None:
    odd = [
        "",
        "banana",
        b"tea",
        True,
        float("nan"),
        [float("inf")] * 7,
        10**400,
        2j,
        [],
        [[1, 2], [3]],
        ["<s>", 3],
        {"I": 1},
        object(),
        np.zeros((0, 3)),
        torch.empty(0),
        torch.zeros(192, requires_grad=True),
        torch.zeros(7).to_sparse(),
        pd.DataFrame({"token": ["I"]}),
        check,
        type,
    ]
    for answer in odd:
        verdict = check(name, answer)
        assert verdict.right is False, answer
        assert verdict.message.endswith((".", "?"))


def test_an_exercise_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="no exercise 'scores': choose from 'score', 'weights'"):
        check("scores", 1)
