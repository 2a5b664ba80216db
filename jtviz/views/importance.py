"""The heads of a model over a data set: how important each is. Twin: js/src/views/importance.ts.

Required: everything drawn is in the result that is shown, which can be had as a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets as t

from jtviz.analysis.ablation import HONEST
from jtviz.analysis.importance.result import HeadImportance
from jtviz.capture import JtvizError
from jtviz.capture.intervention.ablation import Mask

from . import keep
from .attribution import FIGURES
from .bundle import front_end
from .closing import close_all
from .describe import LABELS
from .outcomes import scores_of
from .scatter import Scatter

SHOWN_UNITS = 32
SOURCES = {
    "exact": "leave one out",
    "greedy": "leave out one after the other",
    "gradient": "Michel et al. 2019",
    "confidence": "Voita et al. 2019",
    "taylor": "Molchanov et al. 2017",
}
NAMES = {
    "exact": "Exact ablation",
    "greedy": "Greedy",
    "gradient": "Gradient",
    "confidence": "Confidence",
    "taylor": "Taylor",
}


class ImportanceView(anywidget.AnyWidget):
    """A layers x heads grid, shaded by what each head is worth.

    Parameters
    ----------
    found : HeadImportance
        What `jtviz.head_importance` returned.
    title : str
        What was asked, in words.

    Attributes
    ----------
    found : HeadImportance
        The numbers.

    Examples
    --------
    >>> import jtviz
    >>> notes = [("Has a runny nose.", "can wait"), ("Has crushing chest pain.", "urgent")]
    >>> view = ImportanceView(jtviz.head_importance(jtviz.demo.classifier(), notes))
    >>> view.mask = view.found.mask(0.25)
    >>> len(view.off)
    2
    """

    _esm = front_end("importance")

    meta = t.Dict().tag(sync=True)
    """Stages and heads, the data set and the metric, in words."""

    methods: Any = t.List(t.Dict()).tag(sync=True)
    """By each method its scores and standard errors."""

    method = t.Unicode().tag(sync=True, echo_update=False)
    """Which of them is shown."""

    off: Any = t.List().tag(sync=True, echo_update=False)
    """The mask: stage, layer and head of those that are crossed out."""

    agreement = t.Dict().tag(sync=True)
    """Rank correlations of the methods."""

    pointed: Any = t.List(t.Any(), default_value=None, allow_none=True).tag(sync=True, echo_update=False)
    """The head that is pinned, here and in the scatter; None where none is."""

    notes = t.List(t.Unicode()).tag(sync=True)
    """What has to be known of the numbers."""

    units: Any = t.Dict(default_value=None, allow_none=True).tag(sync=True)
    """The strongest feed-forward units of each layer: unit, score, standard error."""

    def __init__(self, found: HeadImportance, *, title: str = "") -> None:
        if not found.head_methods:
            raise JtvizError("no heads were measured: name a method that ranks heads, such as 'exact'.")
        self.found = found
        first = found.head_methods[0]
        scores = found.scores(first)
        stages = [
            {
                "name": stage,
                "label": LABELS.get(stage, stage),
                "heads": [int((~np.isnan(row)).sum()) for row in values],
                "groups": [1] * len(values),
            }
            for stage, values in scores.items()
        ]
        methods = [_method(found, name) for name in found.head_methods]
        super().__init__(
            meta={"title": title, "stages": stages, "n": found.n, "metric": found.label},
            methods=methods,
            method=first,
            agreement=_agreement(found),
            notes=[*found.notes, HONEST],
            units=_units(found),
        )

    def __repr__(self) -> str:
        """Say in one line what is shown: a saved notebook has this where the widget was."""
        return f"ImportanceView({self.found!r})"

    @property
    def mask(self) -> Mask:
        """The heads that are crossed out, to ablate or prune by."""
        return Mask(heads=tuple((str(s), int(layer), int(head)) for s, layer, head in self.off))

    @mask.setter
    def mask(self, mask: Mask) -> None:
        self.off = [list(head) for head in mask.heads]

    @t.validate("method")
    def _valid_method(self, proposal: dict[str, Any]) -> Any:
        if proposal["value"] not in self.found.head_methods:
            msg = (
                f"There is no method {proposal['value']!r}; choose from {', '.join(self.found.head_methods)}."
            )
            raise t.TraitError(msg)
        return proposal["value"]

    @t.validate("off", "pointed")
    def _valid_heads(self, proposal: dict[str, Any]) -> Any:
        value = proposal["value"]
        known = set(self.found.heads)
        for head in ([value] if value else []) if proposal["trait"].name == "pointed" else value:
            if tuple(head) not in known:
                msg = f"There is no head {tuple(head)!r}: it is said by stage, layer and head."
                raise t.TraitError(msg)
        return (
            value if value is None or proposal["trait"].name == "pointed" else [list(head) for head in value]
        )

    def save(self, path: str | Path, *, theme: str = "light", scale: float = keep.SCALE) -> None:
        """Save the heads as a figure: ``.svg`` for vectors, ``.png`` for pixels; see `PruningView.save`."""
        from .figures.grid import grid_png

        path = Path(path)
        keep.refuse(path, theme, scale, FIGURES)
        drawn = self._figure(theme)
        keep.write(path, drawn.encode() if path.suffix.lower() == ".svg" else grid_png(drawn, scale))

    def picture(self) -> str | None:
        """Return a small PNG in base64, for whatever shows a notebook without its widgets."""
        from .figures.grid import grid_png

        return keep.in_base64(lambda: grid_png(self._figure("light"), 1))

    def _figure(self, theme: str) -> str:
        from .figures.grid import grid_svg

        found, said = self.found, next(one for one in self.methods if one["name"] == self.method)
        words = [f"{said['label']}: {said['words']}. {found.label} over {found.n} examples."]
        if np.isfinite(found.intact.value):
            words.append(f"With all heads {found.intact.value:.4g} ± {found.intact.error:.2g}.")
        return grid_svg(
            found.scores(self.method), self.mask.heads, title=f"Importance of heads: {found.label}",
            colours=said["words"], words=[*words, *self.notes], theme=theme,
        )  # fmt: skip


class ImportanceBox(ipywidgets.VBox):  # type: ignore[misc]
    """The grid, and below it the first-order score against exact ablation, where both were measured.

    Attributes
    ----------
    grid : ImportanceView
        The heads.
    scatter : bqplot.Figure or None
        One point a head.
    """

    children: Any

    def __init__(self, found: HeadImportance) -> None:
        self.grid = ImportanceView(found)
        self._scatter = Scatter(self.grid) if {"exact", "gradient"} <= set(found.head_methods) else None
        self.scatter = None if self._scatter is None else self._scatter.figure
        parts = [] if self._scatter is None else [self._scatter.words, self._scatter.figure]
        super().__init__([self.grid, *parts])

    def __repr__(self) -> str:
        """Say in one line what is shown: a saved notebook has this where the widget was."""
        return repr(self.grid)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return keep.with_image(super()._repr_mimebundle_(**kwargs), self.grid.picture())

    def close(self) -> None:
        """Close the grid and the chart."""
        if self.comm is not None:  # Python closes once more what it forgets
            if self._scatter is not None:
                self._scatter.close()
            close_all(*self.children, self.layout)
        super().close()


def _method(found: HeadImportance, name: str) -> dict[str, Any]:
    from jtviz.analysis.importance.result import METHODS

    return {
        "name": name,
        "label": NAMES[name],
        "words": METHODS[name],
        "source": SOURCES[name],
        "scores": scores_of(found.scores(name)),
        "errors": scores_of(found.errors(name)),
    }


def _agreement(found: HeadImportance) -> dict[str, Any]:
    if len(found.head_methods) < 2:
        return {"names": [], "values": []}
    try:
        table = found.agreement()
    except JtvizError:  # without scipy the rest is shown all the same
        return {"names": [], "values": []}
    values = [[float(x) if np.isfinite(x) else None for x in row] for row in table.to_numpy()]
    return {"names": [NAMES[name] for name in table.columns], "values": values}


def _units(found: HeadImportance) -> dict[str, Any] | None:
    if found.units is None:
        return None
    out: dict[str, Any] = {}
    for stage, values in found.units.items():
        errors = None if found.unit_errors is None else found.unit_errors[stage]
        out[stage] = [
            [
                [int(i), float(row[i]), None if errors is None else float(errors[layer, i])]
                for i in np.argsort(-np.nan_to_num(row, nan=-np.inf))[:SHOWN_UNITS]
                if np.isfinite(row[i])
            ]
            for layer, row in enumerate(values)
        ]
    return out


def importance_view(found: HeadImportance) -> ImportanceBox:
    """Return importance as a widget."""
    return ImportanceBox(found)
