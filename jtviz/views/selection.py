"""What the reader is looking at, shared by every view of one trace. Twin: js/src/views/selection.ts.

Required: one Selection a trace; a choice made in any view, or from Python, is in all of them; a
choice that the model does not have is refused with a sentence and changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import anywidget
import traitlets as t

from jtviz.capture import Trace
from jtviz.capture.part import is_int

from .bundle import front_end
from .inside import Inside

SIDES = ("query", "key")

Pins = dict[str, int | None]
Marks = dict[str, list[int]]
UNPINNED: Pins = {"query": None, "key": None}


def carry_pins(pinned: Pins, before: tuple[str, str], after: tuple[str, str]) -> Pins:
    """Keep a pin on its token when the stage changes.

    A token pinned as query in the encoder is a key in the cross attention, and stays one from there on.

    Parameters
    ----------
    pinned : dict
        Token index pinned as ``"query"`` and as ``"key"``, or None.
    before, after : tuple of str
        The sides (``"encoder"`` or ``"decoder"``) that query and key come from, in the old stage and
        in the new one.

    Examples
    --------
    >>> carry_pins({"query": 3, "key": None}, ("encoder", "encoder"), ("decoder", "encoder"))
    {'query': None, 'key': 3}
    """
    carried: Pins = {"query": None, "key": None}
    # Each pin first in the part it had, then in the other.
    for swap in (0, 1):
        for role in (0, 1):
            index = pinned[SIDES[role ^ swap]]
            is_free = carried[SIDES[role]] is None and index not in carried.values()
            if is_free and before[role ^ swap] == after[role]:
                carried[SIDES[role]] = index
    return carried


class Selection(anywidget.AnyWidget):
    """Stage, layer, heads, pinned and marked tokens that the views of one trace show.

    Made by `selection_of`; it has no picture of its own.
    """

    _esm = front_end("selection")

    stage = t.Unicode().tag(sync=True, echo_update=False)
    """The stage shown: ``"encoder"``, ``"decoder"`` or ``"cross"``."""

    layer = t.Int(0).tag(sync=True, echo_update=False)
    """The layer shown, counted from 0."""

    heads = t.List(t.Int()).tag(sync=True, echo_update=False)
    """The heads shown, counted from 0."""

    pinned = t.Dict(UNPINNED).tag(sync=True, echo_update=False)
    """Index of the pinned token on each side, ``{"query": 3, "key": None}``."""

    marked = t.Dict().tag(sync=True, echo_update=False)
    """Indices of tokens that are marked, by side, ``{"encoder": [1, 2]}``: as many as one likes."""

    def __init__(self, trace: Trace) -> None:
        self._sides = {s: (trace.query_side(s), trace.key_side(s)) for s in trace.stages}
        self._lengths = {side: len(tokens) for side, tokens in trace.tokens.items()}
        self._heads = {s: [trace.heads(s, layer) for layer in range(trace.layers(s))] for s in trace.stages}
        self._hearing = Inside()
        self.hearing = threading.RLock()
        """Held while it takes over what a page says, and by a view whose own traits follow it: JupyterLab can
        have one of them hear in the main thread, and another in a thread of its own."""
        first = trace.stages[0]
        super().__init__(stage=first, layer=0, heads=list(range(self._heads[first][0])))

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take over a choice made in the browser, which has fitted its parts to each other already."""
        with self.hearing, self._hearing:
            super().set_state(sync_data)

    @property
    def is_from_page(self) -> bool:
        """Whether what this thread is changing was chosen in the browser."""
        return self._hearing.is_here

    def check(self, name: str, value: Any) -> Any:
        """Return the value in its plain form, or raise `traitlets.TraitError` with one sentence."""
        return getattr(self, f"_check_{name}")(value)

    def _check_stage(self, stage: str) -> str:
        if stage not in self._sides:
            msg = f"There is no stage {stage!r} in this trace; choose from {str([*self._sides])[1:-1]}."
            raise t.TraitError(msg)
        return stage

    def _check_layer(self, layer: int) -> int:
        layers = len(self._heads[self.stage])
        if not 0 <= layer < layers:
            msg = f"There is no layer {layer} in the {self.stage} stage; choose from 0 to {layers - 1}."
            raise t.TraitError(msg)
        return layer

    def _check_heads(self, heads: list[int]) -> list[int]:
        count = self._heads[self.stage][self.layer]
        for head in heads:
            if not 0 <= head < count:
                where = f"{self.stage} layer {self.layer}"
                msg = f"There is no head {head} in {where}; choose from 0 to {count - 1}."
                raise t.TraitError(msg)
        return sorted(set(heads))

    def _check_pinned(self, pinned: Mapping[str, int | None] | None) -> Pins:
        pinned = pinned or {}
        if unknown := set(pinned) - set(SIDES):
            msg = f"Pins have a 'query' and a 'key' side, not {min(unknown)!r}."
            raise t.TraitError(msg)
        for role, side in zip(SIDES, self._sides[self.stage], strict=True):
            index = pinned.get(role)
            if index is not None and not (type(index) is int and 0 <= index < self._lengths[side]):
                msg = (
                    f"There is no {role} token {index!r} in the {self.stage} stage; "
                    f"choose from 0 to {self._lengths[side] - 1}."
                )
                raise t.TraitError(msg)
        return {role: pinned.get(role) for role in SIDES}

    def _check_marked(self, marked: Mapping[str, Any] | None) -> Marks:
        found: Marks = {}
        for side, indices in (marked or {}).items():
            if side not in self._lengths:
                msg = f"There are no tokens {side!r} to mark; this trace has {str([*self._lengths])[1:-1]}."
                raise t.TraitError(msg)
            if isinstance(indices, str) or not isinstance(indices, Iterable):
                msg = f"Marked are lists of token indices, {{{side!r}: [1, 2]}}, not {indices!r}."
                raise t.TraitError(msg)
            listed = list(indices)
            for index in listed:
                if not (is_int(index) and 0 <= index < self._lengths[side]):
                    msg = (
                        f"There is no {side} token {index!r} to mark; "
                        f"choose from 0 to {self._lengths[side] - 1}."
                    )
                    raise t.TraitError(msg)
            if listed:
                found[side] = sorted({int(index) for index in listed})
        return found

    @t.validate("stage", "layer", "heads", "pinned", "marked")
    def _valid(self, proposal: dict[str, Any]) -> Any:
        return self.check(proposal["trait"].name, proposal["value"])

    @t.observe("stage")
    def _fit_to_stage(self, change: dict[str, Any]) -> None:
        if self.is_from_page or change["old"] not in self._sides:
            return
        layers = self._heads[self.stage]
        before, after = self._sides[change["old"]], self._sides[self.stage]
        pinned = {role: self.pinned.get(role) for role in SIDES}
        old_count = self._heads[change["old"]][min(self.layer, len(self._heads[change["old"]]) - 1)]
        with self.hold_sync():
            self.pinned = carry_pins(pinned, before, after)
            self.layer = min(self.layer, len(layers) - 1)
            self._fit_heads(old_count)

    @t.observe("layer")
    def _fit_to_layer(self, change: dict[str, Any]) -> None:
        layers = self._heads[self.stage]
        if not self.is_from_page and isinstance(change["old"], int):
            self._fit_heads(layers[min(change["old"], len(layers) - 1)])

    def _fit_heads(self, before: int) -> None:
        """Keep the heads that the new layer has; all stays all, and none left becomes all."""
        count = self._heads[self.stage][self.layer]
        kept = [head for head in self.heads if head < count]
        everything = len(self.heads) == before or (bool(self.heads) and not kept)
        self.heads = list(range(count)) if everything else kept


_selections: WeakKeyDictionary[object, Selection] = WeakKeyDictionary()


def selection_of(trace: Trace) -> Selection:
    """Return the one Selection of a trace, made when it is needed.

    Traces of one request that differ in what is differentiated only share it.
    """
    of = trace.reading or trace
    if of not in _selections or _selections[of].comm is None:  # closed, with all widgets
        _selections[of] = Selection(trace)
    return _selections[of]
