"""What a linear probe reads off each layer, as a chart of bqplot.

Required: the control task and the majority baseline are in the chart with the accuracy, each with its
standard error.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from jtviz.analysis.layers.probes import Probes

from .chart import LAYER, QUIET, ChartView, key, some

if TYPE_CHECKING:
    import bqplot

ACCURACY, CONTROL, SELECTIVITY, MAJORITY = "#4269d0", "#c2781c", "#3b8c5a", "#888888"
READ = "That a probe finds a property says that it can be read linearly, not that the model uses it."
NAMED = 8
"""Classes that are named, at most."""


class ProbesView(ChartView):
    """Accuracy, control task, selectivity and majority baseline by layer.

    Parameters
    ----------
    found : Probes
        What `jtviz.probe` returned.

    Attributes
    ----------
    found : Probes
        The numbers.
    chart : bqplot.Figure
        Lines over the layers, whiskers of one standard error.

    Examples
    --------
    >>> import jtviz
    >>> texts = [f"{who} has {what}." for who in ("A man", "A woman") for what in ("a cough", "a rash")]
    >>> found = jtviz.probe(jtviz.demo.classifier(), texts, ["man", "man", "woman", "woman"], cv=2)
    >>> len(found.view().chart.marks)
    9
    """

    found: Probes

    def __init__(self, found: Probes) -> None:
        keys = [
            key(ACCURACY, "accuracy"),
            key(CONTROL, "control task: random labels"),
            key(SELECTIVITY, "selectivity: accuracy less control"),
            key(MAJORITY, "majority baseline", dashed=True),
            "whiskers and band: one standard error",
        ]
        heads = ("layer", "accuracy", "control task", "selectivity", "majority")
        super().__init__(
            found,
            "".join(keys),
            _chart(found),
            _sentences(found),
            (heads, _rows(found)),
            still=partial(_still, found),
        )


def _still(found: Probes) -> str:
    from .figures.grid import grid_svg

    lines = [
        f"Layer {layer}: accuracy {accuracy}, control task {control}, selectivity {selectivity}"
        for layer, accuracy, control, selectivity, _ in _rows(found)
    ]
    majority = f"Majority baseline {_with_error(found.majority, found.majority_error)}"
    return grid_svg({}, (), title="Probes", colours="", words=[*lines, majority, *_sentences(found)])


def _chart(found: Probes) -> bqplot.Figure:
    import bqplot

    layers = np.array(found.layers, dtype=float)
    ends = np.array([layers.min() - 0.5, layers.max() + 0.5])
    # Of one text no error is known.
    drawn = [
        (values, np.nan_to_num(errors), colour)
        for values, errors, colour in (
            (found.control, found.control_error, CONTROL),
            (found.selectivity, found.selectivity_error, SELECTIVITY),
            (found.accuracy, found.accuracy_error, ACCURACY),
        )
    ]
    lowest = min(0.0, *(float((values - errors).min()) for values, errors, _ in drawn))
    scales = {
        "x": bqplot.LinearScale(min=float(ends[0]), max=float(ends[1])),
        "y": bqplot.LinearScale(min=lowest, max=1.02),
    }
    band = found.majority + np.nan_to_num(found.majority_error) * np.array([[-1.0, -1.0], [1.0, 1.0]])
    marks: list[Any] = [
        bqplot.Lines(
            x=ends, y=band, scales=scales, fill="between", colors=[MAJORITY] * 2, fill_colors=[MAJORITY],
            fill_opacities=[0.16], stroke_width=0,
        ),
        bqplot.Lines(
            x=ends, y=[found.majority] * 2, scales=scales, colors=[MAJORITY], line_style="dashed",
            stroke_width=1.4,
        ),
    ]  # fmt: skip
    said = [f"{row[0]}: accuracy {row[1]}, control {row[2]}, selectivity {row[3]}" for row in _rows(found)]
    for values, errors, colour in drawn:
        whiskers = {
            "x": np.stack([layers, layers], 1),
            "y": np.stack([values - errors, values + errors], 1),
            "stroke_width": 1.2,
        }
        line = {"x": layers, "y": values, "stroke_width": 2.2 if colour == ACCURACY else 1.6}
        marks += [bqplot.Lines(scales=scales, colors=[colour], **one) for one in (whiskers, line)]
    # One mark for all points, so that one tooltip says all of a layer.
    marks.append(
        bqplot.Scatter(
            x=np.tile(layers, len(drawn)),
            y=np.concatenate([values for values, _, _ in drawn]),
            colors=[colour for _, _, colour in drawn for _ in layers],
            names=np.tile(said, len(drawn)),
            display_names=False,
            default_size=36,
            scales=scales,
            tooltip=bqplot.Tooltip(fields=["name"], labels=["layer"]),
        )
    )
    axes = [
        bqplot.Axis(
            scale=scales["x"], label=LAYER, tick_values=some(found.layers), tick_format="d",
            label_offset="2.8em", **QUIET,
        ),
        bqplot.Axis(
            scale=scales["y"], side="left", label=f"share of the {_units(found)} got right",
            tick_format=".0%", label_offset="4.4em", **QUIET,
        ),
    ]  # fmt: skip
    return bqplot.Figure(
        marks=marks,
        axes=axes,
        layout={"width": "100%", "max_width": "720px", "height": "300px", "margin": "0"},
        fig_margin={"top": 8, "bottom": 52, "left": 76, "right": 16},
        display_toolbar=False,
        animation_duration=0,
    )


def _units(found: Probes) -> str:
    return "texts" if found.unit == "sentence" else "tokens"


def _with_error(value: float, error: float) -> str:
    return f"{value:.1%} ± {error:.1%}" if np.isfinite(error) else f"{value:.1%}"


def _rows(found: Probes) -> list[tuple[str, ...]]:
    """Return for each layer its numbers as they are written."""
    majority = _with_error(found.majority, found.majority_error)
    names = ("accuracy", "control", "selectivity")
    return [
        (
            str(layer),
            *(_with_error(getattr(found, name)[i], getattr(found, f"{name}_error")[i]) for name in names),
            majority,
        )
        for i, layer in enumerate(found.layers)
    ]


def _sentences(found: Probes) -> Sequence[str]:
    """Return what has to be known, as text; names of classes are the reader's."""
    best = found.layers.index(found.best)
    row = _rows(found)[best]
    classes = ", ".join(str(name) for name in found.classes[:NAMED])
    more = len(found.classes) - NAMED
    if more > 0:
        classes += f" and {more} more"
    of = "" if found.unit == "sentence" else f" of {found.texts:,} texts"
    return [
        f"{found.n:,} {_units(found)}{of}, {found.side} side, {len(found.classes)} classes: {classes}.",
        f"Most can be read off layer {found.best}: {row[1]}, control task {row[2]}, selectivity {row[3]}.",
        READ,
        *(f"{note[:1].upper()}{note[1:]}." for note in (one.rstrip(".") for one in found.notes)),
    ]


def probes_view(found: Probes) -> ProbesView:
    """Return probes as a widget."""
    return ProbesView(found)
