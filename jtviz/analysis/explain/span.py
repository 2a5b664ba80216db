"""What is explained of a model that answers with a part of the text: where the answer starts and ends.

Devlin et al. 2019, section 4.2. Required: start and end are two numbers, each over the positions of the text;
an answer is looked for in the second text of a pair only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.capture.part import is_int, plain
from jtviz.tokens import JOINT, Tokens

from ..attribution.session import Session
from .choice import Found, chance, choice
from .request import Request

LONGEST_ANSWER = 30
"""Tokens of an answer that is looked for."""

EDGES = ("start", "end")


def edge_logits(output: Any, edge: str) -> Tensor | None:
    """Return the logits ``[batch, tokens]`` of where an answer starts or ends; None if there are none."""
    name = f"{edge}_logits"
    found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
    return found if isinstance(found, Tensor) and found.ndim == 2 else None


def of_answer(session: Session, request: Request) -> Found:
    """Explain the start and the end of the likeliest answer, or of the one named."""
    tokens, output = session.tokens["source"], session.forward.output
    if request.against is not None:
        raise JtvizError("an answer is compared with no other: leave against= out.")
    start, end = _place(tokens, output, request)
    scores = tuple(
        choice(
            output,
            partial(_needed, edge=edge),
            index,
            request.output,
            name=partial(_named, edge, tokens),
            row=index,
        )
        for edge, index in zip(EDGES, (start, end), strict=True)
    )
    best = _likeliest(tokens, output, request)
    both = [
        float(_needed(output, edge=edge)[0].float().softmax(-1)[i])
        for edge, i in zip(EDGES, best, strict=True)
    ]
    return Found(EDGES, scores, f"{_words(tokens, *best)}{chance(both[0] * both[1])}")


def _named(edge: str, tokens: Tokens, index: int) -> str:
    return f"{edge} at {tokens[index]}"


def _needed(output: Any, *, edge: str) -> Tensor:
    found = edge_logits(output, edge)
    if found is None:
        raise JtvizError(f"this model returns no {edge}_logits: leave task= out.")
    return found


def _place(tokens: Tokens, output: Any, request: Request) -> tuple[int, int]:
    """Return the first and the last token of the answer that is explained."""
    target: Any = plain(request.target)
    if target is None:
        return _likeliest(tokens, output, request)
    if isinstance(target, str):
        return _standing(tokens, target, request)
    if not isinstance(target, tuple | list) or len(target) != 2 or not all(map(is_int, target)):
        raise JtvizError(
            "target= of an answer is words of the text, or (first, last): the numbers of its first and "
            "last token."
        )
    first, last = int(target[0]), int(target[1])
    if not 0 <= first <= last < len(tokens):
        raise OutOfRangeError(f"answer {target} is not there: tokens are 0 to {len(tokens) - 1}.")
    return first, last


def _standing(tokens: Tokens, words: str, request: Request) -> tuple[int, int]:
    at = tokens.sentence.find(words, _context(request)) if words else -1
    inside = [
        i for i, span in enumerate(tokens.spans)
        if span is not None and at >= 0 and span[0] < at + len(words) and span[1] > at
    ]  # fmt: skip
    if not inside:
        raise OutOfRangeError(f"{words!r} does not stand in the text: give words that do, as target=.")
    return inside[0], inside[-1]


def _likeliest(tokens: Tokens, output: Any, request: Request) -> tuple[int, int]:
    """Return the span of the highest sum of logits that starts before it ends, in the context."""
    first = _context(request)
    allowed = torch.tensor([span is not None and span[0] >= first and not s
                            for span, s in zip(tokens.spans, tokens.special, strict=True)])  # fmt: skip
    if not allowed.any():
        allowed = torch.ones_like(allowed)
    start, end = (_needed(output, edge=edge)[0].float().cpu() for edge in EDGES)
    sums = start[:, None] + end[None, :]
    near = torch.ones_like(sums, dtype=torch.bool).triu().tril(LONGEST_ANSWER - 1)
    sums = sums.masked_fill(~(near & allowed[:, None] & allowed[None, :]), -torch.inf)
    return divmod(int(sums.argmax()), len(end))


def _context(request: Request) -> int:
    """Return where the second text of a pair begins, in the sentence of both."""
    return len(request.text[0]) + len(JOINT) if isinstance(request.text, tuple) else 0


def _words(tokens: Tokens, first: int, last: int) -> str:
    spans = [span for span in tokens.spans[first : last + 1] if span is not None]
    return f"“{tokens.sentence[spans[0][0] : spans[-1][1]]}”" if spans else "no answer"
