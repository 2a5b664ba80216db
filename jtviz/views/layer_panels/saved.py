"""All panels together, which can be saved as a figure and leave a picture in a cell's output.

Required: a figure has the numbers of its tab, computed where nobody has looked yet; a picture is there soon,
and starts no work.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from jtviz.views import keep

from .direct import DirectPanel
from .features import FeaturesPanel
from .lens import LensPanel
from .neurons import NeuronsPanel
from .similarity import SimilarityPanel
from .trajectories import TrajectoriesPanel

if TYPE_CHECKING:
    from jtviz.views.layers import LayersPanels

QUICK = 512
"""Tokens whose pairs are compared for a picture, at most."""


class Panels(FeaturesPanel, TrajectoriesPanel, SimilarityPanel, LensPanel, NeuronsPanel, DirectPanel):
    """The panels of every tab."""

    tab: str

    def save(self, path: str | Path, *, theme: str = "light", scale: float = keep.SCALE) -> None:
        """Save the open tab as a figure: ``.svg`` for vectors, ``.png`` for pixels.

        What the tab shows is computed where that was not done yet. Of a long text the lens has the positions
        round the pinned one, or the first.

        Parameters
        ----------
        path : str or Path
            The file.
        theme : {"light", "dark"}
            Its colours.
        scale : float
            Pixels of a PNG to a CSS pixel.

        Raises
        ------
        JtvizError
            If the ending is another, the folder is not there, no font is there for a PNG, or what the tab
            shows cannot be computed.

        Examples
        --------
        >>> import jtviz, pathlib, tempfile
        >>> view = jtviz.show_layers(jtviz.demo.translator(), "I like tea.", tab="lens")
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "lens.svg"
        >>> view.save(path, theme="dark")
        >>> "Logit lens" in path.read_text(encoding="utf-8")
        True
        """
        from jtviz.views.figures.raster import rasterised
        from jtviz.views.layers_figure import FIGURES, layers_svg

        path = Path(path)
        keep.refuse(path, theme, scale, FIGURES)
        drawn = layers_svg(self._all, self.tab, theme)
        keep.write(path, drawn.encode() if path.suffix.lower() == ".svg" else rasterised(drawn, scale))

    def picture(self) -> str | None:
        """Return a small PNG in base64, for whatever shows a notebook without its widgets.

        It is of the open tab where that is there already or quick, else of the layer's features.
        """
        from jtviz.views.figures.raster import rasterised
        from jtviz.views.layers_figure import layers_svg

        def draw() -> bytes:
            with self._computing:
                drawn = layers_svg(self._all, self.tab if self._is_there() else "features")
            return rasterised(drawn, 1)

        return keep.in_base64(draw)

    @property
    def _all(self) -> LayersPanels:
        return cast("LayersPanels", self)

    def _is_there(self) -> bool:
        """Whether what the open tab shows was computed, or is computed at once."""
        kept, side = self._once_kept, self.side
        if self.tab == "trajectories":
            return ("trajectories", side, self.projection) in kept
        if self.tab == "similarity":
            is_quick = len(self.trace.tokens[side]) <= QUICK
            return ("cka", side) in kept if self.compared == "layers" else is_quick
        if self.tab == "lens":
            return self._lens_is_there()
        if self.tab == "neurons":
            return self._neurons_are_there()
        return self.tab == "features" or self._direct_is_there

    def _lens_is_there(self) -> bool:
        from jtviz.views.layers_figure import lens_rows

        tuned = self.tuned if self.through == "tuned" else None
        known = self._once_kept.get(("lens", id(tuned)))
        if known is None or (tuned is None and self.through == "tuned"):
            return False
        return bool(known.rows.issuperset(lens_rows(self._all)))

    def _neurons_are_there(self) -> bool:
        if self.neurons == "patterns":
            return ("factors", self._place, self.components) in self._once_kept
        return self._place in self._activations
