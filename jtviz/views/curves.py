"""What happens as tokens are taken away or put back, as a chart of bqplot.

Required: the curves of random orders, with their spread, are always beside those of the scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jtviz.analysis.trust import Faithfulness

if TYPE_CHECKING:
    import bqplot

DELETION, INSERTION, RANDOM = "#4269d0", "#c2781c", "#808080"


def curves(found: Faithfulness) -> bqplot.Figure:
    """Return the deletion and insertion curves of an attribution beside those of random orders.

    Parameters
    ----------
    found : Faithfulness
        From `jtviz.analysis.faithfulness`.

    Returns
    -------
    bqplot.Figure
        Both in one chart, each over the band of random orders (mean and one standard deviation).
    """
    import bqplot

    scales = {"x": bqplot.LinearScale(min=0, max=1), "y": bqplot.LinearScale()}
    marks: list[Any] = []
    pairs = (
        ("taken away", found.deletion, found.random_deletion, DELETION),
        ("put back", found.insertion, found.random_insertion, INSERTION),
    )
    for name, own, random, colour in pairs:
        mean, spread = random.mean(0), random.std(0, ddof=1)
        marks.append(
            bqplot.Lines(
                x=found.share, y=np.stack([mean - spread, mean + spread]), scales=scales, fill="between",
                colors=[colour, colour], fill_colors=[colour], fill_opacities=[0.14], stroke_width=0,
            )
        )  # fmt: skip
        marks.append(
            bqplot.Lines(
                x=found.share, y=mean, scales=scales, colors=[colour], line_style="dashed", stroke_width=1.2,
                labels=[f"{name}, random order"], display_legend=True,
            )
        )  # fmt: skip
        marks.append(
            bqplot.Lines(
                x=found.share, y=own, scales=scales, colors=[colour], stroke_width=2.2,
                labels=[f"{name}, strongest first"], display_legend=True,
            )
        )  # fmt: skip
    quiet = {"grid_lines": "none", "color": "gray", "label_color": "gray"}
    axes = [
        bqplot.Axis(
            scale=scales["x"], label="share of the tokens", tick_format=".0%", label_offset="2.8em", **quiet
        ),
        bqplot.Axis(scale=scales["y"], side="left", label=found.measure, label_offset="3.6em", **quiet),
    ]
    return bqplot.Figure(
        marks=marks,
        axes=axes,
        legend_location="top-right",
        legend_text={"font-size": 11, "fill": "gray"},
        legend_style={"stroke": "none", "fill": "none"},
        layout={"width": "100%", "max_width": "640px", "height": "300px"},
        fig_margin={"top": 16, "bottom": 52, "left": 72, "right": 16},
        display_toolbar=False,
        animation_duration=0,
    )
