"""Attention as weighed by the reader's choice, by layer and head, whole or in parts.

Required: a part equals the same part of the whole; what is followed through all layers (rollout,
relevance) is computed once a trace.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from jtviz.analysis import LONGEST, WEIGHTINGS, relevance, rollout
from jtviz.analysis.weighted import value_lengths
from jtviz.capture import Trace
from jtviz.capture.errors import JtvizError

THROUGH = {
    "rollout": "attention followed down to the input: the product of (A + I) / 2 of this layer and those "
    "below, mean over heads",
    "relevance": "what the target rests on: positive attention times gradient, followed through all layers",
}
"""What is followed through all layers, and so has no heads, in plain words."""

ALL = {**WEIGHTINGS, **THROUGH}


class Source:
    """Weights of one trace, by layer, head, query and key.

    Parameters
    ----------
    trace : Trace
        Whose attention.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._lengths: dict[tuple[str, str, int], Tensor] = {}
        self._followed: dict[tuple[str, str, int], Tensor] = {}

    def offered(self) -> dict[str, str]:
        """Return for each weighting of this trace why it cannot be had, or an empty string."""
        return {name: "" if name == "raw" else self._lack(name) for name in ALL}

    def heads(self, weighting: str, stage: str, layer: int) -> int:
        """Return how many patterns a layer has under a weighting: what is followed has one."""
        return 1 if weighting in THROUGH else self.trace.heads(stage, layer)

    def tile(
        self,
        weighting: str,
        stage: str,
        layer: int,
        heads: Sequence[int],
        *,
        rows: slice | list[int],
        cols: slice | None = None,
    ) -> Tensor:
        """Return weights ``[heads, rows, cols]``, float32; `heads` of what is followed is ignored.

        Raises
        ------
        JtvizError
            If there is no such stage or the trace lacks what the weighting needs.
        OutOfRangeError
            If there is no such weighting, layer, head or token.
        """
        trace = self.trace
        if weighting in THROUGH:
            found = self._through(weighting, stage, layer)
            return found[rows][:, cols if cols is not None else slice(None)][None]
        weights = trace.attention(stage, layer=layer, head=list(heads), rows=rows, cols=cols)
        if weighting == "gradient":
            return weights.mul_(trace.gradient(stage, layer=layer, head=list(heads), rows=rows, cols=cols))
        if weighting == "raw":
            return weights
        name = (weighting, stage, layer)
        if name not in self._lengths:
            self._lengths[name] = value_lengths(trace, weighting, stage, layer)
        lengths = self._lengths[name][list(heads)]
        return weights * lengths[:, None, cols if cols is not None else slice(None)]

    def _through(self, weighting: str, stage: str, layer: int) -> Tensor:
        # Relevance is of the whole model.
        name = (weighting, stage, layer if weighting == "rollout" else 0)
        if name not in self._followed:
            if weighting == "rollout":
                self._followed[name] = rollout(self.trace, stage, layer)
            else:
                found = relevance(self.trace)
                for part in self.trace.stages:
                    self._followed[weighting, part, 0] = getattr(found, part)
        return self._followed[name]

    def _lack(self, weighting: str) -> str:
        """Return one sentence if the trace has not what a weighting needs, found without computing it."""
        trace = self.trace
        try:
            if weighting in THROUGH:
                longest = max(map(len, trace.tokens.values()))
                if longest > LONGEST:
                    return f"computed up to {LONGEST:,} tokens; this text has {longest:,}"
            if weighting in {"gradient", "relevance"}:
                return "" if trace.target is not None else "needs a trace with gradients: pass target="
            if weighting in {"value", "output"}:
                stage = trace.stages[0]
                if not trace.site(stage, 0).value.numel():
                    return "needs the values, which this trace did not keep"
                if weighting == "output":
                    trace.output_projection(stage, 0)
        except JtvizError as error:
            return str(error)
        return ""
