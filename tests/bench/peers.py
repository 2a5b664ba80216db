"""The tools that are compared, and the page that each makes of the same attention.

Required: every tool is given the same numbers and the same tokens, and runs as it was published; all
limits, versions and targets of the comparison are constants here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import jtviz

LAYERS, HEADS, WIDTH = 12, 12, 64  # GPT-2 small
LENGTHS = (16, 64, 128, 256, 512)
LONG = 4096

PATIENCE = 150.0
"""Seconds until a page that draws nothing, or an event that is not answered, is given up."""

SLOW = 60.0
"""Seconds: a page that took longer to draw is not used any further, so that the benchmark ends."""

MOST_BYTES = 400 * 2**20
"""The largest page that is opened: of what is larger, the size is told, and it is not run."""

SAVED: dict[str, Any] = {}
"""Arguments of ``AttentionView.save`` beside the path."""

# jQuery 2.0.0, which BertViz asks for, is not on npm: package.json pins the release after it.
MODULES = Path(__file__).parent / "node_modules"
SCRIPTS = {
    "https://cdnjs.cloudflare.com/ajax/libs/require.js/2.3.6/require.min.js": MODULES
    / "requirejs/require.js",
    "https://cdnjs.cloudflare.com/ajax/libs/d3/5.7.0/d3.min.js": MODULES / "d3/dist/d3.min.js",
    "https://cdnjs.cloudflare.com/ajax/libs/jquery/2.0.0/jquery.min.js": MODULES
    / "jquery/dist/jquery.min.js",
}

AT = 128
TARGETS = {
    "bytes": 1 / 100,
    "first paint, ms": 1 / 20,
    "layer change, ms": 1 / 100,
    "head toggle, ms": 1 / 30,
    "later hover, ms": 1 / 5,
    "DOM elements": 1 / 200,
}
"""At `AT` tokens, at most this share of what BertViz takes."""

LIMITS = {
    "handler of a hover, ms": 8,
    "handler of a layer change, ms": 8,
    "frames": 2,
    "longest task, ms": 50,
}
"""What jtviz may take on its saved page of `AT` tokens."""

LONG_TARGET = 2.0
"""First paint of `LONG` tokens beside that of `AT`."""


class NotRunError(Exception):
    """Why a tool is not measured at some length."""


@dataclass(frozen=True)
class Tool:
    """One tool: its name, its key in use.js and what writes its page."""

    name: str
    key: str
    write: Callable[[Tensor, Sequence[str], Path], None]


def pattern(length: int) -> Tensor:
    """Return random causal attention ``[layers, heads, queries, keys]``."""
    generator = torch.Generator().manual_seed(length)
    scores = torch.randn(LAYERS, HEADS, length, length, generator=generator)
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1)


def names(length: int) -> list[str]:
    return [f"tok{i}" for i in range(length)]


def write_bertviz(attention: Tensor, tokens: Sequence[str], path: Path) -> None:
    from bertviz import head_view

    # The marker that its script replaces by the numbers stands in a comment, too: they are there twice.
    expected = 2 * len(json.dumps(attention[0].tolist())) * len(attention)
    if expected > MOST_BYTES:
        raise NotRunError(f"not run: {expected / 1e6:,.0f} MB")
    page = head_view([layer[None] for layer in attention], list(tokens), html_action="return")
    _write(path, page.data)


def write_circuitsvis(attention: Tensor, tokens: Sequence[str], path: Path) -> None:
    from circuitsvis.attention import attention_heads

    # What a notebook shows where there is no internet: the same with its scripts in it.
    _write(path, attention_heads(attention[0], list(tokens)).local_src)


def write_jtviz(attention: Tensor, tokens: Sequence[str], path: Path) -> None:
    view: Any = jtviz.show_attention(jtviz.from_arrays(attention, list(tokens), stage="decoder"))
    save = getattr(view, "save", None)
    if save is None:
        raise NotRunError("not run: a view cannot be saved yet")
    save(path, **SAVED)


def _write(path: Path, body: str) -> None:
    path.write_text(f'<!doctype html><meta charset="utf-8">{body}', encoding="utf-8")


SAVED_PAGE = Tool("jtviz, saved", "jtviz", write_jtviz)
BERTVIZ = Tool("BertViz", "bertviz", write_bertviz)
CIRCUITSVIS = Tool("CircuitsVis", "circuitsvis", write_circuitsvis)
TOOLS = (SAVED_PAGE, BERTVIZ, CIRCUITSVIS)
LIVE = "jtviz, live"
