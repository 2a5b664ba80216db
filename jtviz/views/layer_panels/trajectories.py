"""The panel of trajectories, over the chart of jtviz/views/paths.py. Twin: js/src/layers/trajectories.ts."""

from __future__ import annotations

from typing import Any

import traitlets as t

from jtviz.analysis.layers.extra import NO_UMAP, has_umap
from jtviz.analysis.layers.trajectories import Trajectories, trajectories
from jtviz.capture import JtvizError

from .panel import Answer, Message, Panel

PROJECTIONS = ("pca", "umap")
PLANES = ("1 × 2", "1 × 3", "2 × 3")
EXTENTS = ("paths", "layer")
DIMENSIONS = 3
MUCH = 0.5
"""A dimension, or a token, with more than this share of an axis is said."""


class TrajectoriesPanel(Panel):
    """The tab "trajectories"."""

    projection = t.Enum(PROJECTIONS, "pca").tag(sync=True, echo_update=False)
    """How paths are laid out: principal components, or UMAP, which needs the extra ``umap``."""

    plane = t.Enum(PLANES, PLANES[0]).tag(sync=True, echo_update=False)
    """Which two principal components are drawn."""

    extent = t.Enum(EXTENTS, EXTENTS[0]).tag(sync=True, echo_update=False)
    """What the axes have room for: the paths through all layers, or the points of the layer shown."""

    marking = t.Bool(default_value=True).tag(sync=True, echo_update=False)
    """Whether dragging in the chart marks tokens; else pointing names a token, and a click pins it."""

    @property
    def trajectories(self) -> Trajectories:
        """The paths of the side that is shown, by the method chosen; all that are drawn.

        Raises
        ------
        JtvizError
            If umap-learn, which UMAP needs, is not installed.

        Examples
        --------
        >>> import jtviz
        >>> view = jtviz.show_layers(jtviz.demo.translator(), "I like tea.", stage="encoder")
        >>> view.panels.trajectories.paths.shape
        torch.Size([3, 5, 3])
        """
        return self._paths(self.side, self.projection)

    def _paths(self, side: str, method: str) -> Trajectories:
        def compute() -> Trajectories:
            layers, count, width = self.trace.hidden_shape(side)
            dimensions = min(DIMENSIONS if method == "pca" else 2, layers * count, width)
            name = "UMAP" if method == "umap" else "principal components"
            with self._doing(f"laying the paths out by {name}"):
                return trajectories(self.trace, side, dimensions, method=method)

        return self._once(("trajectories", side, method), compute)

    def axes(self) -> tuple[int, int]:
        """Return which two dimensions of `trajectories` are drawn, counted from 0."""
        if self.projection == "umap":
            return 0, 1
        first, second = (int(name) - 1 for name in self.plane.split(" × "))
        last = self.trajectories.paths.shape[-1] - 1
        return min(first, last), min(second, last)

    def _answer_trajectories(self, message: Message) -> Answer:
        method = message.get("method")
        if method not in PROJECTIONS:
            raise JtvizError(f"paths are laid out by 'pca' or 'umap', not {method!r}.")
        found = self._paths(self._side(message), method)
        said: dict[str, Any] = {
            "explained": found.explained.tolist() if method == "pca" else None,
            "notes": [axis_note(found, axis) for axis in range(found.paths.shape[-1])],
            "fitted": len(found.fitted),
            "lack": "" if has_umap() else NO_UMAP,
        }
        return said, []


def axis_note(found: Trajectories, axis: int) -> str:
    """Return what an axis of principal components is taken by, if it is by one thing."""
    if found.directions is None:
        return ""
    parts = found.directions[axis].square()
    dimension = int(parts.argmax())
    spread = found.paths[..., axis].square().sum(0)
    token = int(spread.argmax())
    said = []
    if float(parts[dimension]) > MUCH:
        said.append(f"is to {parts[dimension]:.0%} dimension {dimension} of the stream".replace("%", " %"))
    if len(found.tokens) > 2 and float(spread[token] / spread.sum()) > MUCH:
        share = f"{spread[token] / spread.sum():.0%}".replace("%", " %")
        said.append(f"has {share} of its spread from token {token}, “{found.tokens[token]}”, alone")
    return " and ".join(said)
