"""A whole figure: the picture, what its colours stand for, and a caption.

Required: exactly what the view shows, drawn without a browser.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from jtviz.views.settings import SETTINGS

from . import flow, legend, links, matrix, svg
from .colour import THEMES
from .lettering import wrap
from .look import GLANCE, SAVED, Limits, Look
from .part import SMALL
from .raster import rasterised
from .words import caption, headline

if TYPE_CHECKING:
    from jtviz.views.attention import AttentionView

MARGIN = 12.0
NARROWEST = 300.0
LINE = 11.5
MODES = {"links": links.draw, "matrix": matrix.draw, "text": flow.draw}


def look_at(
    view: AttentionView,
    theme: str = "light",
    hovered: Mapping[str, int | None] | None = None,
    limits: Limits = SAVED,
) -> Look:
    """Return what a view shows, to be drawn."""
    settings = {name: getattr(view, name) for name in SETTINGS}
    tokens = (view.pinned, hovered or {}, view.marked)
    return Look(view.shown, settings, view.layer, *tokens, THEMES[theme], limits)


@torch.no_grad()
def as_svg(look: Look) -> str:
    """Draw a figure as SVG."""
    part = MODES[look.settings["mode"]](look)
    width = max(part.width, NARROWEST)
    marks = [svg.group(part.marks, MARGIN + part.indent * (width - part.width), MARGIN)]
    y = MARGIN + part.height + 12
    for n, piece in enumerate(part.legend):
        elements, height = legend.drawn(look.theme, piece, width, f"scale{n}")
        marks.append(svg.group(elements, MARGIN, y))
        y += height + 5
    words = caption(look, part.words)
    y += 3
    lines = wrap(words, SMALL, width)
    for n, line in enumerate(lines):
        marks.append(svg.text(MARGIN, y + 8 + n * LINE, line, SMALL, look.theme.ink))
    y += len(lines) * LINE
    says = {"title": headline(look), "desc": words}
    return svg.document(marks, width + 2 * MARGIN, y + MARGIN - 2, look.theme.paper, says)


def as_png(look: Look, scale: float = 2) -> bytes:
    """Draw a figure as PNG, `scale` pixels to a CSS pixel."""
    return rasterised(as_svg(look), scale)


def glance(view: AttentionView) -> bytes:
    """Draw a view small and soon, for whatever shows a notebook without its widgets."""
    return as_png(look_at(view, limits=GLANCE), 1)
