"""What is replaced as one: tokens, words, sentences, or spans of one's own.

Required: every token belongs to exactly one unit, and units of different sides are different ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from jtviz.capture import JtvizError
from jtviz.capture.part import is_int
from jtviz.tokens import Tokens

from ..words import words_of

Unit = Literal["token", "word", "sentence"] | Sequence[tuple[int, int]]
Named = tuple[tuple[str, ...], tuple[tuple[int, int], ...], tuple[int, ...]]
UNITS = ("token", "word", "sentence")
# A full stop ends a sentence where white space or the end follows; those of CJK text need none.
_END = re.compile(r"[.!?…]+(?=\s|$)|[。！？]+")


def checked_unit(unit: Any) -> None:
    """Raise if a unit is no word for one and no spans, before any text is read."""
    if isinstance(unit, str):
        is_known = unit in UNITS
    else:
        is_known = isinstance(unit, Sequence) and all(map(_is_span, unit))
    if not is_known:
        raise JtvizError(
            f"unit= is one of {', '.join(map(repr, UNITS))} or spans of tokens as [(first, last + 1), ...], "
            f"not {unit!r}."
        )


def units_of(tokens: Tokens, unit: Unit, *, is_first: bool = True) -> Named:
    """Return the units of a side in the order of the text, by name and place.

    Parameters
    ----------
    tokens : Tokens
        The tokens of the side.
    unit : {"token", "word", "sentence"} or sequence of (int, int)
        As in `unit_numbers`.
    is_first : bool
        Whether it is the side that spans are of.

    Returns
    -------
    names : tuple of str
        What stands in the text.
    spans : tuple of (int, int)
        The tokens of each, ``(first, last + 1)``.
    numbers : tuple of int
        The unit of each token.

    Raises
    ------
    JtvizError
        If a unit is none of these, or spans overlap or lead out of the text.

    Examples
    --------
    >>> names, spans, _ = units_of(Tokens.from_strings(["▁A", "▁cat", ".", "▁It", "▁ran", "."]), "sentence")
    >>> names, spans
    (('A cat.', 'It ran.'), ((0, 3), (3, 6)))
    """
    checked_unit(unit)
    numbers = _numbers(tokens, unit, is_first=is_first)
    spans: list[tuple[int, int]] = []
    for index, number in enumerate(numbers):
        if number == len(spans):
            spans.append((index, index + 1))
        else:
            spans[number] = (spans[number][0], index + 1)
    names = tuple(tokens) if unit == "token" else tuple(_name(tokens, *span) for span in spans)
    return names, tuple(spans), tuple(numbers)


def _name(tokens: Tokens, start: int, stop: int) -> str:
    places = [span for span in tokens.spans[start:stop] if span is not None]
    text = tokens.sentence[places[0][0] : max(last for _, last in places)].strip() if places else ""
    return text or "".join(tokens[start:stop])


def unit_numbers(sides: Sequence[Tokens], unit: Unit, lengths: Sequence[int]) -> tuple[Tensor, ...]:
    """Return for each side the number of the unit of each token, ``[tokens]``.

    Parameters
    ----------
    sides : sequence of Tokens
        The tokens of each side.
    unit : {"token", "word", "sentence"} or sequence of (int, int)
        Spans are of the first side's tokens; what they leave out stays single.
    lengths : sequence of int
        Vectors of each side, where they are not its tokens (pixels).

    Raises
    ------
    JtvizError
        If a unit is none of these, or spans overlap or lead out of the text.

    Examples
    --------
    >>> tokens = Tokens.from_strings(["▁A", "▁cat", ".", "▁It", "▁ran", "."])
    >>> unit_numbers([tokens], "sentence", [6])
    (tensor([0, 0, 0, 1, 1, 1]),)
    """
    checked_unit(unit)
    out: list[Tensor] = []
    start = 0
    for side, (tokens, length) in enumerate(zip(sides, lengths, strict=True)):
        numbers = list(range(length)) if length != len(tokens) else _numbers(tokens, unit, is_first=side == 0)
        out.append(torch.tensor(numbers) + start)
        start += max(numbers) + 1
    return tuple(out)


def _numbers(tokens: Tokens, unit: Unit, *, is_first: bool) -> list[int]:
    if unit == "token":
        return list(range(len(tokens)))
    if unit == "word":
        return list(words_of(tokens)[1])
    if unit == "sentence":
        return _sentences(tokens)
    return _spans(len(tokens), unit) if is_first else list(range(len(tokens)))


def _sentences(tokens: Tokens) -> list[int]:
    ends = [match.end() for match in _END.finditer(tokens.sentence)]
    places: list[tuple[str, int, int]] = []
    before = 0
    for index, span in enumerate(tokens.spans):
        if span is None:
            # A special token is no part of a sentence, and parts two of them: those of a pair.
            before = index
            places.append(("token", index, 0))
        else:
            places.append(("sentence", sum(e <= span[0] for e in ends), before))
    order = {place: number for number, place in enumerate(dict.fromkeys(places))}
    return [order[place] for place in places]


def _is_span(span: object) -> bool:
    return isinstance(span, tuple | list) and len(span) == 2 and all(map(is_int, span))


def _spans(count: int, spans: Sequence[tuple[int, int]]) -> list[int]:
    owner: list[int | None] = [None] * count
    for number, (start, stop) in enumerate(spans):
        if not 0 <= start < stop <= count:
            raise JtvizError(f"unit ({start}, {stop}) is not there: tokens are 0 to {count - 1}.")
        if any(known is not None for known in owner[start:stop]):
            raise JtvizError(f"unit ({start}, {stop}) overlaps another.")
        owner[start:stop] = [number] * (stop - start)
    places = [("token", i) if known is None else ("span", known) for i, known in enumerate(owner)]
    order = {place: number for number, place in enumerate(dict.fromkeys(places))}
    return [order[place] for place in places]
