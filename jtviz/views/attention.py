"""The attention view. Twin: js/src/views/attention.ts.

Required: everything drawn comes from the trace through the tile server; what is chosen in the
browser can be read, set and observed here, and the other way round.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import traitlets as t

from jtviz.capture import Trace
from jtviz.capture.site import Site
from jtviz.tokens import Tokens

from . import numbers
from .bundle import bundle
from .selection import UNPINNED, Selection, selection_of
from .tiles import WHOLE_LIMIT, TileServer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LABELS = {"encoder": "Encoder", "decoder": "Decoder", "cross": "Cross"}
MODES = ("links", "matrix", "text")
SHARED = ("stage", "layer", "heads", "pinned")


class AttentionView(anywidget.AnyWidget):
    """Attention of one trace as links, as a matrix and over the text.

    Parameters
    ----------
    trace : Trace
        What `HookedTransformer.trace` left.
    **choices
        Initial ``stage``, ``layer``, ``heads``, ``pinned``, ``mode`` or ``row_labels``. The first four
        are shared with every other view of the trace.

    Raises
    ------
    traitlets.TraitError
        If the trace has no such stage, layer, head or token; nothing is changed then.

    Examples
    --------
    >>> view = AttentionView(trace)                             # doctest: +SKIP
    >>> view.stage, view.layer, view.heads = "cross", 1, [0]    # doctest: +SKIP
    >>> view.observe(lambda change: print(change.new), "pinned")  # doctest: +SKIP
    """

    _esm = bundle("attention")

    selection = anywidget.WidgetTrait().tag(sync=True)
    """The Selection that this view reads and writes."""

    meta = t.Dict().tag(sync=True)
    """Stages, layers, heads and tokens of the trace, as the front end needs them."""

    stage = t.Unicode().tag(sync=True, echo_update=False)
    """The stage shown: ``"encoder"``, ``"decoder"`` or ``"cross"``."""

    layer = t.Int(0).tag(sync=True, echo_update=False)
    """The layer shown, counted from 0."""

    heads = t.List(t.Int()).tag(sync=True, echo_update=False)
    """The heads shown, counted from 0."""

    pinned = t.Dict(UNPINNED).tag(sync=True, echo_update=False)
    """Index of the pinned token on each side, ``{"query": 3, "key": None}``."""

    mode = t.Enum(MODES, "links").tag(sync=True, echo_update=False)
    """How this view draws: ``"links"``, ``"matrix"`` or ``"text"``."""

    row_labels = t.Enum(["read", "predicted"], "read").tag(sync=True, echo_update=False)
    """Whether decoder rows are labelled by the token read there or by the token predicted there."""

    def __init__(self, trace: Trace, **choices: Any) -> None:
        self.trace = trace
        self._server = TileServer(trace)
        shared = selection_of(trace)
        choices = {name: value for name, value in choices.items() if value is not None}
        before = {name: getattr(shared, name) for name in SHARED}
        try:
            # In this order, since a layer is checked against the stage, and heads against the layer.
            for name in SHARED:
                if name in choices:
                    shared.set_trait(name, choices.pop(name))
            state = {name: getattr(shared, name) for name in SHARED}
            super().__init__(selection=shared, meta=describe(trace), **state, **choices)
        except t.TraitError:
            for name, value in before.items():
                shared.set_trait(name, value)
            raise
        shared.observe(self._follow, SHARED)
        self.observe(self._lead, SHARED)
        self.on_msg(self._on_message)

    @t.validate("stage", "layer", "heads", "pinned")
    def _valid(self, proposal: dict[str, Any]) -> Any:
        return selection_of(self.trace).check(proposal["trait"].name, proposal["value"])

    def __repr__(self) -> str:
        """Say in one line what is shown: a saved notebook has this where the widget was."""
        choices = ", ".join(f"{name}={getattr(self, name)!r}" for name in (*SHARED, "mode"))
        return f"{type(self).__name__}({choices})"

    def to_numpy(self) -> np.ndarray:
        """Return the attention of the layer and heads shown, ``[heads, queries, keys]``, float32.

        Raises
        ------
        JtvizError
            If that is more than 67 million weights.

        Examples
        --------
        >>> import jtviz
        >>> view = jtviz.show_attention(jtviz.demo.translator(), "I like tea.", heads=[0, 2])
        >>> view.to_numpy().shape
        (2, 5, 5)
        """
        return numbers.array(self.trace, self.stage, self.layer, self.heads)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the weights shown as a table: one row each, with head, query, key and their tokens.

        A pinned token leaves only its weights: what a pinned query looks at, or who looks at a pinned key.

        Raises
        ------
        JtvizError
            If that is more than 67 million weights.

        Examples
        --------
        >>> import jtviz
        >>> translator = jtviz.demo.translator()
        >>> view = jtviz.show_attention(translator, "I like tea.", heads=[0], pinned={"query": 2})
        >>> view.to_dataframe().columns.to_list()
        ['head', 'query', 'query token', 'key', 'key token', 'weight']
        """
        return numbers.frame(self.trace, self.stage, self.layer, self.heads, self.pinned)

    def close(self) -> None:
        """Close the widget, and no longer follow the Selection."""
        if isinstance(self.selection, Selection):
            self.selection.unobserve(self._follow, SHARED)
        super().close()

    def _follow(self, _: dict[str, Any]) -> None:
        shared = selection_of(self.trace)
        with self.hold_trait_notifications():  # an observer sees all of a choice or nothing of it
            for name in SHARED:
                self.set_trait(name, getattr(shared, name))

    def _lead(self, change: dict[str, Any]) -> None:
        selection_of(self.trace).set_trait(change["name"], change["new"])

    def _on_message(self, _: ipywidgets.Widget, message: Any, __: list[memoryview]) -> None:
        if isinstance(message, dict) and (reply := self._server.answer(message)):
            self.send(*reply)


def describe(trace: Trace) -> dict[str, Any]:
    """Return what the front end has to know of a trace before it asks for any number."""
    stages = [
        {
            "name": stage,
            "label": LABELS[stage],
            "query": trace.query_side(stage),
            "key": trace.key_side(stage),
            "heads": [trace.heads(stage, layer) for layer in range(trace.layers(stage))],
            "checks": [_describe_check(trace.site(stage, i)) for i in range(trace.layers(stage))],
        }
        for stage in trace.stages
    ]
    return {
        "stages": stages,
        "sides": {side: _describe_tokens(tokens) for side, tokens in trace.tokens.items()},
        "predicts": None if trace.predicts is None else list(trace.predicts),
        "whole_limit": WHOLE_LIMIT,
    }


def _describe_check(site: Site) -> dict[str, Any]:
    # JSON has no NaN.
    difference = None if math.isnan(site.difference) else site.difference
    return {"difference": difference, "tolerance": site.tolerance, "sums": list(site.sums)}


def _describe_tokens(tokens: Tokens) -> dict[str, Any]:
    end, gaps = 0, []
    for span in tokens.spans:
        gaps.append(span is None or span[0] > end)
        end = end if span is None else span[1]
    return {"text": list(tokens.text), "special": list(tokens.special), "gap": gaps}
