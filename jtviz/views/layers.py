"""The view of what each layer knows, one tab for each way to look. Twin: js/src/views/layers.ts.

Required: it opens at once, whatever the length of the text: a tab's numbers are computed when it is open, and
travel to the page for what is in sight; the reader's model is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import traitlets as t

from jtviz.capture import JtvizError, Trace
from jtviz.capture.lm_head import NO_MODEL, predicting

from .bundle import front_end
from .describe import describe
from .inside import Inside
from .layer_panels.panel import Answer, Message
from .layer_panels.saved import Panels
from .linked import Linked
from .selection import selection_of

TABS = {
    "features": "Features",
    "trajectories": "Trajectories",
    "similarity": "Similarity",
    "lens": "Lens",
    "neurons": "Neurons",
    "direct": "Direct logits",
}

OPTIONS = (
    "order",
    "projection",
    "plane",
    "extent",
    "marking",
    "compared",
    "centred",
    "through",
    "lens_colour",
    "tuned",
    "neurons",
    "unit",
    "components",
    "detail",
    "answer",
    "against",
)
"""Traits of the panels that can be given when the view is made."""


class LayersPanels(Panels, Linked):
    """The panels of what each layer knows; `jtviz.show_layers` puts charts below them.

    Parameters
    ----------
    trace : Trace
        Of any model whose blocks were found.
    tab : str, optional
        Which of `TABS` is open first.
    hidden_layer : int, optional
        Which layer of `Trace.hidden` is shown first; what ``layer`` returned, if left out.
    texts : list of str, or data frame, optional
        The data set in which tokens are looked for that set a unit off.
    **choices
        Those of `OPTIONS`, and initial ``stage``, ``layer``, ``heads``, ``pinned`` and ``marked``, shared
        with every other view of the trace.

    Raises
    ------
    JtvizError
        If the blocks of the model were not found.
    traitlets.TraitError
        If the trace has no such stage, layer, head or token.

    Examples
    --------
    >>> import jtviz
    >>> view = LayersPanels(jtviz.demo.translator().trace("I like tea."), stage="decoder")
    >>> view.side, view.hidden_layer
    ('decoder', 1)
    >>> view.layer = 1
    >>> view.hidden_layer
    2
    """

    _esm = front_end("layers")

    meta = t.Dict().tag(sync=True)
    """Stages, tokens, tabs, and how many layers and dimensions the stream of each side has."""

    tab = t.Enum(tuple(TABS), "features").tag(sync=True, echo_update=False)
    """Which tab is open, one of `TABS`."""

    hidden_layer = t.Int(0, min=0).tag(sync=True, echo_update=False)
    """The layer of `Trace.hidden` that is shown: 0 enters the first block, *n* is what block *n* - 1 gave.

    It moves with ``layer``, which counts blocks: ``hidden_layer`` 3 is what ``layer`` 2 returned, and both 0
    and 1 belong to ``layer`` 0, of which the one chosen last is shown. A layer that only the other side has
    becomes the last one of this.
    """

    _property_lock: dict[str, Any]

    def __init__(
        self,
        trace: Trace,
        *,
        tab: str | None = None,
        hidden_layer: int | None = None,
        texts: Any = None,
        **choices: Any,
    ) -> None:
        self._hearing, self._following = Inside(), Inside()
        self._is_at_start = hidden_layer == 0
        """Whether what enters the first block was chosen last, of the layers of the stream."""
        self._begin_panels()
        self._begin_neurons(texts)
        options = {name: choices.pop(name) for name in OPTIONS if name in choices}
        shapes = {side: trace.hidden_shape(side) for side in trace.tokens}
        self._depth = {side: shape[0] for side, shape in shapes.items()}
        widths = {side: shape[2] for side, shape in shapes.items()}
        lacks = _lacks(trace)
        tabs = [[name, label, lacks.get(name, "")] for name, label in TABS.items()]
        meta = describe(trace) | {"tabs": tabs, "depth": self._depth, "width": widths}
        if hidden_layer is not None:
            self._refuse_layer(hidden_layer, choices.get("stage") or selection_of(trace).stage, trace)
            choices["layer"] = max(0, hidden_layer - 1)

        def traits(state: dict[str, Any]) -> dict[str, Any]:
            layer = state["layer"] + 1 if hidden_layer is None else hidden_layer
            return {"meta": meta, "tab": tab or "features", "hidden_layer": layer} | options

        self._begin(trace, choices, traits)
        self.observe(self._to_layer, "hidden_layer")
        self.observe(self._from_layer, ("layer", "stage"))
        self.observe(self._forget_unit, ("hidden_layer", "stage"))
        self.on_msg(self._on_message)

    def _refuse_layer(self, hidden_layer: int, stage: str, trace: Trace) -> None:
        side = trace.query_side(stage) if stage in trace.stages else ""
        if side and hidden_layer >= self._depth[side]:
            last = self._depth[side] - 1
            msg = f"There is no layer {hidden_layer} of the stream of the {side}; choose from 0 to {last}."
            raise t.TraitError(msg)

    @t.validate("hidden_layer")
    def _valid_hidden_layer(self, proposal: dict[str, Any]) -> Any:
        # The stage may change in the same breath.
        deepest = max(self._depth.values())
        if proposal["value"] >= deepest:
            msg = f"There is no layer {proposal['value']} of the stream; choose from 0 to {deepest - 1}."
            raise t.TraitError(msg)
        return proposal["value"]

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take over what was chosen in the browser, which tells the Selection about layers by itself."""
        with self.selection.hearing, self._hearing:
            super().set_state(sync_data)

    # Nothing that a page chose is sent back there: it may have gone on meanwhile.
    def _to_layer(self, change: dict[str, Any]) -> None:
        last = self._depth[self.side] - 1
        if change["new"] > last:  # of the other side, which is deeper
            self.hidden_layer = last
            return
        if self._following.is_here:
            return
        self._is_at_start = change["new"] == 0
        if not self._hearing.is_here:
            self.layer = max(0, change["new"] - 1)

    def _from_layer(self, _: dict[str, Any]) -> None:
        # A page tells its two choices in two messages, of which either may come first.
        is_entering = self._is_at_start and self.layer == 0
        to = 0 if is_entering else min(self.layer + 1, self._depth[self.side] - 1)
        is_from_page = self.selection.is_from_page or self._hearing.is_here
        locked = self._property_lock
        kept = self._lock_property(**{**locked, "hidden_layer": to}) if is_from_page else nullcontext()
        try:
            with self._following, kept:
                self.hidden_layer = to
        finally:
            self._property_lock = locked

    def close(self) -> None:
        """Close the widget, and stop what it was doing."""
        self._end_panels()
        super().close()

    def __repr__(self) -> str:
        """Say in one line what is shown: a saved notebook has this where the widget was."""
        return f"LayersPanels(tab={self.tab!r}, side={self.side!r}, hidden_layer={self.hidden_layer})"

    def _on_message(self, _: Any, message: Any, __: list[memoryview]) -> None:
        if not isinstance(message, Mapping):
            return
        op = message.get("op")
        head = {"op": op, "id": message.get("id")}
        answer = getattr(type(self), f"_answer_{op}", _unknown)
        try:
            with self._computing:
                reply, buffers = answer(self, message)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is said in the view
            self.send({**head, "ok": False, "error": str(error) or type(error).__name__})
            return
        self.send({**head, "ok": True, **reply}, buffers)


def _unknown(_: LayersPanels, message: Message) -> Answer:
    raise JtvizError(f"this view does not know the question {message.get('op')!r}: reload the page.")


def _lacks(trace: Trace) -> dict[str, str]:
    """Return why tabs cannot be had."""
    lacks: dict[str, str] = {}
    if trace.reading is None or trace.places is None:
        lacks = dict.fromkeys(("lens", "neurons", "direct"), NO_MODEL)
    else:
        try:
            predicting(trace)
        except JtvizError as error:
            lacks["lens"] = str(error)
        if not trace.places.units:
            lacks["neurons"] = "no feed-forward units were found in this model."
    return lacks
