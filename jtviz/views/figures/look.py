"""What a figure is drawn from: the numbers shown, how they are drawn, and which part there is room for.

Required: every number is one of `jtviz.views.shown.Shown`; what is not drawn is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from jtviz.capture import Trace
from jtviz.tokens import Tokens
from jtviz.views.describe import LABELS
from jtviz.views.shown import Axis, Choice, Shown
from jtviz.views.source import THROUGH

from .colour import Rgb, Theme, head_colour, ramp, ramp_against
from .shades import Array

ROLES = ("query", "key")


@dataclass(frozen=True)
class Limits:
    """How much is drawn.

    Attributes
    ----------
    whole : int
        Up to so many tokens, links and text have all of them.
    window : int
        How many they have of a longer input.
    curves : int
        Links drawn, the strongest.
    cells : int
        Rows and columns of a matrix at most.
    looked_at : int
        How many weights a picture may look at: beyond, it is sampled, and says so.
    is_quick : bool
        Whether it is to be there at once, rather than perfect.
    """

    whole: int = 400
    window: int = 120
    curves: int = 3000
    cells: int = 512
    looked_at: int = 1 << 30
    is_quick: bool = False

    def most_curves(self, rows: int) -> int:
        """Return how many links are drawn between so many rows; long ones take time to draw."""
        if not self.is_quick:
            return self.curves
        return self.curves * self.window // max(1, min(rows, self.window))


SAVED = Limits()
GLANCE = Limits(whole=40, window=28, curves=120, cells=256, looked_at=1 << 23, is_quick=True)


@dataclass(frozen=True)
class Member:
    """One pattern: its layer, its head (None where heads are followed together) and its colour.

    `hue` is the number of the head that has the same colour in the layer shown.
    """

    layer: int
    head: int | None
    hue: int
    colour: Rgb


@dataclass(frozen=True, eq=False)
class Look:
    """One picture to be drawn.

    Attributes
    ----------
    shown : Shown
        The numbers.
    settings : mapping
        The view's settings by name.
    layer : int
        The layer that the view is at.
    pinned : mapping
        Pinned token of each side.
    hovered : mapping
        Token of each side that the reader points at.
    marked : mapping
        Marked tokens of each side, the encoder's and the decoder's.
    theme : Theme
        Colours.
    limits : Limits
        How much is drawn.
    """

    shown: Shown
    settings: Mapping[str, Any]
    layer: int
    pinned: Mapping[str, int | None]
    hovered: Mapping[str, int | None]
    marked: Mapping[str, Sequence[int]]
    theme: Theme
    limits: Limits
    rows: slice = field(init=False)
    """Queries in the span chosen."""
    cols: slice = field(init=False)
    """Keys in the span chosen."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", _span(self.shown.query, self.choice.query_span))
        object.__setattr__(self, "cols", _span(self.shown.key, self.choice.key_span))

    @property
    def trace(self) -> Trace:
        """The trace shown."""
        return self.shown.source.trace

    @property
    def choice(self) -> Choice:
        """What is shown and how it is weighed."""
        return self.shown.choice

    @property
    def stage(self) -> str:
        """The stage as it is called."""
        return LABELS[self.choice.stage]

    def side(self, role: str) -> Tokens:
        """Return the tokens of the query or the key side."""
        trace = self.trace
        side = trace.query_side if role == "query" else trace.key_side
        return trace.tokens[side(self.choice.stage)]

    def axis(self, role: str) -> Axis:
        """Return the queries or the keys as they are shown."""
        return self.shown.query if role == "query" else self.shown.key

    @property
    def is_predicted(self) -> bool:
        """Whether queries are named by the token they predict."""
        is_decoder = self.trace.query_side(self.choice.stage) == "decoder"
        is_asked = self.settings["row_labels"] == "predicted" and self.choice.unit == "token"
        return is_asked and is_decoder and self.trace.predicts is not None

    @cached_property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """What queries and keys are called."""
        queries, predicts = self.shown.query.labels, self.trace.predicts
        if self.is_predicted and predicts is not None:
            queries = tuple(predicts)
        return {"query": queries, "key": self.shown.key.labels}

    def is_special(self, role: str, index: int) -> bool:
        """Return whether a query or key is a special token."""
        if role == "query" and self.is_predicted:
            return False
        return self.side(role).special[self.axis(role).starts[index]]

    def is_hidden(self, index: int) -> bool:
        """Return whether a key is left out."""
        part = self.shown.key.tokens(slice(index, index + 1))
        return bool(self.shown.hidden[part].all())

    def pin(self, role: str) -> int | None:
        """Return the pinned query or key."""
        return self.axis(role).at(self.pinned.get(role))

    @cached_property
    def marks(self) -> dict[str, frozenset[int | None]]:
        """Which queries and keys are marked."""
        trace, stage = self.trace, self.choice.stage
        sides = {"query": trace.query_side(stage), "key": trace.key_side(stage)}
        return {
            role: frozenset(map(self.axis(role).at, self.marked.get(side, ())))
            for role, side in sides.items()
        }

    def focus(self, role: str) -> int | None:
        """Return the query or key in focus: what is pointed at, else what is pinned."""
        hovered = self.axis(role).at(self.hovered.get(role))
        return hovered if hovered is not None else self.pin(role)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """The patterns in the order of `Shown.weights`."""
        pairs: list[tuple[int, int | None]] = [*self.choice.members]
        if self.choice.weighting in THROUGH:
            pairs = [(layer, None) for layer in dict.fromkeys(layer for layer, _ in pairs)]
        hues = [_hue(layer, head or 0, self.layer) for layer, head in pairs]
        return tuple(
            Member(layer, head, hue, head_colour(hue, dark=self.theme.dark))
            for (layer, head), hue in zip(pairs, hues, strict=True)
        )

    @property
    def _alone(self) -> int | None:
        return self.members[0].hue if len(self.members) == 1 else None

    @property
    def ramp(self) -> tuple[Rgb, ...]:
        """Colours of positive weights."""
        return ramp(self.theme.paper, self._alone, dark=self.theme.dark)

    @property
    def ramp_against(self) -> tuple[Rgb, ...]:
        """Colours of negative weights."""
        return ramp_against(self.theme.paper, self._alone, dark=self.theme.dark)

    @property
    def is_signed(self) -> bool:
        """Whether weights can be negative."""
        return self.choice.weighting == "gradient"

    def window(self) -> tuple[slice, slice]:
        """Return the queries and keys that links and text have room for, around what is in focus."""
        limits = self.limits
        size = limits.window
        counts = (self.rows.stop - self.rows.start, self.cols.stop - self.cols.start)
        if max(counts) <= max(size, limits.whole):
            return self.rows, self.cols
        size = max(1, min(size, limits.looked_at // self.row_cost))
        centre = {role: self.focus(role) for role in ROLES}
        is_self = self.trace.query_side(self.choice.stage) == self.trace.key_side(self.choice.stage)
        for role, other in (("query", "key"), ("key", "query")):
            if centre[role] is None and is_self:
                centre[role] = centre[other]
        if centre["key"] is None and centre["query"] is not None:
            row = self.combined(slice(centre["query"], centre["query"] + 1), self.cols)
            centre["key"] = self.cols.start + int(np.abs(row[0]).argmax())
        return _around(self.rows, centre["query"], size), _around(self.cols, centre["key"], size)

    @property
    def row_cost(self) -> int:
        """How many weights are looked at for one row, at most; sorting or summing counts double."""
        choice = self.choice
        is_slow = choice.top_k > 0 or choice.top_mass < 1 or choice.unit == "word"
        return len(self.shown.key) * len(choice.members) * (2 if is_slow else 1)

    def weights(self, rows: slice, cols: slice) -> Array:
        """Return what each member shows, ``[members, rows, cols]``."""
        found: Array = self.shown.weights(rows, cols).cpu().numpy()
        return found

    def combined(self, rows: slice, cols: slice) -> Array:
        """Return the picture of all members together, ``[rows, cols]``."""
        found: Array = self.shown.combined(rows, cols).cpu().numpy()
        return found


def _hue(layer: int, head: int, own: int) -> int:
    return head if layer == own else head + 3 + (layer + 1) % 5


def _span(axis: Axis, span: tuple[int, int] | None) -> slice:
    if span is None:
        return slice(0, len(axis))
    first, last = axis.at(span[0]), axis.at(min(span[1], axis.starts[-1]) - 1)
    return slice(0, len(axis)) if first is None or last is None else slice(first, last + 1)


def _around(whole: slice, centre: int | None, size: int) -> slice:
    size = min(size, whole.stop - whole.start)
    start = whole.start if centre is None else centre - size // 2
    start = max(whole.start, min(start, whole.stop - size))
    return slice(start, start + size)
