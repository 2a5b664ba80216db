"""What charts of results over data sets have in common: the words around a picture, and how it closes.

Required: a chart says in words what it shows, and has its numbers as a table for whoever cannot see it;
names that come from a reader's data are set as text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets

from .closing import close_all
from .keep import in_base64, with_image

if TYPE_CHECKING:
    import bqplot

QUIET = {"grid_lines": "none", "color": "gray", "label_color": "gray"}
"""Axes of a chart on whatever background."""

LAYER = "layer (0: what enters the first block)"
FEW = 24
"""Ticks of an axis of layers, at most."""

_BLOCK = "margin:0 12px;max-width:720px;font-size:12px;line-height:20px;color:gray"


class ChartView(ipywidgets.VBox):  # type: ignore[misc]
    """A chart between the words above it and those below.

    Parameters
    ----------
    found : object
        The numbers.
    above : str
        What the marks are, as HTML.
    chart : bqplot.Figure
        The picture.
    below : sequence of str
        Sentences, as text.
    table : (sequence of str, sequence of sequence of str), optional
        The numbers: heads of columns, and rows; none where they would be too many to read.
    still : callable
        Returns the same as SVG, for whatever shows a notebook without its widgets.

    Attributes
    ----------
    found : object
        The numbers.
    chart : bqplot.Figure
        The picture.
    """

    children: Any

    def __init__(
        self,
        found: Any,
        above: str,
        chart: bqplot.Figure,
        below: Sequence[str],
        table: tuple[Sequence[str], Sequence[Sequence[str]]] | None,
        *,
        still: Callable[[], str],
    ) -> None:
        self.found, self._still = found, still
        self.chart = chart
        words = "".join(f"<p style='margin:4px 0 0'>{escape(one)}</p>" for one in below)
        super().__init__(
            [
                ipywidgets.HTML(f'<div style="{_BLOCK}">{above}</div>'),
                chart,
                ipywidgets.HTML(f'<div style="{_BLOCK}">{words}{_table(*table) if table else ""}</div>'),
            ]
        )

    def __repr__(self) -> str:
        """Say in one line what is shown: a saved notebook has this where the widget was."""
        return f"{type(self).__name__}({self.found!r})"

    def picture(self) -> str | None:
        """Return a small PNG in base64, for whatever shows a notebook without its widgets."""
        from .figures.grid import grid_png

        return in_base64(lambda: grid_png(self._still(), 1))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return with_image(super()._repr_mimebundle_(**kwargs), self.picture())

    def close(self) -> None:
        """Close the chart with all that it is made of."""
        if self.comm is not None:  # Python closes once more what it forgets
            close_all(*self.children, self.layout)
        super().close()


def key(colour: str, name: str, *, dashed: bool = False) -> str:
    """Return a line of a legend, as HTML; the name is text."""
    style = "dashed" if dashed else "solid"
    bar = f"display:inline-block;width:18px;margin:0 6px 3px 0;border-top:3px {style} {colour}"
    whole = "display:inline-block;margin-right:16px"
    return f'<span style="{whole}"><span style="{bar}"></span>{escape(name)}</span>'


def some(layers: Sequence[int]) -> list[int]:
    """Return layers of which an axis has a number, evenly, the first among them."""
    return list(layers[:: -(-len(layers) // FEW)])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return numbers as a table that opens when it is asked for."""
    cell = "padding:0 12px 0 0;text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"
    above = "".join(f'<th scope="col" style="{cell};font-weight:600">{escape(head)}</th>' for head in heads)
    first = f'<th scope="row" style="{cell};font-weight:400">'
    body = "".join(
        f"<tr>{first}{escape(name)}</th>"
        + "".join(f'<td style="{cell}">{escape(value)}</td>' for value in values)
        + "</tr>"
        for name, *values in rows
    )
    return (
        '<details style="margin-top:4px"><summary style="cursor:pointer">The numbers</summary>'
        f'<div style="overflow-x:auto"><table style="border-collapse:collapse">'
        f"<thead><tr>{above}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )
