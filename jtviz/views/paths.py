"""The paths of tokens through the layers, as a chart of bqplot below the panel of trajectories.

Required: the points are those of the layer that is shown; what is brushed is marked in every view of the
text, and what is marked or pinned elsewhere is so here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from jtviz.analysis.layers.trajectories import Trajectories
from jtviz.capture import JtvizError

from .chart import QUIET

if TYPE_CHECKING:
    import bqplot

    from .layers import LayersPanels

MOST = 2000
"""Tokens drawn, at most; of more every nth."""

LINED = 64
"""Paths drawn, at most: those of all tokens, or of the marked and pinned ones."""

NAMED = 40
"""Tokens that are named beside their points, at most."""

LONGEST = 16
"""Letters of a name."""

WIDTH, HEIGHT, LETTER, LINE = 740.0, 396.0, 6.6, 11.0
"""About how large the chart and a name in it are, in pixels: a name that would lie on another is left out."""

RAMP = ("#466fbd", "#796cc4", "#a36abc", "#c56ca7", "#df728a", "#ed8168", "#ee9748")
"""From the first token to the last: even to the eye, and from blue to yellow for those who see no red."""

TICKS = 6
"""Numbers below the chart, about and at most one more."""

RING = "#1f9d8f"
FOLLOWED = ("projection", "plane", "stage")


class Paths:
    """A chart that follows the panels.

    Parameters
    ----------
    panels : LayersPanels
        Whose paths.

    Attributes
    ----------
    figure : bqplot.Figure
        The chart.
    words : ipywidgets.HTML
        What is drawn, or why nothing is.
    children : tuple of ipywidgets.Widget
        Both, from top to bottom.
    drawn : numpy.ndarray
        Indices of the tokens that are drawn.
    """

    def __init__(self, panels: LayersPanels) -> None:
        import bqplot

        self._panels, self._shared = panels, panels.selection
        self.drawn = np.arange(0)
        self._at = np.zeros((1, 0, 2))
        self._x, self._y = bqplot.LinearScale(min=0.0, max=1.0), bqplot.LinearScale(min=0.0, max=1.0)
        scales = {"x": self._x, "y": self._y}
        nothing = {"x": [0.0], "y": [0.0], "scales": scales}
        self.lines = bqplot.Lines(**nothing, stroke_width=1.2, visible=False)
        self.starts = bqplot.Scatter(**nothing, default_size=14, fill=False, stroke_width=1, visible=False)
        self.points = bqplot.Scatter(
            **nothing, default_size=40, display_names=False,
            selected_style={"stroke": "gray", "stroke-width": "1.5", "opacity": "1"},
            unselected_style={"opacity": "0.3"},
            tooltip=bqplot.Tooltip(fields=["name"], labels=["token"]),
        )  # fmt: skip
        self.ring = bqplot.Scatter(
            **nothing, default_size=150, colors=[RING], fill=False, stroke_width=2.5, visible=False
        )
        # Names lead inwards, where there is room: those of points on the right end at them.
        self.names, self.names_before = (
            bqplot.Label(
                **nothing,
                text=[""],
                x_offset=offset,
                y_offset=-7,
                align=align,
                default_size=11,
                colors=["gray"],
                font_weight="normal",
                visible=False,
            )
            for offset, align in ((7, "start"), (-7, "end"))
        )
        self.brush = bqplot.interacts.BrushSelector(x_scale=self._x, y_scale=self._y, marks=[], color="gray")
        self._axes = [
            bqplot.Axis(scale=self._x, tick_format=".4~g", label_offset="2.8em", **QUIET),
            bqplot.Axis(scale=self._y, side="left", tick_format=".4~g", label_offset="3.6em", **QUIET),
        ]
        self.figure: bqplot.Figure = bqplot.Figure(
            marks=[self.lines, self.starts, self.points, self.ring, self.names, self.names_before],
            axes=self._axes,
            layout={"width": "100%", "max_width": "860px", "height": "460px", "margin": "0"},
            fig_margin={"top": 12, "bottom": 52, "left": 72, "right": 24},
            animation_duration=0, display_toolbar=False,
        )  # fmt: skip
        self.words = ipywidgets.HTML()
        self.children = (self.figure, self.words)
        self._draw()
        panels.observe(self._draw, FOLLOWED)
        panels.observe(self._move, ("hidden_layer", "extent"))
        panels.observe(self._use, "marking")
        self._shared.observe(self._mark, ("marked", "pinned"))
        self.brush.observe(self._brushed, "brushing")
        self.points.on_element_click(self._clicked)
        self._use()

    def close(self) -> None:
        """No longer follow the panels, nor lead them."""
        self._panels.unobserve(self._draw, FOLLOWED)
        self._panels.unobserve(self._move, ("hidden_layer", "extent"))
        self._panels.unobserve(self._use, "marking")
        self._shared.unobserve(self._mark, ("marked", "pinned"))
        self.brush.unobserve(self._brushed, "brushing")

    def _draw(self, _: Any = None) -> None:
        """Lay all paths out anew."""
        try:
            found = self._panels.trajectories
        except JtvizError as error:
            self.figure.layout.display = "none"
            self.words.value = _said(str(error))
            return
        count = len(found.tokens)
        self.drawn = np.unique(np.linspace(0, count - 1, min(count, MOST)).astype(int))
        axes = self._panels.axes()
        self._at = found.paths[:, self.drawn][..., list(axes)].numpy().astype(float)
        for axis, dimension in zip(self._axes, axes, strict=True):
            axis.label = axis_label(found, dimension)
        self._colours = [place_colour(int(index), count) for index in self.drawn]
        self._labels = [token_name(found.tokens[index]) for index in self.drawn]
        with self.points.hold_sync():
            self.points.colors = self._colours
            self.points.names = np.array(
                [f"{index}  {name}" for index, name in zip(self.drawn, self._labels, strict=True)]
            )
        self.figure.layout.display = None
        self._found = found
        self._move()

    def _move(self, _: Any = None) -> None:
        """Put the points to where the layer shown has them."""
        if not len(self.drawn):
            return
        self._unbrush()
        layer = min(self._panels.hidden_layer, len(self._at) - 1)
        room = self._at if self._panels.extent == "paths" else self._at[layer]
        for scale, values in zip((self._x, self._y), np.moveaxis(room, -1, 0), strict=True):
            _fit(scale, values)
        self._axes[0].tick_values = _ticks(self._x.min, self._x.max)
        with self.points.hold_sync():
            self.points.x, self.points.y = self._at[layer].T
        self._mark()

    def _mark(self, _: Any = None) -> None:
        """Show which tokens are marked and pinned."""
        if not len(self.drawn):
            return
        marked = self._marked()
        places = np.flatnonzero(np.isin(self.drawn, marked))
        self.points.selected = places if len(places) else None
        pins = np.flatnonzero(np.isin(self.drawn, self._pinned()))
        _put(self.ring, self.points.x[pins], self.points.y[pins])
        is_few = len(self.drawn) <= LINED
        chosen = np.union1d(places, pins)
        lined = np.arange(len(self.drawn)) if is_few else _some(chosen, LINED)
        strong = chosen if len(chosen) else lined
        with self.lines.hold_sync():
            self.lines.visible = bool(len(lined))
            if len(lined):
                self.lines.x, self.lines.y = np.moveaxis(self._at[:, lined], (0, 2), (2, 0))
                self.lines.colors = [self._colours[i] for i in lined]
                self.lines.opacities = [0.7 if i in strong else 0.2 for i in lined]
        _put(self.starts, *self._at[0, lined].T, colors=[self._colours[i] for i in lined] or ["gray"])
        # What is pinned has its name first.
        named = self._apart([*pins, *(lined if len(self.drawn) <= NAMED else _some(chosen, NAMED))])
        for mark, is_before in ((self.names, False), (self.names_before, True)):
            own = [place for place in named if self._is_right(place) == is_before]
            texts = np.array([self._labels[place] for place in own] or [""])
            _put(mark, self.points.x[own], self.points.y[own], text=texts)
        self.words.value = self._legend(len(lined), len(chosen))

    def _apart(self, places: list[Any]) -> list[int]:
        """Return those whose names do not lie on one another, the first first."""
        found: list[int] = []
        boxes: list[tuple[float, float, float]] = []
        for place in dict.fromkeys(int(one) for one in places):
            x = WIDTH * (self.points.x[place] - self._x.min) / (self._x.max - self._x.min)
            y = HEIGHT * (self.points.y[place] - self._y.min) / (self._y.max - self._y.min)
            wide = LETTER * len(self._labels[place])
            x -= wide if self._is_right(place) else 0.0
            if all(abs(y - b) > LINE or x > a + w or x + wide < a for a, b, w in boxes):
                boxes.append((x, y, wide))
                found.append(place)
        return found

    def _is_right(self, place: int) -> bool:
        return bool(self.points.x[place] > (self._x.min + self._x.max) / 2)

    def _marked(self) -> list[int]:
        return list(self._shared.marked.get(self._panels.side, []))

    def _pinned(self) -> list[int]:
        trace, stage, pinned = self._panels.trace, self._shared.stage, self._shared.pinned
        sides = {"query": trace.query_side(stage), "key": trace.key_side(stage)}
        return [
            index for role, index in pinned.items() if index is not None and sides[role] == self._panels.side
        ]

    def _use(self, _: Any = None) -> None:
        """Let the mouse mark, or read."""
        is_marking = self._panels.marking
        self._unbrush()
        self.figure.interaction = self.brush if is_marking else None

    def _unbrush(self) -> None:
        with self.brush.hold_sync():
            self.brush.selected_x = self.brush.selected_y = None

    def _brushed(self, change: dict[str, Any]) -> None:
        """Mark what is inside the rectangle, once the mouse lets it go; an empty one unmarks."""
        if change["new"]:
            return
        across, up = self.brush.selected_x, self.brush.selected_y
        inside = np.zeros(len(self.drawn), dtype=bool)
        if across is not None and up is not None and len(across) == len(up) == 2:
            x, y = self.points.x, self.points.y
            inside = (min(across) <= x) & (x <= max(across)) & (min(up) <= y) & (y <= max(up))
        self.mark(self.drawn[inside].tolist())
        # What it lay over is marked now; the rectangle would dim it.
        self._unbrush()

    def mark(self, tokens: list[int]) -> None:
        """Mark these tokens of the side that is shown, and no others of it."""
        self._shared.marked = {**self._shared.marked, self._panels.side: tokens}

    def _clicked(self, _: Any, event: dict[str, Any]) -> None:
        """Pin the token whose point was clicked; pinned already, unpin it."""
        place = (event.get("data") or {}).get("index")
        if place is None or not 0 <= int(place) < len(self.drawn):
            return
        index = int(self.drawn[int(place)])
        pinned = dict(self._shared.pinned)
        pinned["query"] = None if pinned["query"] == index else index
        self._shared.pinned = pinned

    def _legend(self, lines: int, chosen: int) -> str:
        """Return what is drawn; nothing in it comes from a text or a model."""
        count, drawn = len(self._found.tokens), len(self.drawn)
        ramp = f"linear-gradient(to right, {', '.join(RAMP)})"
        bar = f"display:inline-block;width:64px;height:8px;margin:0 6px;background:{ramp}"
        said = [
            f'colour is the place in the text: first<span style="{bar}"></span>last',
            "● where a token is in the layer shown",
            "○ where its path begins, before layer 0",
        ]
        if drawn > LINED:
            which = f"the paths of {lines} of {chosen} marked" if lines < chosen else "paths"
            said.append(f"{which} and pinned tokens are drawn, all are where there are up to {LINED}")
        if drawn > NAMED:
            said.append(f"up to {NAMED} of these are named, where there is room")
        if drawn < count:
            said.append(f"{drawn:,} of {count:,} tokens, evenly sampled")
        return _said(" · ".join(said))


def _said(words: str) -> str:
    return (
        '<div style="margin:4px 12px 8px;font-size:12px;line-height:20px;color:gray;max-width:840px">'
        f"{words}</div>"
    )


def _put(mark: Any, x: np.ndarray, y: np.ndarray, **more: Any) -> None:
    """Draw a mark's points here; with none, nothing."""
    with mark.hold_sync():
        mark.visible = bool(len(x))
        if len(x):
            mark.x, mark.y = x, y
            for name, value in more.items():
                setattr(mark, name, value)


def _some(indices: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many, evenly."""
    few = np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(int)
    return np.take(indices, few)


def _fit(scale: Any, values: np.ndarray) -> None:
    """Give a scale room around values."""
    least, most = float(values.min()), float(values.max())
    room = 0.06 * ((most - least) or abs(most) or 1.0)
    with scale.hold_sync():
        scale.min, scale.max = least - room, most + room


def _ticks(least: float, most: float) -> np.ndarray:
    """Return round numbers from one to the other: few enough to stand beside each other in a narrow page."""
    rough = (most - least) / TICKS
    size = 10.0 ** np.floor(np.log10(rough))
    step = size * next(factor for factor in (1, 2, 5, 10) if factor * size >= rough * (1 - 1e-9))
    found: np.ndarray = np.arange(np.ceil(least / step), np.floor(most / step) + 1) * step
    return found


def axis_label(found: Trajectories, dimension: int) -> str:
    """Return what an axis is, and how much of the variance is seen along it."""
    if found.method == "umap":
        return f"UMAP {dimension + 1}"
    return f"PC {dimension + 1} ({found.explained[dimension]:.0%} of the variance)".replace("%", " %")


def token_name(token: str) -> str:
    """Return a token as it is written beside its point."""
    said = token.strip().replace("\n", "⏎") or "␣"
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"


def place_colour(index: int, count: int) -> str:
    """Return the colour of a place in the text."""
    at = index / max(1, count - 1) * (len(RAMP) - 1)
    low = min(int(at), len(RAMP) - 2)
    pair = [[int(RAMP[low + i][j : j + 2], 16) for j in (1, 3, 5)] for i in (0, 1)]
    mixed = [round(a + (b - a) * (at - low)) for a, b in zip(*pair, strict=True)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)
