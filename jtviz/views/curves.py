"""What happens as tokens are taken away or put back, as a chart of bqplot.

Required: the curves of random orders, with their spread, are always beside those of the scores.
"""

from __future__ import annotations

from typing import Any

import ipywidgets
import numpy as np

from jtviz.analysis.trust import Faithfulness

from .chart import QUIET

DELETION, INSERTION = "#4269d0", "#c2781c"


def curves(found: Faithfulness) -> ipywidgets.VBox:
    """Return the deletion and insertion curves of an attribution beside those of random orders.

    Parameters
    ----------
    found : Faithfulness
        From `jtviz.analysis.faithfulness`.

    Returns
    -------
    ipywidgets.VBox
        A `bqplot.Figure` below what its lines are: both curves, each over the band of random orders (their
        mean and one standard deviation).
    """
    import bqplot

    scales = {"x": bqplot.LinearScale(min=0, max=1), "y": bqplot.LinearScale()}
    marks: list[Any] = []
    for own, random, colour in (
        (found.deletion, found.random_deletion, DELETION),
        (found.insertion, found.random_insertion, INSERTION),
    ):
        mean, spread = random.mean(0), random.std(0, ddof=1)
        # Nothing that no order reached: a probability stays one.
        band = np.clip(np.stack([mean - spread, mean + spread]), random.min(0), random.max(0))
        drawn: list[dict[str, Any]] = [
            {
                "y": band,
                "fill": "between",
                "colors": [colour, colour],
                "fill_colors": [colour],
                "fill_opacities": [0.14],
                "stroke_width": 0,
            },
            {"y": mean, "colors": [colour], "line_style": "dashed", "stroke_width": 1.2},
            {"y": own, "colors": [colour], "stroke_width": 2.2},
        ]
        marks += [bqplot.Lines(x=found.share, scales=scales, **line) for line in drawn]
    axes = [
        bqplot.Axis(
            scale=scales["x"], label="share of the tokens", tick_format=".0%", label_offset="2.8em", **QUIET
        ),
        bqplot.Axis(scale=scales["y"], side="left", label=found.measure, label_offset="3.6em", **QUIET),
    ]
    figure = bqplot.Figure(
        marks=marks,
        axes=axes,
        layout={"width": "100%", "max_width": "720px", "height": "280px", "margin": "0"},
        fig_margin={"top": 8, "bottom": 52, "left": 72, "right": 16},
        display_toolbar=False,
        animation_duration=0,
    )
    return ipywidgets.VBox([ipywidgets.HTML(_words(len(found.random_deletion))), figure])


def _words(orders: int) -> str:
    """Return what the lines are; nothing in it comes from a text or a model."""

    def line(colour: str, name: str) -> str:
        bar = f"display:inline-block;width:18px;height:3px;margin:0 6px 3px 0;background:{colour}"
        return f'<span style="margin-right:16px;white-space:nowrap"><span style="{bar}"></span>{name}</span>'

    return (
        '<div style="margin-left:72px;font-size:12px;line-height:20px;color:gray">'
        f"{line(DELETION, 'highest scores taken away first')}"
        f"{line(INSERTION, 'highest scores put back first')}"
        f"dashed: {orders} random orders, mean and one standard deviation</div>"
    )
