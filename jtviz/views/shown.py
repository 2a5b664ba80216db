"""What a reader chose to see of a trace, as numbers: one way from the model's attention to a picture.

Required: the order is weigh, hide, renormalise, sum into words, keep the strongest, combine; every step is
one that the view can say in a sentence; what is drawn in the browser, sent as tiles, saved and returned as
an array is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from jtviz.analysis.words import words_of
from jtviz.capture import JtvizError
from jtviz.capture.overview import Overview, spread
from jtviz.tokens import Tokens

from .source import THROUGH, Source

COMBINE = ("mean", "max", "sum")
UNITS = ("token", "word")
POOLS = ("max", "mean")
_WEIGHTS = 1 << 22  # looked at once


@dataclass(frozen=True)
class Choice:
    """What is shown and how it is weighed. Every field but `members` is a trait of the view.

    Attributes
    ----------
    stage : str
        ``"encoder"``, ``"decoder"`` or ``"cross"``.
    members : tuple of (int, int)
        Layer and head of each pattern shown.
    weighting : str
        One of `jtviz.views.source.ALL`.
    combine : {"mean", "max", "sum"}
        How several patterns become one picture.
    unit : {"token", "word"}
        A query's weight on a word is the sum over the word's tokens, a word's the mean over its own.
    hide : tuple of str
        Texts of tokens that are left out as keys.
    hide_special, hide_first : bool
        Whether special tokens, and the first token, are left out as keys.
    renormalise : bool
        Whether what is left of each row sums to one again.
    query_span, key_span : tuple of (int, int) or None
        Tokens from and up to which queries, and keys, are shown.
    threshold : float
        The least weight kept.
    top_k : int
        How many of each row's strongest weights are kept; 0 for all.
    top_mass : float
        The share of each row's weight that the smallest set of its strongest keeps; 1 for all.
    """

    stage: str
    members: tuple[tuple[int, int], ...]
    weighting: str = "raw"
    combine: str = "mean"
    unit: str = "token"
    hide: tuple[str, ...] = ()
    hide_special: bool = False
    hide_first: bool = False
    renormalise: bool = False
    query_span: tuple[int, int] | None = None
    key_span: tuple[int, int] | None = None
    threshold: float = 0.0
    top_k: int = 0
    top_mass: float = 1.0

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Choice:
        """Make a choice of what JSON can say: lists instead of tuples, anything unknown left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: _tuples(value) for name, value in said.items() if name in known})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


@dataclass(frozen=True, eq=False)
class Axis:
    """Queries or keys as they are shown: tokens, or words of several."""

    labels: tuple[str, ...]
    starts: tuple[int, ...]
    """First token of each, and after them how many tokens there are."""
    place: tuple[int, ...] | None = None
    """The word of each token; None for tokens."""

    @classmethod
    def of(cls, tokens: Tokens, unit: str) -> Axis:
        """Return the tokens, or the words, of a side."""
        if unit == "token":
            return cls(tokens.text, tuple(range(len(tokens) + 1)))
        names, places = words_of(tokens)
        starts = tuple(i for i, place in enumerate(places) if i == 0 or place != places[i - 1])
        return cls(names, (*starts, len(tokens)), places)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.labels)

    def at(self, token: int | None) -> int | None:
        """Return where a token is: its own place, or its word's."""
        return token if token is None or self.place is None else self.place[token]

    def tokens(self, part: slice) -> slice:
        """Return the tokens of some of them."""
        return slice(self.starts[part.start], self.starts[part.stop])


@dataclass(eq=False)
class Shown:
    """The numbers of one choice.

    Parameters
    ----------
    source : Source
        Where weights come from.
    choice : Choice
        What is shown.
    """

    source: Source
    choice: Choice
    query: Axis = field(init=False)
    key: Axis = field(init=False)
    hidden: Tensor = field(init=False)
    """Which tokens are left out as keys, ``[tokens]``."""

    def __post_init__(self) -> None:
        trace, choice = self.source.trace, self.choice
        trace.site(choice.stage, 0)  # the stage is there, or it says so
        queries = trace.tokens[trace.query_side(choice.stage)]
        keys = trace.tokens[trace.key_side(choice.stage)]
        self.query, self.key = Axis.of(queries, choice.unit), Axis.of(keys, choice.unit)
        self.hidden = hidden_keys(keys, choice)

    @property
    def members(self) -> tuple[tuple[int, int], ...]:
        """Layer and head of each pattern: of what has no heads one a layer, however many are chosen."""
        members = self.choice.members
        if self.choice.weighting in THROUGH:
            return tuple((layer, 0) for layer in dict.fromkeys(layer for layer, _ in members))
        return members

    def weights(self, rows: slice | None = None, cols: slice | None = None) -> Tensor:
        """Return what each member shows, ``[members, rows, cols]``, float32; queries out of the span are 0.

        Parameters
        ----------
        rows, cols : slice, optional
            Start and stop, in tokens or words as chosen; all if left out.
        """
        return self._above(self._sifted(rows, cols))

    def combined(self, rows: slice | None = None, cols: slice | None = None) -> Tensor:
        """Return the picture of all members together, ``[rows, cols]``; the threshold is the picture's."""
        weights = self._sifted(rows, cols)
        if self.choice.combine == "max":
            return self._above(weights.amax(0))
        return self._above(weights.sum(0) if self.choice.combine == "sum" else weights.mean(0))

    def hidden_share(self, rows: slice | None = None) -> Tensor:
        """Return the share of each row that is hidden, ``[members, rows]``, tokens whatever the unit."""
        rows = rows or slice(0, self.query.starts[-1])
        parts = []
        for layer, heads in self._layers():
            tile = self._tile(layer, heads, rows, None).abs()
            total = tile.sum(-1)
            parts.append(tile[..., self.hidden.to(tile.device)].sum(-1) / total.masked_fill(total == 0, 1.0))
        return torch.cat(parts)

    def pooled(
        self,
        rows: slice,
        cols: slice,
        *,
        factor: int,
        pool: str,
        samples: int | None = None,
        report: Callable[[float], None] = lambda _: None,
    ) -> Overview:
        """Pool a part of the combined picture in blocks of `factor` each way, at bounded memory.

        Parameters
        ----------
        rows, cols : slice
            Which part.
        factor : int
            Tokens (or words) of a block, down and across.
        pool : {"max", "mean"}
            What to say of each block; of negative weights the one farthest from zero.
        samples : int, optional
            How many rows of each block to look at; all if left out.
        report : callable
            Called with the share that is done, now and then.
        """
        if samples is not None and samples >= factor:
            samples = None
        height = samples or factor
        blocks = range(rows.start, rows.stop, factor)
        together = max(1, _WEIGHTS // max(1, (cols.stop - cols.start) * height * len(self.choice.members)))
        strips = []
        for first in range(0, len(blocks), together):
            report(first / len(blocks))
            some = blocks[first : first + together]
            if samples is None:
                strip = self.combined(slice(some[0], min(some[-1] + factor, rows.stop)), cols)
            else:
                strip = torch.cat(
                    [
                        self.combined(slice(row, row + 1), cols)
                        for number, start in enumerate(some, first)
                        for row in spread(start, min(start + factor, rows.stop), samples, number)
                    ]
                )
            strips.append(_pool(strip, height, factor, pool))
        values = torch.cat(strips)[None]
        edges = [(*range(part.start, part.stop, factor), part.stop) for part in (rows, cols)]
        return Overview(values, pool, edges[0], edges[1], samples)

    def _sifted(self, rows: slice | None, cols: slice | None) -> Tensor:
        rows, cols = rows or slice(0, len(self.query)), cols or slice(0, len(self.key))
        if self.choice.top_k == 0 and self.choice.top_mass == 1:
            return self._plain(rows, cols)
        everything = self._plain(rows, slice(0, len(self.key)))
        return sift(everything, self.choice.top_k, self.choice.top_mass)[..., cols]

    def _above(self, weights: Tensor) -> Tensor:
        least = self.choice.threshold
        return weights.masked_fill(weights.abs() < least, 0.0) if least > 0 else weights

    def _layers(self) -> list[tuple[int, list[int]]]:
        """Return the members, those of one layer together, in their own order."""
        return [(layer, [h for _, h in group]) for layer, group in groupby(self.members, key=lambda m: m[0])]

    def _tile(self, layer: int, heads: list[int], rows: slice, cols: slice | None) -> Tensor:
        return self.source.tile(self.choice.weighting, self.choice.stage, layer, heads, rows=rows, cols=cols)

    def _plain(self, rows: slice, cols: slice) -> Tensor:
        """Return weights weighed, hidden, renormalised and summed into words."""
        down, across = self.query.tokens(rows), self.key.tokens(cols)
        parts = [self._of_layer(layer, heads, down, across) for layer, heads in self._layers()]
        if not parts:
            raise JtvizError("no head is chosen: choose one.")
        tile = torch.cat(parts)
        span = self.choice.query_span
        if span is not None:
            # A word is shown whole.
            first, last = (self.query.at(token) or 0 for token in (span[0], span[1] - 1))
            span = (self.query.starts[first], self.query.starts[last + 1])
            at = torch.arange(down.start, down.stop, device=tile.device)
            tile[:, (at < span[0]) | (at >= span[1])] = 0
        if self.query.place is not None and self.key.place is not None:
            tile = _by_words(tile, self.query.place[down], self.key.place[across])
        return tile

    def _of_layer(self, layer: int, heads: list[int], rows: slice, cols: slice) -> Tensor:
        hidden = self.hidden
        is_shared_out = self.choice.renormalise and self.choice.weighting != "gradient"
        if not is_shared_out:
            tile = self._tile(layer, heads, rows, cols)
            if hidden.any():
                tile = tile.masked_fill(hidden[cols].to(tile.device), 0.0)
            return tile
        tile = self._tile(layer, heads, rows, None)
        tile = tile.masked_fill(hidden.to(tile.device), 0.0)
        kept = tile.sum(-1, keepdim=True)
        return tile[..., cols] / kept.masked_fill(kept == 0, 1.0)


def hidden_keys(tokens: Tokens, choice: Choice) -> Tensor:
    """Return which tokens are left out as keys, ``[tokens]``."""
    hidden = torch.tensor([text in choice.hide for text in tokens.text])
    if choice.hide_special:
        hidden |= torch.tensor(tokens.special)
    if choice.hide_first:
        hidden[0] = True
    if choice.key_span is not None:
        start, stop = choice.key_span
        hidden[:start] = hidden[stop:] = True
    return hidden


def sift(weights: Tensor, top_k: int, top_mass: float) -> Tensor:
    """Keep the strongest weights of each row; the others become 0. Negative ones count by their size.

    Parameters
    ----------
    weights : Tensor
        ``[..., keys]``, whole rows.
    top_k : int
        How many to keep; 0 for all.
    top_mass : float
        Keep the smallest set with this share of the row's weight; 1 for all.
    """
    strongest, order = weights.abs().sort(dim=-1, descending=True, stable=True)
    passes = torch.ones_like(strongest, dtype=torch.bool)
    if top_k > 0:
        passes[..., top_k:] = False
    if top_mass < 1:
        # The smallest set that reaches the share: those before which it was not yet reached.
        before = strongest.cumsum(-1) - strongest
        # Rounding must not ask for one more.
        passes &= before < top_mass * (1 - 1e-6) * strongest.sum(-1, keepdim=True)
    return weights.masked_fill(~torch.zeros_like(passes).scatter(-1, order, passes), 0.0)


def _by_words(tile: Tensor, rows: tuple[int, ...], cols: tuple[int, ...]) -> Tensor:
    device = tile.device
    row, col = (torch.tensor(places, device=device) - places[0] for places in (rows, cols))
    summed = tile.new_zeros(*tile.shape[:2], cols[-1] - cols[0] + 1).index_add_(2, col, tile)
    out = tile.new_zeros(len(tile), rows[-1] - rows[0] + 1, summed.shape[2]).index_add_(1, row, summed)
    return out / row.bincount()[:, None]


def _pool(strip: Tensor, down: int, across: int, pool: str) -> Tensor:
    if down == across == 1:
        return strip
    if pool == "mean":
        return F.avg_pool2d(strip[None], (down, across), ceil_mode=True)[0]
    most = F.max_pool2d(strip[None], (down, across), ceil_mode=True)[0]
    if float(strip.min()) >= 0:
        return most
    least = -F.max_pool2d(-strip[None], (down, across), ceil_mode=True)[0]
    return torch.where(-least > most, least, most)
