"""An attribution as a token strip and a bar chart below it: what `jtviz.show_gradients` returns.

Required: both show the same, at every moment; what takes long is there coarse first, and refined in place.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets

from jtviz.analysis.attribution import How, Session
from jtviz.analysis.attribution.progress import SHOWN_FROM

from .attribution import AttributionView
from .bars import Bars
from .closing import close_all
from .curves import curves
from .keep import SCALE, with_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from jtviz.analysis import Attribution
    from jtviz.analysis.trust import Faithfulness
    from jtviz.capture.score import Score


COARSE_STEPS, COARSE_SAMPLES = 10, 5
"""Points and samples that are shown first, where all of them take long."""


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

    children: Any

    def __init__(self, view: AttributionView) -> None:
        self.strip = view
        self._is_shown = False
        self._drawn: Faithfulness | None = None
        self._bars = Bars(view)
        self.chart = self._bars.figure
        super().__init__([view, self.chart])
        view.observe(self._draw_curves, ("trusted", "part"))
        self._draw_curves()

    def __repr__(self) -> str:
        """Say in one line what is explained: a saved notebook has this where the widget was."""
        return f"Gradients{self.strip!r}".replace("GradientsAttributionView", "GradientsView")

    @property
    def attributions(self) -> tuple[Attribution, ...]:
        """What is shown, part by part."""
        return self.strip.attributions

    def _draw_curves(self, _: Any = None) -> None:
        """Show the curves of the part that is shown, where it was checked."""
        checked = self.strip.trusts.get(self.strip.part)
        faith = None if checked is None else checked.faithfulness
        if faith is self._drawn:
            return
        self._drawn = faith
        old: tuple[Any, ...] = self.children[2:]
        self.children = (self.strip, self.chart, *([] if faith is None else [curves(faith)]))
        close_all(*old)

    def save(self, path: str | Path, *, theme: str = "light", scale: float = SCALE) -> None:
        """Save the strip as ``.svg`` or ``.png``; see `AttributionView.save`."""
        self.strip.save(path, theme=theme, scale=scale)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a token and part: what is explained, side, index, token, word and score."""
        return self.strip.to_pandas()

    def _ipython_display_(self) -> None:
        if self._is_shown:
            # While it was computed, in the same cell.
            self._is_shown = False
            return
        from IPython.display import display

        display(with_image(self._repr_mimebundle_(), self.strip.picture()), raw=True)  # type: ignore[no-untyped-call]

    def show_now(self) -> None:
        """Show it while its cell still runs; at the end of the cell it is not shown once more."""
        self._ipython_display_()
        self._is_shown = True

    def close(self) -> None:
        """Close both, and all that they are made of."""
        if self.comm is not None:  # Python closes once more what it forgets
            self._bars.close()
            self.strip.unobserve(self._draw_curves, ("trusted", "part"))
            self.strip.close()
            close_all(*self.children[1:], self.strip.layout, self.layout)
        super().close()


def gradients_view(
    session: Session,
    wanted: Sequence[Score],
    how: How,
    *,
    progress: bool | None,
    check: bool,
    **choices: Any,
) -> GradientsView:
    """Attribute, and return the view; in a notebook it is shown coarse first where it takes long.

    Parameters
    ----------
    session : Session
        The open trace.
    wanted : sequence of Score
        What is explained.
    how : How
        How to attribute.
    progress : bool or None
        Whether to show a progress bar; None: where it takes long.
    check : bool
        Whether to take tokens away at once; of several parts, those of the one that is shown.
    **choices
        Of `AttributionView`.
    """
    coarse = replace(
        how,
        n_steps=min(how.n_steps, COARSE_STEPS),
        n_samples=min(how.n_samples, COARSE_SAMPLES),
        raise_steps=False,
    )
    is_long = session.seconds(wanted, how) > SHOWN_FROM
    is_refined = (coarse.n_steps, coarse.n_samples) != (how.n_steps, how.n_samples)
    if not (is_long and is_refined and how.method.has_points and _in_notebook()):
        parts = session.attribute_all(wanted, how, progress=progress)
        whole = GradientsView(AttributionView(session.trace, parts, how=how, **choices))
        if check:
            whole.strip.check(progress=progress)
        return whole
    parts = session.attribute_all(wanted, coarse, progress=False)
    shown = GradientsView(AttributionView(session.trace, parts, how=how, **choices))
    shown.show_now()
    view = shown.strip
    words = f"refining: {how.method.label}, about {session.seconds(wanted, how):.0f} s"
    try:
        for number, score in enumerate(wanted):
            view.tell(words, number / len(wanted))
            parts[number] = session.attribute(score, how, progress=progress)
            view.show(parts)
        if check:
            view.tell("taking tokens away …")
            view.check(progress=progress)
    except BaseException:
        view.problem = f"stopped: what was not refined is from {parts[-1].n_steps} points"
        raise
    finally:
        view.tell("")
    return shown


def _in_notebook() -> bool:
    """Whether a cell of a notebook is running, whose output can be added to."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None
