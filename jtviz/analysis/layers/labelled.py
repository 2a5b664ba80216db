"""What is probed: texts, or tokens in them, with a label for each.

Required: everything that is wrong with texts and labels is said before the model runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jtviz.capture import HookedTransformer, JtvizError
from jtviz.capture.inputs import Text, checked_texts, encode
from jtviz.capture.part import plain
from jtviz.tokens import Tokens

from ..importance.rows import LABELS, of_example
from ..words import words_of
from .texts import listed

MOST = 20_000
"""Units that are probed, at most."""

Labels = Sequence[Any] | str | Callable[[Tokens], Sequence[Any]] | None

Whole = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, eq=False)
class Units:
    """What is probed, text by text.

    Attributes
    ----------
    unit : str
        ``"sentence"`` or ``"token"``.
    texts : tuple of str or (str, str)
        Those that have units.
    read : tuple of (tuple of int or None)
        For each text which of its tokens; None for its mean.
    classes : tuple
        The labels.
    y, groups, types : array
        Of each unit ``[units]``: the number of its class, of its text (equal texts have one number) and of
        its word (of sentences, of its text).
    notes : tuple of str
        What has to be known of them.
    """

    unit: str
    texts: tuple[Text, ...]
    read: tuple[tuple[int, ...] | None, ...]
    classes: tuple[Any, ...]
    y: Whole
    groups: Whole
    types: Whole
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return how many units there are."""
        return len(self.y)

    def control(self, seed: int) -> Whole:
        """Return a random class of each unit: one for each type, drawn from how often classes are."""
        drawn = np.random.default_rng(seed).choice(self.y, int(self.types.max()) + 1)
        return np.asarray(drawn[self.types], dtype=np.int64)


def units_of(
    hooked: HookedTransformer, texts: Any, labels: Labels, *, unit: str, cv: int, seed: int, most: int
) -> Units:
    """Return what is probed.

    Raises
    ------
    JtvizError
        If texts and labels do not go together, there is one class only, or one of them in too few texts.
    """
    labels = _column(texts, labels)
    given = [checked_texts(text) for text in listed(texts)]
    each = _each(given, labels, unit)
    rows: list[tuple[int, int | None, Any, str]] = []
    for index, (text, own) in enumerate(zip(given, each, strict=True)):
        with of_example(index):
            tokens = encode(hooked.model, hooked.tokenizer, text, "encoder")
            if unit == "sentence":
                rows.append((index, None, _label(own), repr(text)))
                if rows[-1][2] is None:
                    raise JtvizError("there is no label: give one, or leave the text out.")
            else:
                rows += _of_tokens(index, tokens, own)
    notes = []
    if len(rows) > most:
        kept = np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])
        notes.append(f"{most} of {len(rows)} units were probed, a random sample")
        rows = [rows[i] for i in kept]
    return _numbered(given, rows, unit, cv, notes)


def _column(texts: Any, labels: Any) -> Any:
    """Return labels, of a data frame those of a column."""
    columns = getattr(texts, "columns", None)
    if columns is not None and (labels is None or isinstance(labels, str)):
        names = LABELS if labels is None else (labels,)
        name = next((name for name in names if name in columns), None)
        if name is None:
            raise JtvizError(
                f"the data frame has no column {' or '.join(map(repr, names))}: name it in labels=."
            )
        labels = texts[name]
    if labels is None or isinstance(labels, str):
        raise JtvizError("labels= is a list with what each text, or each of its tokens, is labelled with.")
    return labels


def _each(texts: Sequence[Text], labels: Any, unit: str) -> list[Any]:
    """Return the label, or labels, of each text."""
    if callable(labels):
        if unit != "token":
            raise JtvizError("a function labels tokens: pass unit='token', or a list of labels.")
        return [labels] * len(texts)
    found = plain(labels)
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise JtvizError(f"labels= is a list or a function of tokens, not {type(labels).__name__}.")
    each = list(found)
    if len(each) != len(texts):
        raise JtvizError(f"there are {len(texts)} texts and {len(each)} labels: give one for each.")
    return each


def _of_tokens(index: int, tokens: Tokens, own: Any) -> list[tuple[int, int | None, Any, str]]:
    """Return the tokens of a text that have labels."""
    words, word_of = words_of(tokens)
    text = [i for i, special in enumerate(tokens.special) if not special]
    labels: dict[int, Any]
    if callable(own):
        said = list(own(tokens))
        if len(said) != len(tokens):
            raise JtvizError(
                f"the function gave {len(said)} labels for {len(tokens)} tokens: give one for each."
            )
        labels = dict(enumerate(said))
    else:
        given = plain(own)
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise JtvizError(f"with unit='token' a text has a list of labels, not {own!r}.")
        said = list(given)
        in_text = list(dict.fromkeys(word_of[i] for i in text))
        if len(said) == len(text):
            labels = dict(zip(text, said, strict=True))
        elif len(said) == len(in_text):
            of_word = dict(zip(in_text, said, strict=True))
            labels = {i: of_word[word_of[i]] for i in text}
        else:
            raise JtvizError(
                f"there are {len(said)} labels for {len(text)} tokens in {len(in_text)} words: give one for "
                f"each token, or each word."
            )
    named = ((i, _label(label)) for i, label in labels.items())
    return [(index, i, label, words[word_of[i]]) for i, label in named if label is not None]


def _label(label: Any) -> Any:
    """Return a class in Python's own types; None where there is nothing."""
    label = plain(label)
    if label is None or type(label).__name__ == "NAType" or (isinstance(label, float) and math.isnan(label)):
        return None
    if isinstance(label, float) and label.is_integer():
        return int(label)
    if not isinstance(label, str | int):
        raise JtvizError(
            f"a label is the name or number of a class, not {label!r}: put numbers into classes."
        )
    return label


def _numbered(
    given: Sequence[Text],
    rows: Sequence[tuple[int, int | None, Any, str]],
    unit: str,
    cv: int,
    notes: Sequence[str],
) -> Units:
    classes = tuple(sorted({label for _, _, label, _ in rows}, key=lambda label: (str(type(label)), label)))
    if len(classes) < 2:
        raise JtvizError(
            f"there are at least two labels to tell apart, and here is {list(classes)}: give more."
        )
    number = {label: i for i, label in enumerate(classes)}
    same: dict[Text, int] = {}
    groups = np.array([same.setdefault(given[index], len(same)) for index, *_ in rows], dtype=np.int64)
    kinds: dict[str, int] = {}
    types = np.array([kinds.setdefault(word, len(kinds)) for *_, word in rows], dtype=np.int64)
    y = np.array([number[label] for _, _, label, _ in rows], dtype=np.int64)
    for label, i in number.items():
        count = len(set(groups[y == i].tolist()))
        if count < cv:
            raise JtvizError(
                f"label {label!r} is in {count} texts, and cv={cv} needs as many: give more, or lower cv=."
            )
    wanted: dict[int, list[int]] = {}
    for index, token, _, _ in rows:
        own = wanted.setdefault(index, [])
        if token is not None:
            own.append(token)
    read = tuple(None if unit == "sentence" else tuple(own) for own in wanted.values())
    return Units(unit, tuple(given[i] for i in wanted), read, classes, y, groups, types, tuple(notes))
