"""The tasks that a prediction can be explained of, and which of them a model does.

Required: told from what the forward pass returned and from the configuration, never from the name of an
architecture; where it cannot be told, the reader is asked.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jtviz.capture import JtvizError
from jtviz.capture.classes import class_logits

from ..attribution.session import Session
from .choice import Found
from .classes import of_classes, of_labels
from .entities import label_logits, of_entities
from .predicted import of_masks, of_next
from .request import Request
from .span import EDGES, edge_logits, of_answer

Kind = Literal["classes", "places", "labels", "next", "masked", "answer"]
"""What a model returns: scores of classes, of the places of an answer, of a label for each token; of tokens
that follow, that are masked, or that answer a text."""

_KINDS: dict[Kind, str] = {
    "classes": "the logits of classes that config.id2label (or config.labels) names",
    "places": "start_logits and end_logits",
    "labels": "logits of the labels in config.id2label for each token",
    "next": "logits of the next token for each token",
    "masked": "logits of tokens, of a model that reads both ways",
    "answer": "logits of the tokens of an answer, of a model with two sides",
}


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes
    ----------
    name : str
        What it is called in a call.
    words : str
        What is explained, in plain words.
    kind : str
        What the model has to return.
    found : callable
        Takes the open model and the request to what is explained.
    """

    name: str
    words: str
    kind: Kind
    found: Callable[[Session, Request], Found]


_ALL = (
    Task(
        "sequence-classification", "the class of a text; the number, of a regression", "classes", of_classes
    ),
    Task("sentence-pair", "the class of two texts together, text=(a, b)", "classes", of_classes),
    Task("multi-label", "each label of a text, where labels do not exclude each other", "classes", of_labels),
    Task("zero-shot", "each of labels=, by a model of entailment", "classes", of_classes),
    Task("image-classification", "the class of a picture, by its patches, image=", "classes", of_classes),
    Task("question-answering", "where the answer starts and ends, context=", "places", of_answer),
    Task("token-classification", "each entity that was found", "labels", of_entities),
    Task("next-token", "the token that follows, or each that was written", "next", of_next),
    Task("masked-word", "the token behind each mask", "masked", of_masks),
    Task("translation", "each token of the translation", "answer", of_next),
    Task("summarisation", "each token of the summary", "answer", of_next),
)

TASKS: dict[str, Task] = {task.name: task for task in _ALL}
"""Every task by its name."""

_OF_PIPELINES = {
    "text-classification": "sequence-classification",
    "sentiment-analysis": "sequence-classification",
    "zero-shot-classification": "zero-shot",
    "ner": "token-classification",
    "text-generation": "next-token",
    "fill-mask": "masked-word",
    "summarization": "summarisation",
    "text2text-generation": "translation",
}
"""What pipelines of `transformers` call the same."""


def task_named(name: str) -> Task:
    """Return a task; the names of the pipelines of `transformers` are understood, too.

    Raises
    ------
    JtvizError
        If there is none of this name.

    Examples
    --------
    >>> task_named("fill-mask").name
    'masked-word'
    """
    name = _OF_PIPELINES.get(name, name)
    if name not in TASKS:
        near = difflib.get_close_matches(str(name), TASKS, 1, 0.5)
        advice = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(map(repr, TASKS))}."
        raise JtvizError(f"there is no task {name!r}; {advice}")
    return TASKS[name]


def task_of(session: Session, request: Request, name: str | None) -> Task:
    """Return the task of that name, or the one that the model does.

    Raises
    ------
    JtvizError
        If the model does not do it, or it cannot be told what it does.
    """
    kind, model = _kind_of(session), type(session.forward.model).__name__
    if name is not None:
        task = task_named(name)
        if task.kind != kind:
            said = f"returns {_KINDS[kind]}" if kind else "returns nothing of the kind"
            raise JtvizError(
                f"task {task.name!r} needs {_KINDS[task.kind]}, and {model} {said}: leave task= out."
            )
        return task
    if kind is None:
        raise JtvizError(
            f"the task of {model} cannot be told from what it returns: name one of "
            f"{', '.join(map(repr, TASKS))} as task=, or pass target= as a function of its output."
        )
    return TASKS[_NAMES[kind] if kind != "classes" else _of_classes(session, request)]


_NAMES: dict[Kind, str] = {
    "places": "question-answering",
    "labels": "token-classification",
    "next": "next-token",
    "masked": "masked-word",
    "answer": "translation",
}


def _of_classes(session: Session, request: Request) -> str:
    config = getattr(session.forward.model, "config", None)
    if getattr(config, "problem_type", None) == "multi_label_classification":
        return "multi-label"
    if session.reading.prepared.patches is not None or request.image is not None:
        return "image-classification"
    return "sentence-pair" if isinstance(request.text, tuple) else "sequence-classification"


def _kind_of(session: Session) -> Kind | None:
    """Return what the model returned."""
    output, model, trace = session.forward.output, session.forward.model, session.trace
    if all(edge_logits(output, edge) is not None for edge in EDGES):
        return "places"
    if session.outcome().logits is not None:
        if "decoder" not in trace.tokens:
            return "masked"
        return "answer" if "encoder" in trace.tokens else "next"
    if class_logits(model, output) is not None:
        return "classes"
    return None if label_logits(model, output) is None else "labels"
