"""A pruning curve as a chart of bqplot, whose brush sets the mask in the grid of heads.

Required: random orders, with their spread, are always beside those of the methods; what is brushed is what
the grid crosses out, and every view that is linked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from jtviz.analysis.ablation import HONEST
from jtviz.analysis.importance.curve import PruningCurve
from jtviz.capture.intervention.ablation import Mask

from . import keep
from .chart import QUIET
from .closing import close_all
from .importance import NAMES, ImportanceView
from .masks import Masks

if TYPE_CHECKING:
    import bqplot

COLOURS = {
    "exact": "#4269d0",
    "taylor": "#4269d0",
    "greedy": "#a463b6",
    "gradient": "#c2781c",
    "confidence": "#3b8c5a",
}
CHANCE = "#888888"


class CurveView(ipywidgets.VBox):  # type: ignore[misc]
    """The metric against the share of heads, or units, that are off, over what is off.

    Parameters
    ----------
    curve : PruningCurve
        What `jtviz.analysis.pruning_curve` returned.

    Attributes
    ----------
    curve : PruningCurve
        The numbers.
    chart : bqplot.Figure
        Each method's curve, and random orders as a band.

    Examples
    --------
    >>> import jtviz
    >>> notes = [("Has a runny nose.", "can wait"), ("Has crushing chest pain.", "urgent")]
    >>> curve = jtviz.analysis.pruning_curve(jtviz.demo.classifier(), notes, methods="gradient", draws=2)
    >>> view = curve.view()
    >>> view.brush(0.25)
    >>> len(view.mask)
    2
    """

    children: Any

    def __init__(self, curve: PruningCurve, below: Any) -> None:
        import bqplot

        self.curve = curve
        self._mask = Mask()
        self._links: list[Masks] = []
        self._words = ipywidgets.HTML()
        scales = {"x": bqplot.LinearScale(min=0, max=1), "y": bqplot.LinearScale()}
        self._at = bqplot.Lines(
            x=[], y=[], scales=scales, colors=["gray"], line_style="dashed", stroke_width=1.2
        )
        self.chart: bqplot.Figure = bqplot.Figure(
            marks=[*_lines(curve, scales), self._at],
            axes=_axes(curve, scales),
            layout={"width": "100%", "max_width": "720px", "height": "300px", "margin": "0"},
            fig_margin={"top": 10, "bottom": 52, "left": 76, "right": 16},
            animation_duration=0,
            display_toolbar=False,
        )
        self._brush = bqplot.interacts.BrushIntervalSelector(scale=scales["x"], color="#4269d0")
        self.chart.interaction = self._brush
        super().__init__([self._words, self.chart, below])
        self._brush.observe(self._brushed, "selected")

    def __repr__(self) -> str:
        """Say in one line what is shown: a saved notebook has this where the widget was."""
        return f"{type(self).__name__}({self.curve!r})"

    @property
    def method(self) -> str:
        """In whose order parts are switched off."""
        return next(iter(self.curve.orders))

    @property
    def mask(self) -> Mask:
        """What is off, to ablate or prune by."""
        return self._mask

    def brush(self, share: float) -> None:
        """Switch the least important share off, as brushing up to there does.

        Raises
        ------
        JtvizError
            If it is no share, 0 to 1.
        """
        self._show(self.curve.mask(self.method, share))

    def link(self, view: Masks) -> None:
        """Let another view, of `jtviz.show_pruning` or `jtviz.show_attention`, follow the mask.

        Raises
        ------
        JtvizError
            If its model has no such part.
        """
        view.off = self.mask
        self._links.append(view)

    def _show(self, mask: Mask) -> None:
        """Take a mask for what is off."""
        self._mask = mask
        self._masked()

    def _brushed(self, change: dict[str, Any]) -> None:
        chosen = change["new"]
        if chosen is not None and len(chosen):
            self.brush(float(np.clip(np.max(chosen), 0, 1)))

    def _masked(self, _: Any = None) -> None:
        """Tell whoever follows, and say what is off."""
        for view in self._links:
            view.off = self.mask
        self._say()

    def _say(self) -> None:
        """Say what the lines are, and what is off."""
        curve, count, total = self.curve, len(self.mask), len(self.curve.orders[self.method])
        share = count / total
        is_in_order = self.mask == curve.mask(self.method, share)
        values = [*curve.values.values(), *([curve.random] if np.size(curve.random) else [])]
        self._at.x = [share, share] if count else []
        self._at.y = [min(map(np.min, values)), max(map(np.max, values))] if count else []
        said = f"brush over the curves to switch the least important {curve.of} off"
        if count:
            said = f"{count} of {total} {curve.of} off ({share:.0%})"
            at = np.flatnonzero(np.isclose(curve.shares, share))
            if is_in_order:
                said += f", in the order of {NAMES[self.method].lower()}"
            if is_in_order and len(at):  # between two points nothing was measured
                value = float(curve.values[self.method][at[0]])
                said += f": {curve.label} {value:.4g}, {curve.intact.value:.4g} with all"
        self._words.value = _legend(curve, said)

    def close(self) -> None:
        """Close the chart and what is below."""
        if self.comm is not None:  # Python closes once more what it forgets
            close_all(*self.children, self._brush, self.layout)
        super().close()


class HeadCurve(CurveView):
    """The curve of heads, over their grid.

    Attributes
    ----------
    grid : ImportanceView
        The heads; what is brushed is crossed out, in the order of its ``method``.
    """

    def __init__(self, curve: PruningCurve) -> None:
        self.grid = ImportanceView(curve.importance)
        if self.grid.method not in curve.orders:
            self.grid.method = next(iter(curve.orders), self.grid.method)
        super().__init__(curve, self.grid)
        self._say()
        self.grid.observe(self._method_chosen, "method")
        self.grid.observe(self._masked, "off")

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return keep.with_image(super()._repr_mimebundle_(**kwargs), self.grid.picture())

    @property
    def method(self) -> str:
        """In whose order heads are switched off: the one that the grid shows, where it has a curve."""
        return self.grid.method if self.grid.method in self.curve.orders else super().method

    @property
    def mask(self) -> Mask:
        """The heads that are crossed out, to ablate or prune by."""
        return self.grid.mask

    def _show(self, mask: Mask) -> None:
        self.grid.mask = mask

    def _method_chosen(self, _: Any) -> None:
        count = len(self.mask)
        if count:
            self.brush(count / len(self.curve.orders[self.method]))
        self._say()


class UnitCurve(CurveView):
    """The curve of feed-forward units, over how many of each layer are off."""

    def __init__(self, curve: PruningCurve) -> None:
        self._layers = ipywidgets.HTML()
        super().__init__(curve, self._layers)
        self._show(Mask())

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return keep.with_image(super()._repr_mimebundle_(**kwargs), self.picture())

    def picture(self) -> str | None:
        """Return what was measured, written as a small PNG in base64, for whatever shows no widgets."""
        from .figures.grid import grid_png, grid_svg

        curve = self.curve
        words = [
            f"{curve.label} with {share:.0%} of the feed-forward units off: {value:.4g}"
            for share, value in zip(curve.shares, curve.values[self.method], strict=True)
        ]
        drawn = grid_svg({}, (), title=repr(curve), colours="", words=[*words, *curve.notes, HONEST])
        return keep.in_base64(lambda: grid_png(drawn, 1))

    def _show(self, mask: Mask) -> None:
        self._layers.value = _bars(self.curve, mask)
        super()._show(mask)


def _lines(curve: PruningCurve, scales: dict[str, Any]) -> list[Any]:
    import bqplot

    drawn: list[dict[str, Any]] = []
    if len(curve.random) > 1:
        mean, spread = curve.random_mean, curve.random_deviation
        # Nothing that no order reached.
        band = np.clip(np.stack([mean - spread, mean + spread]), curve.random.min(0), curve.random.max(0))
        drawn.append(
            {
                "y": band,
                "fill": "between",
                "colors": [CHANCE, CHANCE],
                "fill_colors": [CHANCE],
                "fill_opacities": [0.18],
                "stroke_width": 0,
            }
        )
    if len(curve.random):
        drawn.append(
            {"y": curve.random_mean, "colors": [CHANCE], "line_style": "dashed", "stroke_width": 1.4}
        )
    drawn += [
        {"y": values, "colors": [COLOURS[name]], "stroke_width": 2.2} for name, values in curve.values.items()
    ]
    return [bqplot.Lines(x=curve.shares, scales=scales, **line) for line in drawn]


def _axes(curve: PruningCurve, scales: dict[str, Any]) -> list[Any]:
    import bqplot

    return [
        bqplot.Axis(
            scale=scales["x"],
            label=f"share of the {curve.of} off",
            tick_format=".0%",
            label_offset="2.8em",
            **QUIET,
        ),
        bqplot.Axis(scale=scales["y"], side="left", label=curve.label, label_offset="4em", **QUIET),
    ]


def _legend(curve: PruningCurve, said: str) -> str:
    """Return what the lines are; nothing in it comes from a text or a model."""

    def line(colour: str, name: str) -> str:
        bar = f"display:inline-block;width:18px;height:3px;margin:0 6px 3px 0;background:{colour}"
        return f'<span style="margin-right:16px;white-space:nowrap"><span style="{bar}"></span>{name}</span>'

    names = "".join(line(COLOURS[name], NAMES[name].lower()) for name in curve.values)
    draws = len(curve.random)
    chance = line(CHANCE, f"{draws} random orders, mean and one standard deviation") if draws else ""
    return (
        '<div style="margin-left:12px;font-size:12px;line-height:20px;color:gray">'
        f"{names}{chance}<br>{said}</div>"
    )


def _bars(curve: PruningCurve, mask: Mask) -> str:
    """Return how many units of each layer are off; nothing in it comes from a text or a model."""
    layers: dict[tuple[str, int], list[int]] = {}
    for stage, layer, _ in next(iter(curve.orders.values())):
        layers.setdefault((stage, layer), [0, 0])[1] += 1
    for stage, layer, _ in mask.units:
        layers[stage, layer][0] += 1
    rows = "".join(
        f'<tr><td style="padding-right:12px">{stage} {layer}</td><td><div style="width:240px;height:8px;'
        f'border-radius:2px;box-shadow:0 0 0 1px rgba(128,128,128,.45)"><div style="height:8px;'
        f'width:{100 * off / total:.1f}%;border-radius:2px;background:{COLOURS["taylor"]}"></div></div></td>'
        f'<td style="padding-left:12px">{off} of {total} units off</td></tr>'
        for (stage, layer), (off, total) in sorted(layers.items())
    )
    style = "margin-left:12px;font-size:12px;line-height:20px;color:gray"
    return f'<table style="{style}">{rows}</table><div style="{style}">{HONEST}</div>'


def curve_view(curve: PruningCurve) -> CurveView:
    """Return a curve as a widget."""
    return HeadCurve(curve) if curve.of == "heads" else UnitCurve(curve)
