"""The open tab of the view of layers as a figure.

Required: the numbers that the panels have; what is pooled or left out to fit is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .cka import few_tokens

if TYPE_CHECKING:
    from .figures.colour import Theme
    from .figures.part import Part
    from .layers import LayersPanels

FIGURES = (".svg", ".png")
POSITIONS = 24
"""Of a lens, at most."""
TOKENS = 480
"""Of a text coloured by patterns, at most."""

Titled = tuple[str, "Part"]


def layers_svg(panels: LayersPanels, tab: str, theme: str = "light") -> str:
    """Draw a tab as SVG.

    Raises
    ------
    JtvizError
        If what the tab shows cannot be computed; the sentence says why.
    """
    from .figures.colour import THEMES
    from .figures.sheet import sheet

    title, part = _DRAW[tab](panels, THEMES[theme])
    return sheet(part, title, THEMES[theme])


def window(count: int, most: int, at: int | None) -> range:
    """Return the tokens that are drawn: all, else the first, or those round one."""
    first = max(0, min((at or 0) - most // 2, count - most))
    return range(first, min(count, first + most))


def lens_rows(panels: LayersPanels) -> range:
    """Return the positions of the lens that are drawn."""
    side = panels.lens_side
    return window(len(panels.trace.tokens[side]), POSITIONS, panels.pinned_on(side))


def _place(layer: int) -> str:
    return "what enters layer 0" if layer == 0 else f"after layer {layer - 1}"


def _outside(shown: range, count: int, what: str) -> list[str]:
    if len(shown) == count:
        return []
    return [f"{what} {shown.start:,} to {shown.stop - 1:,} of {count:,} are shown."]


def _direct(panels: LayersPanels, look: Theme) -> Titled:
    from .figures.waterfall import waterfall

    found = panels.direct
    name = f"logit of {found.target.name}"
    if found.against is not None:
        name += f" − logit of {found.against.name}"
    row = "" if found.target.row is None else f" in row {found.target.row}"
    in_all = f"{found.value:.4g}".replace("-", "−")
    how = (
        f"What each part adds, {in_all} in all: a bar starts where the one before ended. Exact "
        "under frozen layer norm: what each adds through the residual stream alone."
    )
    words = [
        how,
        *(f"{note[0].upper()}{note[1:]}." for note in found.notes),
    ]
    drawn = waterfall(panels.waterfall, (name, found.value), look)
    return f"What adds to the {name}{row}", replace(drawn, words=words)


def _features(panels: LayersPanels, look: Theme) -> Titled:
    from .figures.heatmap import heatmap, pooled

    found, layer = panels.features, panels.hidden_layer
    values = found.hidden[layer][:, panels.dimensions].float().numpy()
    order = {"variance": "most varying first", "clusters": "clustered", "model": "as the model has them"}
    drawn, names, said = pooled(values, panels.trace.tokens[found.side].text)
    part = heatmap(
        drawn, names, panels.full_colour(layer), look, axes=(f"{found.side} tokens", "dimensions →"),
        colours="value in the residual stream; the full colour is for the largest 0.5 %",
    )  # fmt: skip
    words = f"Rows are tokens of the {found.side}, columns dimensions, {order[panels.order]}.{said}"
    return f"Residual stream of the {found.side}, {_place(layer)}", replace(part, words=[words])


def _trajectories(panels: LayersPanels, look: Theme) -> Titled:
    from .figures.plane import plane
    from .layer_panels.trajectories import axis_note

    found, side = panels.trajectories, panels.side
    pinned = panels.pinned_on(side)
    part = plane(
        found, panels.axes(), panels.hidden_layer, whole=panels.extent == "paths",
        marked=panels.marked.get(side, ()), pinned=() if pinned is None else (pinned,), look=look,
    )  # fmt: skip
    how = "UMAP" if found.method == "umap" else "principal components of all layers together"
    far = " Distances tell nothing; neighbours do." if found.method == "umap" else ""
    where = "before layer 0" if panels.hidden_layer == 0 else _place(panels.hidden_layer)
    begins = "" if panels.hidden_layer == 0 else ", ○ where it begins, before layer 0"
    words = (
        f"A line is a token’s path through the layers, laid out by {how}; ● is where it is {where}{begins}."
        f"{far}"
    )
    taken = [f"PC {axis + 1} {note}." for axis in panels.axes() if (note := axis_note(found, axis))]
    return f"Paths of the {side}’s tokens through the layers", replace(
        part, words=[words, *part.words, *taken]
    )


def _similarity(panels: LayersPanels, look: Theme) -> Titled:
    from .figures.heatmap import COLUMNS, heatmap, pooled

    side, without = panels.side, ", the mean vector of the layer subtracted" * panels.centred
    if panels.compared == "tokens":
        found = panels.similarity
        drawn, names, said = pooled(found.tokens.numpy(), found.labels, (COLUMNS, COLUMNS))
        part = heatmap(
            drawn, names, 1.0, look, axes=("tokens", "tokens →"), columns=names,
            colours=f"cosine similarity of two tokens{without}",
        )  # fmt: skip
        words = f"Rows and columns are the tokens of the {side} in the order of the text.{said}"
        return f"Similarity of the {side}’s tokens, {_place(found.layer)}", replace(part, words=[words])
    depth = panels.trace.hidden_shape(side)[0]
    names = tuple(f"after layer {layer - 1}" if layer else "before layer 0" for layer in range(depth))
    words = "Rows and columns are layers, from what enters the first."
    if panels.compared == "itself":
        token = panels.pinned_on(side) or 0
        values = panels.similarity.layers[token].numpy()
        name = f"“{panels.trace.tokens[side].text[token]}” (token {token} of the {side})"
        title, colours = (
            f"Similarity of {name} to itself",
            f"cosine similarity of the token in two layers{without}",
        )
    else:
        aligned = panels.cka
        values = aligned.values.numpy()
        title = f"Alignment of the {side}’s layers"
        colours = (
            "linear CKA: 1 where the tokens of one layer are those of the other but for rotation and scale"
        )
        words += f" Over the {aligned.tokens:,} tokens of this text. {few_tokens(aligned)}".rstrip()
    if np.isnan(values).any():
        words += " Empty: a layer is the same for all tokens."
    part = heatmap(
        values, names, 1.0, look, axes=("layers", "layers →"), columns=names, colours=colours,
        is_positive=panels.compared == "layers",
    )  # fmt: skip
    return title, replace(part, words=[words])


def _lens(panels: LayersPanels, look: Theme) -> Titled:
    from .figures.lens_table import lens_table

    shown, side, by = lens_rows(panels), panels.lens_side, panels.lens_colour
    found = panels.lens_of(list(shown))
    logits = panels.trace.logits
    size = 0 if by != "rank" else (found.logits(-1, 0) if logits is None else logits).shape[-1]
    pinned = panels.pinned_on(side)
    part = lens_table(found, by, size, pinned, look)
    where = "would come next" if side == "decoder" else "would stand there"
    reads = " and what then follows" if side == "decoder" else ""
    what = (
        f"Rows are layers, the last on top; columns what the {side} reads{reads}. A cell is the token that "
        f"{where} if the model ended after that layer, bold where it is the model’s own answer."
    )
    words = [
        what,
        *(["Framed: the pinned position."] if pinned in shown else []),
        *_outside(shown, len(found.tokens), "Positions"),
    ]
    if panels.through == "tuned":
        seen = ", this text among them" if panels.tuned.has_seen(panels.trace) else ""
        words.append(
            f"Each layer is translated first, as was learnt from {panels.tuned.rows:,} positions{seen}."
        )
    kind = "Tuned lens" if panels.through == "tuned" else "Logit lens"
    return f"{kind}: what each layer of the {side} predicts", replace(part, words=words)


def _neurons(panels: LayersPanels, look: Theme) -> Titled:
    from .figures.units import percent, unit_bars

    side, layer = panels.side, max(panels.hidden_layer, 1) - 1
    tokens = panels.trace.tokens[side]
    if panels.neurons == "patterns":
        from .figures.patterns import patterns

        factors = panels.factors
        shown = window(len(tokens), TOKENS, panels.pinned_on(side))
        part = patterns(factors, tokens, shown, look)
        rough = "" if factors.converged else " The solver had not arrived: take the patterns as rough."
        how = (
            "A token has the colour and the number of its strongest pattern, deeper where there is more. "
            "Activations are taken apart by non-negative matrix factorisation, negative ones as zero; "
            f"{percent(factors.error)} of them is left out.{rough}"
        )
        words = [how, *_outside(shown, len(tokens), "Tokens")]
        return f"Patterns of feed-forward units, layer {layer} of the {side}", replace(part, words=words)
    token = panels.focused
    said = (
        f"Rows are units, the strongest first, and their activation at token {token} of the {side}. Also "
        "strong at: the share of the other tokens that set the unit off at least half as much."
    )
    part = replace(unit_bars(panels.strongest_units, look), words=[said])
    return f"Feed-forward units of layer {layer} set off most by “{tokens.text[token]}”", part


_DRAW: dict[str, Callable[[LayersPanels, Theme], Titled]] = {
    "features": _features,
    "trajectories": _trajectories,
    "similarity": _similarity,
    "lens": _lens,
    "neurons": _neurons,
    "direct": _direct,
}
