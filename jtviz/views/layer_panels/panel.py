"""What every panel of the view of layers has: the trace, the side that is shown, and numbers computed once.

Required: what takes work is done when somebody looks at it, and once; a question of a page has one answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import traitlets as t

from jtviz.capture import JtvizError, Trace
from jtviz.capture.part import is_int

T = TypeVar("T")
Message = Mapping[str, Any]
Answer = tuple[dict[str, Any], list[bytes]]
"""What is said as JSON, and buffers of numbers."""


class Panel(t.HasTraits):
    """A part of `LayersPanels`.

    A panel answers the question ``{op: "name", ...}`` of a page in a method ``_answer_name``, which returns
    what is said as JSON and buffers of numbers. What it raises is said in the view.
    """

    trace: Trace
    stage: Any
    pinned: Any

    busy = t.Unicode().tag(sync=True)
    """What is being computed; empty when nothing is."""

    share: Any = t.Float(default_value=None, allow_none=True).tag(sync=True)
    """How far it is, 0 to 1; None where that is not known."""

    def _begin_panels(self) -> None:
        """Be made; before any trait is set."""
        self._once_kept: dict[Hashable, Any] = {}
        self._computing = threading.RLock()

    @property
    def side(self) -> str:
        """Whose residual stream is shown: ``"encoder"`` or ``"decoder"``."""
        return self.trace.query_side(self.stage)

    def pinned_on(self, side: str) -> int | None:
        """Return the token of a side that is pinned: as query, else as key; None where none is."""
        for role, of in (("query", self.trace.query_side), ("key", self.trace.key_side)):
            if of(self.stage) == side and self.pinned.get(role) is not None:
                return int(self.pinned[role])
        return None

    def _end_panels(self) -> None:
        """Be closed: stop what works for nobody now."""

    def _side(self, message: Message) -> str:
        """Return the side that a question names."""
        side = message.get("side", self.side)
        if not isinstance(side, str) or side not in self.trace.tokens:
            raise JtvizError(f"there is no side {side!r} in this trace.")
        return str(side)

    def _number(self, message: Message, name: str, count: int) -> int:
        """Return a number, 0 to `count` - 1, that a question names."""
        value: Any = message.get(name)
        if not is_int(value) or not 0 <= value < count:
            raise JtvizError(f"{name} is a number, 0 to {count - 1}, not {value!r}.")
        return int(value)

    def _once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return what was computed for this key, or compute it."""
        with self._computing, torch.no_grad():
            if key not in self._once_kept:
                self._once_kept[key] = compute()
            found: T = self._once_kept[key]
            return found

    @contextmanager
    def _doing(self, words: str) -> Iterator[None]:
        """Say what is being computed for as long as it is."""
        self.busy, self.share = words, None
        try:
            yield
        finally:
            self.busy, self.share = "", None
