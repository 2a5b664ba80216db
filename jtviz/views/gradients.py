"""An attribution as a token strip and a bar chart below it: what `jtviz.show_gradients` returns.

Required: both show the same, at every moment; without bqplot's chart the strip stands alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets

from .attribution import AttributionView
from .bars import Bars

if TYPE_CHECKING:
    import pandas as pd

    from jtviz.analysis import Attribution


class GradientsView(ipywidgets.VBox):  # type: ignore[misc]
    """A token strip over a bar chart.

    Parameters
    ----------
    view : AttributionView
        The strip.

    Attributes
    ----------
    strip : AttributionView
        The tokens, shaded.
    chart : bqplot.Figure
        The bars.
    """

    def __init__(self, view: AttributionView) -> None:
        self.strip = view
        self._bars = Bars(view)
        self.chart = self._bars.figure
        super().__init__([view, self.chart])

    def __repr__(self) -> str:
        """Say in one line what is explained: a saved notebook has this where the widget was."""
        return f"Gradients{self.strip!r}".replace("GradientsAttributionView", "GradientsView")

    @property
    def attributions(self) -> tuple[Attribution, ...]:
        """What is shown, part by part."""
        return self.strip.attributions

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a token and part: what is explained, side, index, token, word and score."""
        return self.strip.to_pandas()

    def close(self) -> None:
        """Close both."""
        for child in self.children:
            child.close()
        super().close()
