"""A trace whose model can be run again with parts of it switched off.

Required: the reader's model is left to itself: a twin of it runs, on the same weights; nothing is computed
twice for one trace that need not be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jtviz.analysis.attribution import attribute
from jtviz.capture import JtvizError, Trace
from jtviz.capture.asfound import as_found
from jtviz.capture.generation import generate_ids
from jtviz.capture.intervention.ablation import Mask, checked_mode
from jtviz.capture.intervention.edits import Edit
from jtviz.capture.intervention.intervention import Intervention
from jtviz.capture.intervention.learning import Reference, prepared_of, several
from jtviz.capture.intervention.means import Means, mean_outputs
from jtviz.capture.intervention.places import HeadPlace, UnitPlace
from jtviz.capture.reading import checked_single
from jtviz.capture.score import chosen, first_logits
from jtviz.capture.target import TargetLike, precise

from .again import Again
from .effect import Effect, Part, Together
from .moved import moved
from .says import Question, Said, divergences, likeness, question, said, written


class Ablating:
    """What switching parts off changes of what a model makes of one text.

    Parameters
    ----------
    trace : Trace
        Of a model that is still there.
    target : optional
        Whose probability is followed, as in `HookedTransformer.trace`.
    reference : optional
        Texts, or inputs of the forward, that means are over; the text itself if left out.

    Raises
    ------
    JtvizError
        If the trace has no model, or it is gone, or changed.

    Examples
    --------
    >>> import jtviz
    >>> ablating = Ablating(jtviz.demo.classifier().trace("Man, 60. Has crushing chest pain."))
    >>> effect = ablating.effect(Mask(heads=(("encoder", 0, 1),)))
    >>> effect.intact.value != effect.ablated.value
    True
    """

    def __init__(
        self, trace: Trace, target: TargetLike = None, *, reference: Reference | None = None
    ) -> None:
        if trace.reading is None or trace.places is None:
            raise JtvizError(
                "this trace was loaded or made from arrays, and has no model to ablate: trace it anew."
            )
        checked_single(trace.reading.prepared)
        self.trace, self.places, self.reading = trace, trace.places, trace.reading
        model = self.reading.model
        self.asked: Question = question(trace, model, target)
        self._target = target
        given = several(reference)
        self._reference = [prepared_of(model, self.reading.tokenizer, one) for one in given]
        self._means: Means | None = None
        self._intact: Said | None = None
        self._alone: dict[tuple[str, Mask], float] = {}
        self._gradients: dict[HeadPlace | UnitPlace, np.ndarray] | None = None

    @contextmanager
    def opened(self, mask: Mask, mode: str = "zero") -> Iterator[nn.Module]:
        """Yield a twin of the model in which a mask is off."""
        checked_mode(mode)
        with self.reading.twin() as twin, as_found(twin), torch.no_grad():
            if not len(mask):
                yield twin
                return
            means = self.means(twin) if mode == "mean" else None
            heads, units = mask.edits(self.places, means)
            words = f"traced with parts switched off ({mode} ablation): {mask.words}"
            with Intervention(twin, self.places, heads, units, words=words):
                yield twin

    def means(self, model: nn.Module) -> Means:
        """Return what each part puts out on average over the tokens of the reference."""
        if self._means is None:
            readings = self._reference or [self.reading.prepared]
            self._means = mean_outputs(model, self.places, readings)
        return self._means

    def ablated(self, mask: Mask, mode: str = "zero") -> tuple[Trace, str]:
        """Return a trace of the same tokens without what is off, and what is written without it."""
        with self.opened(mask, mode) as twin:
            trace = self.reading.traced(twin, self._differentiated)
            return trace, written(twin, self.trace, generate_ids)

    @property
    def _differentiated(self) -> Callable[[Any], Tensor] | None:
        """What the trace differentiates, of the output of a twin; None where it has no gradients."""
        target = self.trace.target
        if target is None or target.index is None:
            return None
        row = target.row
        pick = first_logits if row is None else lambda output: first_logits(output)[:, row]
        of = chosen(pick, target.index, target.output)
        return lambda output: of(output)[0]

    @property
    def intact(self) -> Said:
        """What the intact model says."""
        if self._intact is None:
            with self.opened(Mask()) as twin:
                text = written(twin, self.trace, generate_ids)
            self._intact = said(self.asked, self.trace, text, self.trace)
        return self._intact

    def effect(self, mask: Mask, mode: str = "zero") -> Effect:
        """Return what switching a mask off changes.

        Raises
        ------
        JtvizError
            If the model is gone or was changed.
        OutOfRangeError
            If there is no such head or unit.
        """
        begin = time.perf_counter()
        trace, text = self.ablated(mask, mode)
        rows = divergences(self.asked, self.trace.logits, trace.logits)
        return Effect(
            mask=mask,
            mode=mode,
            asked=self.asked,
            intact=said(self.asked, self.trace, self.intact.text, self.trace, trace),
            ablated=said(self.asked, trace, text, self.trace, self.trace),
            divergence=tuple(rows.tolist()),
            moved=moved(self.trace, trace),
            trace=trace,
            notes=tuple(n for n in trace.notes if n not in self.trace.notes and "switched off" not in n),
            seconds=time.perf_counter() - begin,
        )

    def alone(self, mask: Mask, mode: str = "zero") -> float:
        """Return how far the output is off without a mask: `Question.distance`, mean over rows."""
        key = (mode, mask)
        if key not in self._alone:
            with self.opened(mask, mode) as twin:
                self._alone[key] = self._divergence(twin)
        return self._alone[key]

    def seconds(self) -> float:
        """Return how long the model takes to read the text once, about."""
        with self.opened(Mask()) as twin:
            begin = time.perf_counter()
            self._divergence(twin)
            return time.perf_counter() - begin

    def every_head(self, mode: str = "zero") -> dict[str, np.ndarray]:
        """Return for each stage what switching each head off alone changes, ``[layers, heads]``.

        The numbers are `Question.distance`.
        """
        found = {stage: self.empty(stage) for stage in self.trace.stages}
        with self.opened(Mask()) as twin:
            means = self.means(twin) if mode == "mean" else None
            for place in self.places.heads:
                edit = Edit(torch.ones(place.heads), None if means is None else means[place])
                with Intervention(twin, self.places, {place: edit}):
                    for head in range(place.heads):
                        edit.keep[head] = 0
                        value = self._divergence(twin)
                        edit.keep[head] = 1
                        found[place.stage][place.layer, head] = value
                        self._alone[mode, Mask(heads=((place.stage, place.layer, head),))] = value
        return found

    def gradients(self) -> dict[HeadPlace | UnitPlace, np.ndarray]:
        """Return to first order what the log-probability followed loses without each head and unit.

        The gradient with respect to a mask (Michel et al. 2019, equation 2), from one backward pass.
        """
        if self._gradients is None:
            with self.reading.twin() as twin, as_found(twin, gradients=True):
                heads = {p: Edit(torch.ones(p.heads, requires_grad=True)) for p in self.places.heads}
                units = {p: Edit(torch.ones(p.units, requires_grad=True)) for p in self.places.units}
                with Intervention(twin, self.places, heads, units):
                    number = self._followed(twin)
                keeps: dict[HeadPlace | UnitPlace, Tensor] = {p: edit.keep for p, edit in heads.items()}
                keeps |= {p: edit.keep for p, edit in units.items()}
                found = torch.autograd.grad(number, list(keeps.values()), materialize_grads=True)
            self._gradients = {place: gradient.numpy() for place, gradient in zip(keeps, found, strict=True)}
        return self._gradients

    def by_gradient(self) -> dict[str, np.ndarray]:
        """Return `gradients` of the heads of each stage, ``[layers, heads]``."""
        found = {stage: self.empty(stage) for stage in self.trace.stages}
        for place in self.places.heads:
            found[place.stage][place.layer, : place.heads] = self.gradients()[place]
        return found

    def units(self, side: str, layer: int) -> np.ndarray:
        """Return `gradients` of the feed-forward units of a layer, ``[units]``."""
        return self.gradients()[self.places.unit(side, layer)]

    def together(self, mask: Mask, mode: str = "zero") -> Together:
        """Return how parts back each other up: what each changes alone, two by two, and all of them.

        Raises
        ------
        JtvizError
            If fewer than two heads or units are off.
        """
        parts = [Part("head", *one) for one in mask.heads] + [Part("unit", *one) for one in mask.units]
        if len(parts) < 2:
            raise JtvizError("switch at least two heads or units off to see how they back each other up.")
        shown = parts[: Together.MOST]
        alone = [self.alone(part.mask, mode) for part in parts] if len(parts) <= 64 else []
        pairs = {
            (i, j): self.alone(shown[i].mask | shown[j].mask, mode)
            for i in range(len(shown))
            for j in range(i + 1, len(shown))
        }
        return Together(tuple(parts), tuple(alone), self.alone(mask, mode), pairs, self.asked.unit)

    def explained(self, mask: Mask, mode: str = "zero", *, method: str = "integrated_gradients") -> Again:
        """Return the explanation of what is followed by the intact model, and taken again without a mask.

        Of a whole answer the token is explained whose prediction moved most.

        Raises
        ------
        JtvizError
            If the method does not exist, or the model cannot be explained by it.
        """
        target = self._target if self.asked.target is not None else {"row": self._row_explained(mask, mode)}
        if self.asked.kind == "next" and self._target is None:
            target = {"row": self.asked.rows[0]}
        intact = attribute(self.trace, method, target=target, progress=False)
        same: Any = intact.score.target.index
        if intact.score.target.row is not None:
            same = {"row": intact.score.target.row, "token": intact.score.target.index}
        with self.opened(mask, mode) as twin:
            reading = self.reading.by(twin)
            trace = reading.traced(twin)
            trace.reading = reading
            ablated = attribute(trace, method, target=same, progress=False)
        return Again(mask, intact, ablated)

    def _row_explained(self, mask: Mask, mode: str) -> int:
        """Return the row of an answer whose prediction moved most."""
        rows = self.effect(mask, mode).divergence
        return self.asked.rows[int(np.argmax(rows))] if rows else self.asked.rows[0]

    def empty(self, stage: str) -> np.ndarray:
        """Return a number for each head of a stage that is not known yet, ``[layers, heads]`` of NaN."""
        layers = self.trace.layers(stage)
        return np.full((layers, max(self.trace.heads(stage, layer) for layer in range(layers))), np.nan)

    def _logits(self, output: object) -> Tensor | None:
        """Return the logits of a forward of the twin as the trace has them; None where it has none."""
        if self.trace.logits is None:
            return None
        return first_logits(output)[0]

    def _divergence(self, twin: nn.Module) -> float:
        prepared = self.reading.prepared
        output = twin(*prepared.args, **prepared.kwargs)
        logits = self._logits(output)
        if logits is None:
            return 1 - self._likeness(twin)
        if self.asked.choice == "number" and self.trace.logits is not None:
            return float((precise(logits) - precise(self.trace.logits)).abs().sum())
        return float(divergences(self.asked, self.trace.logits, logits).mean())

    def _likeness(self, twin: nn.Module) -> float:
        return likeness(self.trace, self.reading.traced(twin))

    def _followed(self, twin: nn.Module) -> Tensor:
        """Return the log-probability (or number) that is followed, to be differentiated."""
        prepared = self.reading.prepared
        logits = self._logits(twin(*prepared.args, **prepared.kwargs))
        if logits is None:
            raise JtvizError("this model returns no logits that could be differentiated.")
        log = self.asked.log(logits)
        target = self.asked.target
        if target is not None and target.index is not None:
            return log[target.index] if target.row is None else log[target.row, target.index]
        following = prepared.following_ids or ()
        return torch.stack([log[row, following[row]] for row in self.asked.rows]).mean()
