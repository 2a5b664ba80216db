"""From what a reader calls a data set to a list of rows: a text or inputs, and perhaps a label.

Required: lists, data frames and the data sets of Hugging Face are read alike; a row that makes no sense is
named by its number, before a model is asked anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jtviz.capture import JtvizError
from jtviz.capture.inputs import Text, checked_texts
from jtviz.capture.part import is_int, plain

TEXTS = ("text", "source")
LABELS = ("label", "target", "labels")
LEAST = 2
"""Fewer examples have no spread."""

_FORMS = "a list of texts, of (text, label) or of mappings, or a data frame with a column text"


@dataclass(frozen=True, eq=False)
class Row:
    """One example as it was given.

    Attributes
    ----------
    text : str, (str, str) or None
        What is read, or two texts that are read together.
    inputs : mapping of str to object, or None
        What the forward takes, instead of a text.
    label : object
        A class, a text or ids; None where there is none.
    given : mapping
        All of it, by name, for functions of the reader's own.
    """

    text: Text | None
    inputs: Mapping[str, Any] | None
    label: Any
    given: Mapping[str, Any]


@contextmanager
def of_example(index: int) -> Iterator[None]:
    """Say in every error inside which example it is about."""
    try:
        yield
    except JtvizError as error:
        raise type(error)(f"example {index}: {error}") from error


def rows_of(dataset: Any) -> list[Row]:
    """Read a data set.

    Parameters
    ----------
    dataset : list, data frame or iterable of mappings
        Texts, ``(text, label)``, or mappings with ``text`` (or ``source``; ``text_pair`` beside it) and
        ``label`` (or ``target``), or with what the forward takes and ``labels``.

    Raises
    ------
    JtvizError
        If it is no data set, has fewer than two examples, or its examples are not of one kind.

    Examples
    --------
    >>> [row.label for row in rows_of([("It rains.", "bad"), ("The sun shines.", "good")])]
    ['bad', 'good']
    """
    if isinstance(dataset, str | bytes | Mapping | Tensor | nn.Module) or not isinstance(dataset, Iterable):
        raise JtvizError(f"a data set is {_FORMS}, not {type(dataset).__name__}.")
    listed: Iterable[Any] = dataset
    if hasattr(dataset, "columns") and hasattr(dataset, "to_dict"):
        if not set(TEXTS) & set(dataset.columns):
            raise JtvizError(
                "a data frame needs a column 'text' (or 'source'): rename the one with the texts."
            )
        listed = dataset.to_dict("records")
    rows = [_row(index, one) for index, one in enumerate(listed)]
    if len(rows) < LEAST:
        raise JtvizError(
            f"a data set has at least {LEAST} examples, and this one has {len(rows)}: give more."
        )
    for index, row in enumerate(rows):
        if (row.text is None) != (rows[0].text is None):
            raise JtvizError(
                f"example {index} is not of the kind of example 0: give texts or inputs, not both."
            )
        if (row.label is None) != (rows[0].label is None):
            lacking, other = (index, 0) if row.label is None else (0, index)
            raise JtvizError(f"example {lacking} has no label, and example {other} has: label all or none.")
        if row.inputs is not None and set(row.inputs) != set(rows[0].inputs or ()):
            name = min(set(row.inputs) ^ set(rows[0].inputs or ()))
            raise JtvizError(f"one of examples 0 and {index} has {name!r} and the other has not: give both.")
    return rows


def _row(index: int, one: Any) -> Row:
    with of_example(index):
        if isinstance(one, str):
            return Row(checked_texts(one), None, None, {"text": one})
        if isinstance(one, tuple | list) and len(one) == 2 and isinstance(one[0], str | tuple | list):
            pair = {"text": _texts(one[0]), "label": _label(one[1])}
            return Row(pair["text"], None, pair["label"], pair)
        if not isinstance(one, Mapping):
            raise JtvizError(f"a data set is {_FORMS}, and this is {type(one).__name__}.")
        named = {str(name): value for name, value in one.items()}
        text = next((named[name] for name in TEXTS if isinstance(named.get(name), str | tuple)), None)
        if text is not None:
            if isinstance(named.get("text_pair"), str):
                text = (text, named["text_pair"])
            label = next((named[name] for name in LABELS if name in named), None)
            return Row(_texts(text), None, _label(label), named)
        # A model of one's own may well read something that it calls target.
        label = next((named.pop(name) for name in ("labels", "label") if name in named), None)
        if not named:
            raise JtvizError("there is neither a text nor inputs: name them 'text', or as the forward does.")
        return Row(None, {name: tensor(value, name) for name, value in named.items()}, label, dict(one))


def _texts(text: Any) -> Text:
    return checked_texts(tuple(text) if isinstance(text, list) else text)


def _label(label: Any) -> Any:
    """Return a label in Python's own types; None where a data frame has nothing."""
    label = plain(label)
    if type(label).__name__ == "NAType" or (isinstance(label, float) and math.isnan(label)):
        return None
    if isinstance(label, float) and label.is_integer():
        # A column with a gap in it holds whole numbers as floats.
        return int(label)
    return int(label) if is_int(label) else label


def tensor(value: Any, name: str) -> Any:
    """Return numbers as a tensor with an axis of examples, of one example; switches as they are."""
    if value is None or isinstance(value, bool):
        return value
    try:
        made = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise JtvizError(f"{name!r} is no tensor: give numbers, or leave it out.") from None
    if not made.ndim or not made.numel():
        raise JtvizError(f"{name!r} is no list of tokens: give [tokens] or [1, tokens].")
    if made.ndim == 1 or (len(made) > 1 and made.is_floating_point()):
        made = made[None]
    if len(made) > 1:
        raise JtvizError(f"{name!r} has {len(made)} examples in it: give one at a time, [1, tokens].")
    return made
