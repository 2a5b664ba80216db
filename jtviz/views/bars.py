"""The scores of an attribution view as a bar chart of bqplot, linked with it.

Required: the bars are the part, layer and unit that the view shows; a bar that is clicked is a token that
is pinned, here and in every view of the trace, and the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jtviz.analysis.words import words_of

from .attribution import AttributionView
from .chart import QUIET
from .inside import Inside

if TYPE_CHECKING:
    import bqplot

MOST = 40
"""Bars at most: of a longer text the strongest, in the order of the text."""

FOLLOWED = ("parts", "scores", "part", "span", "explained_layer", "unit")

FOR, AGAINST = "#4269d0", "#c2781c"
"""For and against what is explained: apart in hue and lightness, and told by direction too."""


class Bars:
    """A bar chart that follows an attribution view.

    Parameters
    ----------
    view : AttributionView
        What it follows.

    Attributes
    ----------
    figure : bqplot.Figure
        The chart; last in a cell, it is shown.
    """

    def __init__(self, view: AttributionView) -> None:
        import bqplot

        self._view = view
        self._places: list[tuple[str, int]] = []
        self._following = Inside()
        scales = {"x": bqplot.OrdinalScale(), "y": bqplot.LinearScale()}
        self._bars = bqplot.Bars(
            x=[], y=[], scales=scales, interactions={"click": "select"}, padding=0.2,
            selected_style={"stroke": "gray", "stroke-width": "2"}, unselected_style={"opacity": "0.45"},
        )  # fmt: skip
        self._across = bqplot.Axis(
            scale=scales["x"], tick_rotate=-60, tick_style={"text-anchor": "end", "font-size": 12}, **QUIET
        )
        self._up = bqplot.Axis(scale=scales["y"], side="left", label="", label_offset="4.2em", **QUIET)
        self.figure: bqplot.Figure = bqplot.Figure(
            marks=[self._bars],
            axes=[self._across, self._up],
            layout={"width": "100%", "max_width": "1080px", "height": "240px"},
            fig_margin={"top": 12, "bottom": 76, "left": 76, "right": 12},
            animation_duration=0,
            display_toolbar=False,
        )
        self._draw()
        view.observe(self._draw, FOLLOWED)
        view.selection.observe(self._mark, ("pinned", "stage"))
        self._bars.observe(self._pin, "selected")

    def close(self) -> None:
        """No longer follow the view, nor lead it."""
        self._view.unobserve(self._draw, FOLLOWED)
        if self._view.selection is not None:
            self._view.selection.unobserve(self._mark, ("pinned", "stage"))
        self._bars.unobserve(self._pin, "selected")

    def _draw(self, _: Any = None) -> None:
        view = self._view
        part = view.shown
        labels, numbers, places = [], [], []
        for side, (names, sums) in view.rows().items():
            first: dict[int, int] = {}
            for token, place in enumerate(self._words(side)):
                first.setdefault(place, token)
            labels += list(names)
            numbers += sums.tolist()
            places += [(side, first[place]) for place in range(len(names))]
        strongest = sorted(np.argsort(-np.abs(numbers))[:MOST].tolist())
        self._places = [places[i] for i in strongest]
        shown = [numbers[i] for i in strongest]
        with self._bars.hold_sync():
            self._bars.x = _apart([labels[i] for i in strongest])
            self._bars.y = shown
            self._bars.colors = [FOR if number >= 0 else AGAINST for number in shown]
        fewer = f", the strongest {MOST} of {len(labels)}" if len(labels) > MOST else ""
        self._up.label = f"{part.method.label}{fewer}"
        self._mark()

    def _mark(self, _: Any = None) -> None:
        """Show which bar is pinned."""
        selection, trace = self._view.selection, self._view.trace
        sides: dict[str, str] = {
            "key": trace.key_side(selection.stage),
            "query": trace.query_side(selection.stage),
        }
        pins = {(sides[role], index) for role, index in selection.pinned.items() if index is not None}
        found = [i for i, place in enumerate(self._places) if self._holds(place, pins)]
        with self._following:
            self._bars.selected = np.array(found[:1], dtype=int) if found else None

    def _holds(self, place: tuple[str, int], pins: set[tuple[str, int]]) -> bool:
        """Whether a pinned token is the one of a bar, or of its word."""
        at = self._words(place[0])
        return any(side == place[0] and at[index] == at[place[1]] for side, index in pins)

    def _words(self, side: str) -> Sequence[int]:
        """Return for each token the place of its bar's word; of itself, where bars are tokens."""
        tokens = self._view.trace.tokens[side]
        return words_of(tokens)[1] if self._view.unit == "word" else range(len(tokens))

    def _pin(self, change: dict[str, Any]) -> None:
        if self._following.is_here:
            return
        chosen = change["new"]
        selection, trace = self._view.selection, self._view.trace
        if chosen is None or not len(chosen):
            selection.pinned = {"query": None, "key": None}
            return
        side, index = self._places[int(chosen[-1])]
        role = "key" if trace.key_side(selection.stage) == side else "query"
        if role == "key" or trace.query_side(selection.stage) == side:
            selection.pinned = {"query": None, "key": None, role: index}


def _apart(labels: list[str]) -> list[str]:
    """Return names that differ where tokens repeat: an ordinal scale would put these on one bar."""
    seen: dict[str, int] = {}
    out = []
    for label in labels:
        count = seen.get(label, 0)
        seen[label] = count + 1
        out.append(label + "\u200b" * count)
    return out
