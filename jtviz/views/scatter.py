"""First-order importance against exact ablation, one point a head, as a chart of bqplot.

Required: a point that is clicked is the head that is pinned in the grid, and the other way round; heads that
the two rank most differently are said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from .chart import QUIET
from .inside import Inside

if TYPE_CHECKING:
    import bqplot

    from .importance import ImportanceView

COLOURS = {"encoder": "#4269d0", "decoder": "#c2781c", "cross": "#3b8c5a"}
MISRANKED = 3


class Scatter:
    """A chart that follows an importance view.

    Parameters
    ----------
    view : ImportanceView
        Of a result that has both methods.

    Attributes
    ----------
    figure : bqplot.Figure
        The chart.
    words : ipywidgets.HTML
        What its colours are, and what is misranked.
    """

    def __init__(self, view: ImportanceView) -> None:
        import bqplot

        self._view, self._following = view, Inside()
        found = view.found
        self._heads = list(found.heads)
        self.exact, self.gradient = found.values["exact"], found.values["gradient"]
        scales = {"x": _scale(self.exact), "y": _scale(self.gradient)}
        names = [f"{stage} {layer}.{head}" for stage, layer, head in self._heads]
        self._points = bqplot.Scatter(
            x=self.exact, y=self.gradient, names=names, display_names=False, scales=scales,
            colors=[COLOURS.get(stage, "gray") for stage, _, _ in self._heads],
            default_size=48, opacities=[0.85], interactions={"click": "select"},
            selected_style={"stroke": "gray", "stroke-width": "3"}, unselected_style={"opacity": "0.35"},
            tooltip=bqplot.Tooltip(fields=["name", "x", "y"], formats=["", ".3g", ".3g"],
                                   labels=["head", "exact", "gradient"]),
        )  # fmt: skip
        axes = [
            bqplot.Axis(scale=scales["x"], label=f"exact: {found.label} lost without the head",
                        tick_format=".2~g", label_offset="2.8em", **QUIET),
            bqplot.Axis(scale=scales["y"], side="left", label="gradient: first-order change",
                        tick_format=".2~g", label_offset="4.4em", **QUIET),
        ]  # fmt: skip
        self.figure: bqplot.Figure = bqplot.Figure(
            marks=[self._points], axes=axes,
            layout={"width": "100%", "max_width": "560px", "height": "320px", "margin": "0"},
            fig_margin={"top": 12, "bottom": 52, "left": 84, "right": 16},
            animation_duration=0, display_toolbar=False,
        )  # fmt: skip
        self.words = ipywidgets.HTML(self._said())
        self._mark()
        view.observe(self._mark, "pointed")
        self._points.observe(self._pin, "selected")

    def close(self) -> None:
        """No longer follow the view, nor lead it."""
        self._view.unobserve(self._mark, "pointed")
        self._points.unobserve(self._pin, "selected")

    def _said(self) -> str:
        """Return what the points are; nothing in it comes from a text or a model."""
        stages = dict.fromkeys(stage for stage, _, _ in self._heads)
        dots = "".join(
            f'<span style="margin-right:14px;white-space:nowrap"><span style="display:inline-block;width:9px;'
            f'height:9px;border-radius:50%;margin-right:6px;background:{COLOURS.get(stage, "gray")}"></span>'
            f"{stage}</span>"
            for stage in stages
        )
        said = ""
        if len(self._heads) > 2:
            table = self._view.found.misranked(MISRANKED)
            worst = "; ".join(
                f"{row.stage} {row.layer}.{row.head} is {_nth(row.rank_exact)} by ablation, "
                f"{_nth(row.rank_gradient)} by gradient"
                for row in table.itertuples()
                if row.rank_exact != row.rank_gradient
            )
            said = f"Most differently ranked: {worst}." if worst else "Both rank the heads alike."
        return (
            '<div style="margin:8px 12px 0;font-size:12px;line-height:20px;color:gray;max-width:720px">'
            f"{dots}one point a head · {said}</div>"
        )

    def _mark(self, _: Any = None) -> None:
        """Show which head is pinned."""
        pinned = self._view.pointed
        found = [i for i, head in enumerate(self._heads) if pinned and head == tuple(pinned)]
        with self._following:
            self._points.selected = np.array(found, dtype=int) if found else None

    def _pin(self, change: dict[str, Any]) -> None:
        if self._following.is_here:
            return
        chosen = change["new"]
        is_none = chosen is None or not len(chosen)
        self._view.pointed = None if is_none else list(self._heads[int(chosen[-1])])


def _scale(values: np.ndarray) -> bqplot.LinearScale:
    """Return a scale with room around its points."""
    import bqplot

    least, most = float(values.min()), float(values.max())
    room = 0.06 * ((most - least) or abs(most) or 1.0)
    return bqplot.LinearScale(min=least - room, max=most + room)


def _nth(rank: Any) -> str:
    number = int(rank)
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
