"""How long the residual stream is and what each block adds to it, layer by layer, as a chart of bqplot.

Required: it shows the side, layer and pinned token of the panels; that the parts of a block do not add up, or
cannot be had, is said below it.
"""

from __future__ import annotations

import html
import threading
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from jtviz.analysis.layers.contributions import Contributions

from .chart import QUIET, key
from .inside import Inside

if TYPE_CHECKING:
    import bqplot

    from .layers import LayersPanels

SERIES = {
    "stream": ("the residual stream", "#8a8a8a"),
    "attention": ("what attention adds", "#4269d0"),
    "cross": ("what cross attention adds", "#3b8c5a"),
    "feed_forward": ("what the feed-forward layer adds", "#c2781c"),
}
"""Name and colour of what is drawn: apart in lightness, and told by the order of their words."""

BAND = (10, 90)
"""Percentiles of the tokens that a band covers."""

WIDE = 30.0
"""From this ratio of the largest median to the smallest on, lengths are on a logarithmic scale."""

READ = (
    "Layer 0 is what enters the first block; what a block adds stands at the layer that it returns. "
    "The upright line is at the layer shown: click a point to show another."
)

TICKS = 16
NAMED = 16
"""Letters of a token that a legend has room for."""
FOLLOWED = ("hidden_layer", "pinned")
ASKED = ("stage", "measured")


class Norms:
    """A chart that follows the panels of what each layer knows.

    Parameters
    ----------
    panels : LayersPanels
        What it follows.

    Attributes
    ----------
    legend : ipywidgets.HTML
        What its lines are, above it.
    figure : bqplot.Figure
        The chart.
    words : ipywidgets.HTML
        How it is read, and what is not in it.
    children : tuple of ipywidgets.Widget
        All of them, from top to bottom.
    lengths : dict of str to numpy.ndarray
        What is drawn, ``[layers + 1, tokens]`` each: NaN where there is none.

    Examples
    --------
    >>> import jtviz
    >>> view = jtviz.show_layers(jtviz.demo.translator(), "I like tea.", stage="encoder")
    >>> chart = Norms(view.panels)
    >>> chart.lengths["stream"].shape
    (3, 5)
    """

    def __init__(self, panels: LayersPanels) -> None:
        import bqplot

        self._panels, self._following = panels, Inside()
        self._showing = threading.RLock()
        self.lengths: dict[str, np.ndarray] = {}
        self._x, self._y = bqplot.LinearScale(), bqplot.LinearScale()
        scales = {"x": self._x, "y": self._y}
        self._bands, self._medians, self._own = (
            {name: bqplot.Lines(x=[], y=[], scales=scales, visible=False, **_style(kind, colour))
             for name, (_, colour) in SERIES.items()}
            for kind in ("band", "median", "own")
        )  # fmt: skip
        self._rule = bqplot.Lines(
            x=[0, 0], y=[0, 1], scales={"x": self._x, "y": bqplot.LinearScale(min=0, max=1)},
            colors=["gray"], stroke_width=1, opacities=[0.8],
        )  # fmt: skip
        self._points = bqplot.Scatter(
            x=[], y=[], scales=scales, colors=[SERIES["stream"][1]], default_size=44,
            interactions={"click": "select"}, selected_style={}, unselected_style={},
            tooltip=bqplot.Tooltip(
                fields=["x", "y"], formats=["d", ".4g"], labels=["layer", "median length"]
            ),
        )  # fmt: skip
        self._across = bqplot.Axis(scale=self._x, tick_format="d", label_offset="2.8em", **QUIET)
        self._up = self._upright()
        self._across.label = "layer of the stream"
        marks = [
            *self._bands.values(),
            self._rule,
            *self._medians.values(),
            *self._own.values(),
            self._points,
        ]
        self.figure: bqplot.Figure = bqplot.Figure(
            marks=marks, axes=[self._across, self._up],
            layout={"width": "100%", "max_width": "840px", "height": "260px", "margin": "0"},
            fig_margin={"top": 8, "bottom": 48, "left": 72, "right": 16},
            animation_duration=0, display_toolbar=False,
        )  # fmt: skip
        self.legend, self.words = ipywidgets.HTML(), ipywidgets.HTML()
        self.children = (self.legend, self.figure, self.words)
        self._draw()
        panels.observe(self._draw, ASKED)
        panels.observe(self._follow, FOLLOWED)
        self._points.observe(self._lead, "selected")

    def close(self) -> None:
        """No longer follow the panels, nor lead them."""
        self._panels.unobserve(self._draw, ASKED)
        self._panels.unobserve(self._follow, FOLLOWED)
        self._points.unobserve(self._lead, "selected")

    def _draw(self, _: Any = None) -> None:
        panels = self._panels
        found = panels.contributions if panels.side in panels.measured else None
        self.lengths = _lengths(panels.features.norms.numpy(), found)
        medians = {name: _where(own, np.median(own, 1)) for name, own in self.lengths.items()}
        for name in SERIES:
            self._bands[name].visible = self._medians[name].visible = name in medians
            if name not in medians:
                continue
            x, median = medians[name]
            low, high = np.percentile(self.lengths[name][x], BAND, axis=1)
            for line, y in ((self._bands[name], np.stack([low, high])), (self._medians[name], median)):
                with line.hold_sync():
                    line.x, line.y = x, y
        layers = len(self.lengths["stream"])
        every = -(-layers // TICKS)
        self._across.tick_values = list(range(0, layers, every))
        with self._points.hold_sync():
            self._points.x, self._points.y = medians["stream"]
        notes = _notes(found, has_model=panels.trace.reading is not None)
        self.words.value = _block("<br>".join(map(html.escape, [READ, *notes])), below=8)
        self._follow()

    def _upright(self) -> Any:
        import bqplot

        return bqplot.Axis(scale=self._y, side="left", tick_format=".3~g", label_offset="4em", **QUIET)

    def _rescale(self, drawn: list[np.ndarray]) -> None:
        """Choose the scale for lines; a band may be cut off."""
        import bqplot

        lengths = np.concatenate(drawn)
        positive = lengths[lengths > 0]
        is_wide = positive.size > 0 and positive.max() > WIDE * positive.min()
        kind = bqplot.LogScale if is_wide else bqplot.LinearScale
        if not isinstance(self._y, kind):
            old, self._y = self._y, kind()
            for mark in (*self._bands.values(), *self._medians.values(), *self._own.values(), self._points):
                mark.scales = {"x": self._x, "y": self._y}
            # An axis whose scale is exchanged would keep its numbers where they were.
            up, self._up = self._up, self._upright()
            self.figure.axes = [self._across, self._up]
            up.close()
            old.close()
        self._y.min = float(positive.min()) / 2 if is_wide else 0.0
        self._up.label = "length, logarithmic" if is_wide else "length"

    def _follow(self, _: Any = None) -> None:
        """Show the layer and the pinned token."""
        with self._showing:
            self._show()

    def _show(self) -> None:
        panels = self._panels
        layer = min(panels.hidden_layer, len(self.lengths["stream"]) - 1)
        self._rule.x = [layer, layer]
        pinned = panels.pinned_on(panels.side)
        lines = {
            name: _where(own, own[:, pinned]) for name, own in self.lengths.items() if pinned is not None
        }
        medians = [_where(own, np.median(own, 1))[1] for own in self.lengths.values()]
        self._rescale([*medians, *(y for _, y in lines.values())])
        for name, line in self._own.items():
            line.visible = name in lines
            if name in lines:
                with line.hold_sync():
                    line.x, line.y = lines[name]
        self.legend.value = _block(
            _legend(list(self.lengths), self.lengths["stream"].shape[1], self._named(pinned))
        )
        with self._following:
            self._points.selected = np.array([layer])

    def _named(self, token: int | None) -> str:
        text = "" if token is None else self._panels.trace.tokens[self._panels.side].text[token].strip()
        return f" ({token} {text[:NAMED]})" if token is not None else ""

    def _lead(self, change: dict[str, Any]) -> None:
        chosen = change["new"]
        if not self._following.is_here and chosen is not None and len(chosen):
            self._panels.hidden_layer = int(chosen[-1])


def _lengths(norms: np.ndarray, found: Contributions | None) -> dict[str, np.ndarray]:
    """Return for each part ``[layers, tokens]``; what a block adds stands at the layer that it returned."""
    out = {"stream": norms}
    if found is not None:
        before = np.full((1, norms.shape[1]), np.nan)
        for name in ("attention", "cross", "feed_forward"):
            part = getattr(found, name).numpy()
            if np.isfinite(part).any():
                out[name] = np.concatenate([before, part])
    return out


def _where(lengths: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the layers where every token has a length, and the numbers there."""
    there = np.flatnonzero(np.isfinite(lengths).all(1))
    return there, own[there]


def _style(kind: str, colour: str) -> dict[str, Any]:
    if kind == "band":
        return {
            "fill": "between", "colors": [colour, colour], "fill_colors": [colour],
            "fill_opacities": [0.14], "stroke_width": 0,
        }  # fmt: skip
    dashed = {"line_style": "dashed", "stroke_width": 1.6}
    return {"colors": [colour], **(dashed if kind == "own" else {"stroke_width": 2.2})}


def _legend(names: list[str], tokens: int, pinned: str) -> str:
    """Return what the lines are, as HTML."""
    colours = [_swatch(SERIES[name][1], SERIES[name][0]) for name in names]
    many = f"median of {tokens:,} tokens" if tokens != 1 else "the only token"
    kinds = [
        key("gray", many),
        _swatch("#8080804d", f"{BAND[0]}th to {BAND[1]}th percentile", 18),
        key("gray", f"the pinned token{pinned}", dashed=True),
    ]
    return f"<div>Length of&ensp;{''.join(colours)}</div><div>{''.join(kinds)}</div>"


def _swatch(colour: str, name: str, width: int = 10) -> str:
    box = f"display:inline-block;width:{width}px;height:10px;margin:0 6px -1px 0;background:{colour}"
    return f'<span style="display:inline-block;margin-right:16px"><span style="{box}"></span>{name}</span>'


def _block(said: str, *, below: int = 0) -> str:
    style = f"margin:0 12px {below}px;font-size:12px;line-height:20px;color:gray;max-width:840px"
    return f'<div style="{style}">{said}</div>'


def _notes(found: Contributions | None, *, has_model: bool) -> list[str]:
    """Return what cannot be had, or is not a sum."""
    if not has_model:
        return ["What attention and feed-forward layers add needs the model, which this trace is without."]
    if found is None:
        return ["What attention and feed-forward layers add is measured when the panel is shown."]
    off = [str(layer) for layer, adds in enumerate(found.adds_up) if not adds]
    if off and found.block.shape[1] == 1:
        said = "Of a single token it cannot be told whether a block adds anything but these parts."
    elif off:
        said = (
            f"Block{'s' if len(off) > 1 else ''} {', '.join(off)} "
            f"do{'es' if len(off) == 1 else ''} not add just these parts (normalising after adding, as BERT "
            "does, or scaling): the lengths are those of the parts alone."
        )
    else:
        said = "Every block adds just these parts, but for one vector that is the same for all tokens."
    return [said, *(f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in found.notes)]


__all__ = ["Norms"]
