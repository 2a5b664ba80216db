"""The open tab of the view of layers as a figure: a waterfall, or a heat map.

Required: the numbers that the panels have; what is pooled to fit is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jtviz.analysis.layers.similarity import similarity
from jtviz.capture import JtvizError

if TYPE_CHECKING:
    from .layers import LayersPanels

FIGURES = (".svg", ".png")
DRAWN = ("features", "similarity", "direct")
"""Tabs that can be drawn."""
ROWS, COLUMNS = 240, 420
"""Of a heat map, at most."""

Table = np.ndarray[Any, np.dtype[np.floating[Any]]]


def layers_svg(panels: LayersPanels, tab: str, theme: str = "light") -> str:
    """Draw a tab as SVG.

    Raises
    ------
    JtvizError
        If the tab cannot be drawn, or what it shows cannot be computed.
    """
    if tab == "direct":
        return _waterfall(panels, theme)
    if tab == "features":
        return _stream(panels, theme)
    if tab == "similarity":
        return _similarity(panels, theme)
    raise JtvizError(f"the tab {tab!r} cannot be saved as a figure: open {', '.join(DRAWN)}.")


def _waterfall(panels: LayersPanels, theme: str) -> str:
    from .figures.waterfall import waterfall_svg

    found = panels.direct
    name = f"logit of {found.target.name}"
    if found.against is not None:
        name += f" − logit of {found.against.name}"
    row = "" if found.target.row is None else f" in row {found.target.row}"
    words = [
        f"What each part adds to the {name}{row}, {found.value:.2f}: bars start where the one before ended.",
        "Exact under frozen layer norm: what each adds through the residual stream alone.",
        *(f"{note[0].upper()}{note[1:]}." for note in found.notes),
    ]
    return waterfall_svg(panels.waterfall, (name, found.value), " ".join(words), theme)


def _stream(panels: LayersPanels, theme: str) -> str:
    from .figures.heatmap import heatmap_svg

    found, layer = panels.features, panels.hidden_layer
    values = found.hidden[layer][:, panels.dimensions].float().numpy()
    order = {"variance": "most varying first", "clusters": "clustered", "model": "as the model has them"}
    place = "what enters layer 0" if layer == 0 else f"after layer {layer - 1}"
    names = panels.trace.tokens[found.side].text
    drawn, names, pooled = _pooled(values, names)
    return heatmap_svg(
        drawn, names, panels.full_colour(layer), axes=(f"{found.side} tokens", "dimensions →"),
        colours="value in the residual stream; the full colour is for the largest 0.5 %",
        words=f"Residual stream of the {found.side}, {place}. Rows are tokens, columns dimensions, "
        f"{order[panels.order]}.{pooled}",
        theme=theme,
    )  # fmt: skip


def _similarity(panels: LayersPanels, theme: str) -> str:
    from .figures.heatmap import heatmap_svg

    found = similarity(panels.trace, panels.side, panels.hidden_layer)
    place = "what enters layer 0" if found.layer == 0 else f"after layer {found.layer - 1}"
    drawn, names, pooled = _pooled(found.tokens.numpy(), found.labels)
    return heatmap_svg(
        drawn, names, 1.0, axes=(f"{found.side} tokens", f"{found.side} tokens →"),
        colours="cosine similarity of two tokens",
        words=f"Cosine similarity of the {found.side}'s tokens, {place}. Rows and columns are tokens in the "
        f"order of the text.{pooled}",
        theme=theme,
    )  # fmt: skip


def _pooled(values: Table, names: tuple[str, ...]) -> tuple[Table, tuple[str, ...], str]:
    """Return a table that fits: of each block the number of largest magnitude, and what is to be said."""
    rows, columns = (-(-size // most) for size, most in zip(values.shape, (ROWS, COLUMNS), strict=True))
    if rows == columns == 1:
        return values, tuple(names), ""
    edges = [(0, -size % by) for size, by in zip(values.shape, (rows, columns), strict=True)]
    padded = np.pad(values, edges)
    blocks = padded.reshape(padded.shape[0] // rows, rows, padded.shape[1] // columns, columns)
    flat = blocks.transpose(0, 2, 1, 3).reshape(len(blocks), -1, rows * columns)
    strongest = np.take_along_axis(flat, np.abs(flat).argmax(-1)[..., None], -1)[..., 0]
    said = f" A point is the largest magnitude of {rows} × {columns} numbers."
    return strongest, tuple(names) if rows == 1 else ("",) * len(strongest), said
