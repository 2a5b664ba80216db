"""What each layer knows, as panels and the charts that belong to the open one: what `show_layers` returns.

Required: panels and charts show the same, at every moment; a chart is made when its tab is first open.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets

from jtviz.capture import Trace

from .closing import close_all
from .keep import SCALE, with_image
from .layers import LayersPanels
from .norms import Norms
from .paths import Paths

PICTURED = 128
"""Tokens of a text that a cell's output has a picture of."""

CHARTS: dict[str, Callable[[LayersPanels], Any]] = {"features": Norms, "trajectories": Paths}
"""What each tab has below it: an object with ``children`` and ``close``."""


class LayersView(ipywidgets.VBox):  # type: ignore[misc]
    """Panels over the charts of the open one.

    Parameters
    ----------
    panels : LayersPanels
        The panels.

    Attributes
    ----------
    panels : LayersPanels
        The panels: their traits can be read, set and observed.

    Examples
    --------
    >>> import jtviz
    >>> view = LayersView(LayersPanels(jtviz.demo.translator().trace("I like tea.")))
    >>> view.panels.tab = "trajectories"
    """

    children: Any

    def __init__(self, panels: LayersPanels) -> None:
        self.panels = panels
        self._charts: dict[str, Any] = {}
        super().__init__([panels])
        self._draw()
        panels.observe(self._draw, ("tab", "looked"))

    def __repr__(self) -> str:
        """Say in one line what is shown: a saved notebook has this where the widget was."""
        return repr(self.panels).replace("LayersPanels", "LayersView")

    @property
    def trace(self) -> Trace:
        """What is looked at."""
        return self.panels.trace

    def save(self, path: str | Path, *, theme: str = "light", scale: float = SCALE) -> None:
        """Save the open tab as a figure, as `LayersPanels.save` does.

        Parameters
        ----------
        path : str or Path
            The file: ``.svg`` for vectors, ``.png`` for pixels.
        theme : {"light", "dark"}
            Its colours.
        scale : float
            Pixels of a PNG to a CSS pixel.

        Raises
        ------
        JtvizError
            If it cannot be saved as this, or what the tab shows cannot be computed.

        Examples
        --------
        >>> import jtviz, pathlib, tempfile
        >>> view = jtviz.show_layers(jtviz.demo.translator(), "I like tea.", tab="similarity")
        >>> view.save(pathlib.Path(tempfile.mkdtemp()) / "similarity.png")
        """
        self.panels.save(path, theme=theme, scale=scale)

    def _draw(self, _: Any = None) -> None:
        """Put the charts of the open tab below the panels."""
        # That of features waits until a page has its first picture.
        is_early = self.panels.tab == "features" and not self.panels.looked
        make = None if is_early else CHARTS.get(self.panels.tab)
        chart = self._charts.get(self.panels.tab)
        if make and chart is None:
            chart = self._charts[self.panels.tab] = make(self.panels)
        self.children = (self.panels, *(chart.children if chart else ()))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Add a picture, for whatever shows a notebook without its widgets; of long texts none."""
        is_short = len(self.trace.tokens[self.panels.side]) <= PICTURED
        return with_image(super()._repr_mimebundle_(**kwargs), self.panels.picture() if is_short else None)

    def close(self) -> None:
        """Close the panels, the charts and all that they are made of."""
        if self.comm is not None:  # Python closes once more what it forgets
            self.panels.unobserve(self._draw, ("tab", "looked"))
            for chart in self._charts.values():
                chart.close()
                close_all(*chart.children)
            self.panels.close()
            close_all(self.panels.layout, self.layout)
        super().close()
