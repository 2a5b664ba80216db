"""A view as one HTML file: the same front end, and as much of the data as its budget allows.

Required: opens from a disk with no network; says what is in it; never larger than its budget; whatever a
token is called is text. Twin: js/src/views/page.ts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from jtviz.capture import JtvizError, Trace

from .bundle import bundle
from .figures.lettering import written
from .figures.words import listed
from .linked import SHARED
from .packed import Packed, as_json, is_whole, packed
from .settings import SETTINGS
from .shown import Choice
from .tiles import WHOLE_LIMIT

if TYPE_CHECKING:
    from .attention import AttentionView

STYLE = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText; }
body { margin: 0 auto; max-width: 1104px; padding: 12px; font: 13px/20px system-ui, sans-serif; }
p { margin: 8px 12px; font-size: 12px; opacity: 0.75; }
@media print { :root { color-scheme: light; } }
""".strip()

HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main id="jtviz"></main>
<p>{contents}</p>
<noscript><p>This page needs JavaScript.</p></noscript>
<script type="application/json" id="jtviz-state">{state}</script>
<script type="module">{program}</script>
</body>
</html>
"""
LONGEST_TITLE = 80
ROOM_FOR_WORDS = 2048
"""Bytes kept for the line that says what is in the page."""


@dataclass(frozen=True)
class Page:
    """A page, and in words what is in it."""

    html: str
    contents: str


def page(view: AttentionView, budget: int) -> Page:
    """Return a view as a page of at most `budget` bytes.

    Raises
    ------
    JtvizError
        If the front end and the layer shown need more.
    """
    program, traits = _program(), as_json(_traits(view))
    bare = len(_html(view.trace, _state(traits, {}), "", program).encode()) + ROOM_FOR_WORDS
    found = packed(view, budget - bare)
    traits = as_json(_traits(view, found.whole_limit))
    if not found.places:
        least = bare + found.missing
        raise JtvizError(
            f"a page with the front end and the layer shown has {least:,} bytes: pass budget={least} or more."
        )
    contents = _contents(view.trace, found, bare + found.size, budget)
    return Page(_html(view.trace, _state(traits, found.tiles), contents, program), contents)


def _traits(view: AttentionView, whole_limit: int = WHOLE_LIMIT) -> dict[str, Any]:
    names = (*SHARED, *SETTINGS)
    traits = {name: getattr(view, name) for name in names}
    # Nothing is switched off without a kernel.
    return {"meta": {**view.meta, "whole_limit": whole_limit, "can_prune": False}, **traits}


def _state(traits: str, tiles: Mapping[str, str]) -> str:
    """Return what the page knows: traits, tiles, and what a request leaves out when it wants nothing else."""
    defaults = {f.name: f.default for f in fields(Choice) if f.name not in {"stage", "members"}}
    inside = ",".join(f"{as_json(name)}:{tile}" for name, tile in tiles.items())
    return f'{{"traits":{traits},"tiles":{{{inside}}},"defaults":{as_json(defaults)}}}'


def _html(trace: Trace, state: str, contents: str, program: str) -> str:
    return HTML.format(
        title=written(_title(trace)), style=STYLE, contents=written(contents), state=state, program=program
    )


def _title(trace: Trace) -> str:
    """Return the sentence, shortened."""
    tokens = next(iter(trace.tokens.values()))
    sentence = " ".join((tokens.sentence or " ".join(tokens.text[:LONGEST_TITLE])).split())
    if len(sentence) > LONGEST_TITLE:
        sentence = sentence[: LONGEST_TITLE - 1] + "…"
    return f"{sentence} · attention"


def _program() -> str:
    """Return the front end as the text of a script element, which nothing in it may end."""
    code = bundle("page").read_text(encoding="utf-8")
    return re.sub(r"<(?=/script|!--)", r"<\\", code, flags=re.IGNORECASE)


def _contents(trace: Trace, found: Packed, size: int, budget: int) -> str:
    """Return which layers are in a page and how large it is, as in ``all 6 layers of 3 stages, 412 KB``."""
    count = sum(trace.layers(stage) for stage in trace.stages)
    stages, places = len(trace.stages), found.places
    rest = ""
    if len(places) == count:
        layers = f"all {count} layers" if count > 1 else "the only layer"
        layers += f" of {stages} stages" if stages > 1 else ""
    else:
        parts = [
            _layers(stage, sorted(layer for other, layer in places if other == stage))
            for stage in dict.fromkeys(stage for stage, _ in places)
        ]
        layers = ", ".join(parts[:-1]) + " and " * (len(parts) > 1) + parts[-1]
        rest = f"; the others did not fit in {_bytes(budget)}: save with budget="
    pooled = ""
    if not all(is_whole(trace, *place, found.whole_limit) for place in places):
        pooled = ", as pooled pictures: the text is too long for all of its numbers"
    return f"{layers}{pooled}, {_bytes(size)}{rest}"


def _layers(stage: str, layers: list[int]) -> str:
    where = "cross attention" if stage == "cross" else stage
    return f"{'layers' if len(layers) > 1 else 'layer'} {listed(layers)} of the {where}"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} KB"
