"""Switching heads off in the attention view: its panel "Switch off". Twin: js/src/panels/prune.ts.

Required: what is drawn, returned and saved as the attention of the pruned model is of exactly what is off;
without the panel nothing is computed.
"""

from __future__ import annotations

import threading
from typing import Any

import traitlets as t

from jtviz.analysis.ablation import Ablating, Effect
from jtviz.capture import JtvizError, Mask, Trace

from .masks import Masks
from .outcomes import outcome_of
from .tiles import TileServer

KEPT = 4
"""Pruned traces whose tiles may still be asked for."""


class Switching(Masks):
    """The part of an attention view that switches heads off."""

    outcome = t.Dict().tag(sync=True)
    """What switching off changed."""

    draws = t.Enum(("intact", "pruned"), "intact").tag(sync=True, echo_update=False)
    """Whose attention is drawn: ``"intact"``, or ``"pruned"`` where something is off."""

    busy_pruning = t.Unicode().tag(sync=True)
    """What is being computed; empty when nothing is."""

    pruning_problem = t.Unicode().tag(sync=True)
    """Why what was chosen could not be computed; empty when it could."""

    trace: Trace
    _server: TileServer
    _ablating: Ablating | None = None
    _version = 0

    def _begin_switching(self, trace: Trace) -> None:
        """Let a trace that has a model be pruned."""
        self._places = trace.places if trace.reading is not None else None
        self._working = threading.Lock()
        self.observe(self._prune, ("history", "at", "ablation"))

    @property
    def effect(self) -> Effect:
        """What switching off changed, as numbers.

        Raises
        ------
        JtvizError
            If the trace has no model, or it could not be computed; the sentence says why.
        """
        self._known()
        self._prune()
        if self._effect is None or not self._is_current:
            raise JtvizError(self.pruning_problem or "what was chosen is not computed yet.")
        return self._effect

    @property
    def drawn(self) -> Trace:
        """The trace whose attention is drawn: of the pruned model, where `draws` says so and some is off."""
        return self._drawn_server.trace

    @property
    def _drawn_server(self) -> TileServer:
        if self.draws == "pruned" and len(self.off) and self._is_current:
            return self._server.versions[self._version]
        return self._server

    def _prune(self, _: Any = None) -> None:
        # What is chosen meanwhile, in another thread, is looked at when this is done.
        while not self._is_current and self._working.acquire(blocking=False):
            tried: tuple[Mask, str] | None = None
            try:
                tried = self.off, self.ablation
                self._compute_effect(*tried)
            except Exception as error:  # noqa: BLE001 - whatever went wrong is said in the view
                self.pruning_problem = str(error) or type(error).__name__
            finally:
                self.busy_pruning = ""
                self._working.release()
            if self.pruning_problem and tried in {None, (self.off, self.ablation)}:
                return

    def _compute_effect(self, mask: Mask, mode: str) -> None:
        self.pruning_problem, self.busy_pruning = "", "running the model without them …"
        if self._ablating is None:
            self._ablating = Ablating(self.trace)
        effect = self._ablating.effect(mask, mode)
        self._version += 1
        versions = self._server.versions
        versions[self._version] = TileServer(effect.trace, self._server.send)
        for old in sorted(versions)[:-KEPT]:
            versions.pop(old).cancel()
        self._effect = effect
        self.outcome = outcome_of(effect, self._version)
