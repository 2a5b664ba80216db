"""A trace whose model is open: numbers of its output, and what they are attributed to.

Required: memory stays within what was granted; the model is as it was found, also after an interruption.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jtviz.capture import JtvizError, Trace
from jtviz.capture.chance import seeded
from jtviz.capture.flow import tensors
from jtviz.capture.reading import Forward, Reading, checked_single
from jtviz.capture.score import Score, score
from jtviz.capture.target import Outcome, TargetLike, precise

from . import by_attention, by_captum
from .attribution import TOLERANCE, Attribution
from .baselines import Baseline, default_baseline, make_baseline
from .checks import checked_baseline, checked_finite, checked_gradient, checked_scores, is_quantized
from .cost import Cost, measure
from .how import BY_SAMPLES, BY_STEPS, How, examples
from .progress import Progress, Shown, within
from .units import unit_numbers

MOST_STEPS = 400
"""Steps or samples, at most, when they are raised because the scores do not sum to what they should."""


@contextmanager
def opened(trace: Trace) -> Iterator[Session]:
    """Open the model of a trace for attribution, and leave it as it was found.

    Raises
    ------
    JtvizError
        If the trace has no model, or its model is gone or changed; or it is of several texts.
    """
    if trace.reading is None:
        raise JtvizError(
            "this trace was loaded or made from arrays, and has no model to attribute with: trace it anew."
        )
    checked_single(trace.reading.prepared)
    with trace.reading.opened() as forward:
        yield Session(trace, trace.reading, forward)


class Session:
    """A trace whose model is open: numbers of its output, and what they are attributed to.

    Made by `opened`, and good inside of it.
    """

    def __init__(self, trace: Trace, reading: Reading, forward: Forward) -> None:
        self.trace, self.reading, self.forward = trace, reading, forward
        names = list(trace.tokens)
        self.sides: dict[str, str] = {"source": names[0]} | ({"target": "decoder"} if len(names) > 1 else {})
        """What the sides of the reading are called in the trace."""
        self._baselines: dict[str, Baseline] = {}
        self._cost: Cost | None = None

    @property
    def tokens(self) -> dict[str, Any]:
        """The tokens by the sides of the reading."""
        return {side: self.trace.tokens[name] for side, name in self.sides.items()}

    def score(self, target: TargetLike, output: str, against: TargetLike = None) -> Score:
        """Return what is explained."""
        output_of_model = self.forward.output
        if callable(target):
            # A reader's own function is asked whether it can be differentiated; nothing else needs that.
            with torch.enable_grad():
                given = {side: v.detach().requires_grad_() for side, v in self.forward.vectors.items()}
                output_of_model = self.forward(given)
        found = score(replace(self.outcome(), output=output_of_model), target, output, against)
        checked_finite(found)
        return found

    def outcome(self) -> Outcome:
        """Return what the model returned for the text itself."""
        prepared, trace = self.reading.prepared, self.trace
        return Outcome(
            model=self.forward.model,
            output=self.forward.output,
            logits=trace.logits if trace.logits is not None and trace.logits.ndim == 2 else None,
            following=prepared.following_ids,
            read=prepared.read,
            tokenizer=self.reading.tokenizer,
            side="target" if "target" in self.sides else "source",
            is_decoder="decoder" in trace.tokens,
            answer=prepared.answer,
            example=0,
        )

    def baseline(self, name: str | None) -> Baseline:
        """Return the vectors of a baseline, by its name."""
        name = name or default_baseline(self.reading.tokenizer, self.forward)
        if name not in self._baselines:
            self._baselines[name] = make_baseline(name, self.forward, self.tokens, self.reading.tokenizer)
        return self._baselines[name]

    def function(self, wanted: Score, progress: Progress | None = None) -> Callable[..., Tensor]:
        """Return the function from the vectors of each side, ``[batch, tokens, width]``, to ``[batch]``."""
        sides = list(self.forward.vectors)
        # Captum's noise and mixing are in float32, whatever a model of half precision reads.
        dtypes = [own.dtype for own in self.forward.vectors.values()]

        def of(*vectors: Tensor) -> Tensor:
            cast = [one.to(dtype) for one, dtype in zip(vectors, dtypes, strict=True)]
            given = dict(zip(sides, cast, strict=True))
            if wanted.target.output != "function":
                found = wanted.of(self.forward(given))
            else:
                # A reader's own function knows of one example only.
                each = range(len(vectors[0]))
                found = torch.cat(
                    [wanted.of(self.forward({s: v[i : i + 1] for s, v in given.items()})) for i in each]
                )
            if progress is not None:
                progress.advance(len(vectors[0]))
            return found

        return of

    def values(self, wanted: Score, batches: Iterator[tuple[Tensor, ...]]) -> list[float]:
        """Return the number of each example of each batch."""
        function = self.function(wanted)
        with torch.no_grad():
            return [value for vectors in batches for value in function(*vectors).tolist()]

    def cost(self, wanted: Score) -> Cost:
        """Return what one example costs; measured once."""
        if self._cost is None:
            weights = [*self.forward.model.parameters(), *self.forward.model.buffers()]
            with torch.enable_grad():
                vectors = self.forward.vectors.values()
                gradient = not is_quantized(self.forward.model)
                found = measure(self.function(wanted), *vectors, weights=weights, gradient=gradient)
            # What the model returns (logits, which can be most of it) is there too, and then its gradient.
            returned = sum(tensor.nbytes for tensor in tensors(self.forward.output))
            self._cost = replace(found, nbytes=found.nbytes + 2 * returned)
        return self._cost

    def attribute(self, wanted: Score, how: How, *, progress: Shown = None) -> Attribution:
        """Attribute one number; see the function `attribute`."""
        checked_finite(wanted)
        if how.method.kind != "attention":
            by_captum.load()
        begin = time.perf_counter()
        if how.method.kind == "attention":
            found = self._by_attention(wanted, how)
            if isinstance(progress, Progress):
                progress.advance(1)
        else:
            found = self._by_captum(wanted, how, progress)
            name = "n_steps" if how.method.name in BY_STEPS else "n_samples"
            count = asked = getattr(how, name)
            while how.raise_steps and found.n_steps and not found.is_complete and count < MOST_STEPS:
                count = min(MOST_STEPS, 2 * count)
                found = self._by_captum(wanted, replace(how, **{name: count}), progress)
            found = _said(found, asked)
        return replace(found, seconds=time.perf_counter() - begin)

    def seconds(self, wanted: Sequence[Score], how: How) -> float:
        """Return how long it will take, about."""
        if how.method.kind == "attention" or not wanted:
            return 0.0
        return self.cost(wanted[0]).seconds * self.examples(how) * len(wanted)

    def examples(self, how: How) -> int:
        """Return how many examples are evaluated for one number."""
        return examples(how, self.trace) * max(1, len(self._layers()) if how.method.kind == "layer" else 1)

    def attribute_all(
        self, wanted: Sequence[Score], how: How, *, progress: bool | None = None
    ) -> list[Attribution]:
        """Attribute several numbers, one after the other, with one bar for all."""
        if len(wanted) == 1:
            return [self.attribute(wanted[0], how, progress=progress)]
        found = []
        words = f"{how.method.label} of {len(wanted)} outputs"
        lasts = self.seconds(wanted, how)
        with Progress(words, len(wanted), shown=progress, seconds=lasts) as bar:
            for one in wanted:
                found.append(self.attribute(one, how, progress=False))
                bar.advance(1)
        return found

    def _by_captum(self, wanted: Score, how: How, progress: Shown) -> Attribution:
        method, baseline = how.method, self.baseline(how.baseline)
        vectors = tuple(self.forward.vectors.values())
        units = unit_numbers(list(self.tokens.values()), how.unit, [len(v[0]) for v in vectors])
        layers = self._layers() if method.kind == "layer" else []
        value = None
        if method.has_baseline:
            value = self.values(wanted, iter([tuple(baseline.vectors.values())]))[0]
            checked_baseline(wanted, baseline.name, value)
        if method.kind != "perturbation":
            checked_gradient(self.forward.model, self.cost(wanted), how.method)
        cost = self.cost(wanted)
        total = self.examples(how)
        words = f"{method.label}: {cost.words(total, how.memory)}"
        with within(progress, words, total, seconds=cost.seconds * total) as bar:
            problem = by_captum.Problem(
                self.function(wanted, bar),
                self.forward.model,
                vectors,
                tuple(baseline.vectors.values()),
                layers,
                units,
                how.n_steps,
                how.n_samples,
                cost.at_once(examples(how, self.trace), how.memory),
                how.window,
                how.noise,
            )
            is_random = method.name in BY_SAMPLES
            drawn = seeded(how.seed, self.forward.model) if is_random else nullcontext()
            with drawn, torch.set_grad_enabled(method.kind != "perturbation"):
                parts = by_captum.RUN[method.name](problem)
        found = dict(zip(self.sides.values(), (_numbers(part) for part in parts), strict=True))
        checked_scores(wanted, method, found)
        stacked = {side: rows for side, rows in found.items() if rows.ndim == 2}
        # Of the first layer, where a token is still most its own; in the last a classifier has all in one.
        scores = {side: rows[0] if rows.ndim == 2 and len(rows) else rows for side, rows in found.items()}
        return Attribution(
            self.trace.tokens,
            scores,
            stacked or None,
            method,
            wanted,
            baseline.name if method.has_baseline else None,
            value,
            self._points(how),
        )

    @staticmethod
    def _points(how: How) -> int | None:
        if how.method.name in BY_STEPS:
            return how.n_steps
        return how.n_samples if how.method.name in BY_SAMPLES else None

    def _by_attention(self, wanted: Score, how: How) -> Attribution:
        trace = self.trace
        if how.method.name in by_attention.NEED_GRADIENTS:
            checked_gradient(self.forward.model, self.cost(wanted), how.method)
            trace = self._with_gradients(wanted, how)
        parts = by_attention.RUN[how.method.name](trace, wanted.target.row)
        scores = {
            side: _numbers(parts[side]) if side in parts else np.zeros(len(tokens), np.float32)
            for side, tokens in trace.tokens.items()
        }
        return Attribution(trace.tokens, scores, None, how.method, wanted, None, None, None)

    def _with_gradients(self, wanted: Score, how: How) -> Trace:
        """Return a trace of the same reading that has the gradient of what is explained.

        A method that keeps what is positive has to see what supports: minus the loss.
        """
        sign = -1 if wanted.target.output == "loss" and not how.method.is_signed else 1

        def number(output: Any) -> Tensor:
            return sign * wanted.of(output)[0]

        return self.reading.traced(self.forward.model, number)

    def _layers(self) -> list[tuple[int, nn.Module]]:
        """Return the module of each block, with the number of the side whose tokens it reads."""
        out: list[tuple[int, nn.Module]] = []
        modules = dict(self.forward.model.named_modules())
        for number, name in enumerate(self.sides.values()):
            paths = self.trace.block_paths(name)
            if len(set(paths)) != len(paths):
                raise JtvizError(
                    "this model runs one block as several layers, which cannot be told apart here: choose a "
                    "method that is not by layer."
                )
            out += [(number, modules[path]) for path in paths]
        return out


def _numbers(part: Tensor) -> np.ndarray:
    return precise(part.detach().cpu()).numpy()


def _said(found: Attribution, asked: int) -> Attribution:
    notes = []
    if found.n_steps and found.n_steps > asked:
        points = "steps" if found.method.name in BY_STEPS else "samples"
        notes.append(f"{found.n_steps} {points} instead of {asked}, so that the scores sum up")
    if not found.is_complete:
        notes.append(
            f"the scores are off by {found.relative_delta:.0%} of what they should sum to (at most "
            f"{TOLERANCE:.0%} is asked): trust them less"
        )
    return replace(found, notes=(*found.notes, *notes))
