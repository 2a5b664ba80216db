"""What the front end has to know of a trace before it asks for any number. Twin: js/src/core/types.ts.

Required: small at 131,072 tokens too: what can be derived is not said, and flags are written as positions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from jtviz.analysis import LONGEST
from jtviz.capture import Trace
from jtviz.capture.errors import JtvizError
from jtviz.capture.site import Site
from jtviz.tokens import Tokens

from .shown import Axis
from .source import ALL, THROUGH, Source
from .tiles import WHOLE_LIMIT

LABELS = {"encoder": "Encoder", "decoder": "Decoder", "cross": "Cross"}

Span = tuple[int, int]
Spans = Mapping[str, str | Span]


def describe(trace: Trace, spans: Spans | None = None) -> dict[str, Any]:
    """Return the stages, layers, heads and tokens of a trace, and what can be shown of it.

    Parameters
    ----------
    trace : Trace
        What is shown.
    spans : mapping of str to str or (int, int), optional
        Named parts of the text to choose from, as in `jtviz.show_attention`.

    Raises
    ------
    JtvizError
        If a span is not in the text.
    """
    stages = [
        {
            "name": stage,
            "label": LABELS[stage],
            "query": trace.query_side(stage),
            "key": trace.key_side(stage),
            "heads": [trace.heads(stage, layer) for layer in range(trace.layers(stage))],
            "groups": [trace.site(stage, layer).group for layer in range(trace.layers(stage))],
            "checks": [_describe_check(trace.site(stage, i)) for i in range(trace.layers(stage))],
        }
        for stage in trace.stages
    ]
    lacks = Source(trace).offered()
    return {
        "stages": stages,
        "sides": {side: _describe_tokens(tokens) for side, tokens in trace.tokens.items()},
        "spans": find_spans(trace, spans or {}),
        "weightings": [[name, f"{words}; {_reach(name)}", lacks[name]] for name, words in ALL.items()],
        "predicts": None if trace.predicts is None else list(trace.predicts),
        "whole_limit": WHOLE_LIMIT,
    }


def _reach(weighting: str) -> str:
    """Say up to which length a weighting is computed."""
    return f"up to {LONGEST:,} tokens" if weighting in THROUGH else "at any length"


def find_spans(trace: Trace, given: Spans) -> dict[str, list[tuple[str, int, int]]]:
    """Return for each side its named parts: the given ones, prompt and answer, and what separators part."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    missing = dict(given)
    for side, tokens in trace.tokens.items():
        found[side] = []
        for name, part in given.items():
            if (span := _place(tokens, part)) is not None:
                found[side].append((name, *span))
                missing.pop(name, None)
        if tokens.generated is not None and any(tokens.generated) and not all(tokens.generated[1:]):
            first = tokens.generated.index(True)
            found[side] += [("prompt", 0, first), ("answer", first, len(tokens))]
        parts = [part for part in _between_special(tokens) if part[1] - part[0] > 0]
        if len(parts) > 1:
            found[side] += [(_headline(tokens, n, part), *part) for n, part in enumerate(parts, 1)]
    if missing:
        name, part = next(iter(missing.items()))
        raise JtvizError(
            f"span {name!r} is not in the text: give words that stand in it, or (first, last + 1) in tokens, "
            f"not {part!r}."
        )
    return found


def _place(tokens: Tokens, part: str | Span) -> Span | None:
    """Return the tokens that a span stands for, None if it is not there."""
    if isinstance(part, str):
        start = tokens.sentence.find(part) if part else -1
        if start < 0:
            return None
        stop = start + len(part)
        inside = [i for i, s in enumerate(tokens.spans) if s and s[0] < stop and s[1] > start]
        return (inside[0], inside[-1] + 1) if inside else None
    start, stop = part
    return (start, stop) if 0 <= start < stop <= len(tokens) else None


def _between_special(tokens: Tokens) -> list[Span]:
    edges = [-1, *(i for i, special in enumerate(tokens.special) if special), len(tokens)]
    return [(a + 1, b) for a, b in pairwise(edges)]


def _headline(tokens: Tokens, number: int, part: Span) -> str:
    spans = [span for span in tokens.spans[slice(*part)] if span]
    text = tokens.sentence[spans[0][0] : spans[-1][1]] if spans else " ".join(tokens[slice(*part)])
    return f"part {number}: {text if len(text) <= 24 else text[:23] + '…'}"


def _describe_check(site: Site) -> dict[str, Any]:
    # JSON has no NaN.
    difference = None if math.isnan(site.difference) else site.difference
    return {"difference": difference, "tolerance": site.tolerance, "sums": list(site.sums)}


def _describe_tokens(tokens: Tokens) -> dict[str, Any]:
    end, gaps = 0, []
    for i, span in enumerate(tokens.spans):
        if i and (span is None or span[0] > end):
            gaps.append(i)
        end = end if span is None else span[1]
    words = Axis.of(tokens, "word")
    starts = list(words.starts[:-1])
    joined = ["".join(tokens.text[a:b]) for a, b in pairwise(words.starts)]
    said: dict[str, Any] = {
        "text": list(tokens.text),
        "special": [i for i, special in enumerate(tokens.special) if special],
        "gap": gaps,
        # Words are told by where they begin, and named where that is not their tokens in a row.
        "words": starts if len(starts) < len(tokens) else None,
        "names": {place: name for place, name in enumerate(words.labels) if name != joined[place]},
    }
    if tokens.generated is not None:
        said["generated"] = [i for i, written in enumerate(tokens.generated) if written]
    if tokens.probability is not None:
        said["probability"] = [None if p is None else round(p, 4) for p in tokens.probability]
    return said
