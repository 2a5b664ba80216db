"""What every view of a trace shares: the Selection, and traits that follow it from Python.

Required: a choice made in one view is in all of them; one that the trace does not have is refused with a
sentence and changes nothing.
"""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets as t

from jtviz.capture import Trace

from .selection import UNPINNED, Selection, selection_of

SHARED = ("stage", "layer", "heads", "pinned", "marked")


class Linked(anywidget.AnyWidget):
    """A view that reads and writes the Selection of its trace.

    Parameters
    ----------
    trace : Trace
        Whose Selection.
    choices : dict
        Initial choices of `SHARED`; None leaves one as it is.
    traits : callable
        Returns the other traits, once the Selection has those choices.
    """

    selection = anywidget.WidgetTrait().tag(sync=True)
    """The Selection that this view reads and writes."""

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

    trace: Trace

    def _begin(self, trace: Trace, choices: dict[str, Any], traits: Any) -> None:
        """Be made: choose, then take on all traits; a choice that is refused changes nothing."""
        self.trace = trace
        shared = selection_of(trace)
        before = {name: getattr(shared, name) for name in SHARED}
        try:
            # In this order, since a layer is checked against the stage, and heads against the layer.
            for name in SHARED:
                if choices.get(name) is not None:
                    shared.set_trait(name, choices[name])
            state = {name: getattr(shared, name) for name in SHARED}
            super().__init__(selection=shared, **state, **traits(state))
        except t.TraitError:
            for name, value in before.items():
                shared.set_trait(name, value)
            raise
        shared.observe(self._follow, SHARED)
        self.observe(self._lead, SHARED)

    @t.validate("stage", "layer", "heads", "pinned", "marked")
    def _valid(self, proposal: dict[str, Any]) -> Any:
        return selection_of(self.trace).check(proposal["trait"].name, proposal["value"])

    def close(self) -> None:
        """Close the widget, and no longer follow the Selection."""
        # Python closes once more what it forgets.
        if isinstance(self.selection, Selection) and self.comm is not None:
            self.selection.unobserve(self._follow, SHARED)
        super().close()

    def _follow(self, _: dict[str, Any]) -> None:
        shared = selection_of(self.trace)
        with self.hold_trait_notifications():  # an observer sees all of a choice or nothing of it
            for name in SHARED:
                self.set_trait(name, getattr(shared, name))

    def _lead(self, change: dict[str, Any]) -> None:
        selection_of(self.trace).set_trait(change["name"], change["new"])
