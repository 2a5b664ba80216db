"""How good a model is on each example: loss, accuracy, probability, BLEU, or a function of the reader's own.

Required: one number for each example, so that what is left out can be compared example by example; natural
logarithms; nothing depends on which examples share a batch.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jtviz.capture import JtvizError

from . import bleu
from .collate import Batch
from .examples import Examples

Floats = bleu.Floats


def _mean(each: Floats) -> float:
    return float(each.mean())


def _error_of_mean(each: Floats) -> float:
    return float(each.std(ddof=1) / len(each) ** 0.5)


@dataclass(frozen=True, eq=False)
class Metric:
    """How good a model is on an example.

    Attributes
    ----------
    name : str
        What it is called in a call.
    label : str
        What an axis says.
    words : str
        What it is, in a sentence.
    of : callable
        Takes a batch and what the model returned (or wrote) for it to ``[batch]``.
    is_loss : bool
        Whether lower is better.
    can_be_differentiated : bool
        Whether gradients come through; of a function of the reader's own that shows when it is called.
    needs_text : bool
        Whether the model has to write: ``batch.write(model)`` instead of ``batch.run(model)``.
    total_of, error_of : callable
        Take the numbers of all examples, ``[examples]``, to one, and to its standard error.

    Examples
    --------
    >>> metric = metric_named("accuracy")
    >>> metric.total(np.array([1.0, 0.0, 1.0, 1.0])), metric.is_loss
    (0.75, False)
    """

    name: str
    label: str
    words: str
    of: Callable[[Batch, Any], Tensor]
    is_loss: bool = False
    can_be_differentiated: bool = False
    needs_text: bool = False
    total_of: Callable[[Floats], float] = _mean
    error_of: Callable[[Floats], float] = _error_of_mean
    is_scored: bool = True

    def check(self, examples: Examples) -> None:
        """Raise if examples cannot be measured so.

        Raises
        ------
        JtvizError
            If what the model returns is not scored by this metric.
        """
        if self.needs_text:
            if examples.kind != "translation":
                raise JtvizError(f"metric {self.name!r} is of translations: choose 'loss' or 'accuracy'.")
            if any(item.reference is None for item in examples.items):
                raise JtvizError(f"metric {self.name!r} needs a tokenizer: hook the model with one.")
        if self.is_scored and examples.kind == "other":
            raise JtvizError(
                f"metric {self.name!r} needs logits of classes or tokens, and this model returns "
                f"neither: pass a function of its output and an example as metric=."
            )

    def measure(self, model: nn.Module, batch: Batch) -> Tensor:
        """Run a model on a batch (or let it write) and return what `per_example` makes of it."""
        return self.per_example(batch, batch.write(model) if self.needs_text else batch.run(model))

    def per_example(self, batch: Batch, output: Any) -> Tensor:
        """Return a number for each example, ``[batch]``, in the order of ``batch.indices``.

        Of BLEU they are the statistics of each sentence, ``[batch, 10]``.
        """
        return self.of(batch, output)

    def total(self, each: Floats) -> float:
        """Return the number of a whole data set, from those of all examples."""
        return self.total_of(np.asarray(each, dtype=np.float64))

    def standard_error(self, each: Floats) -> float:
        """Return the standard error of that number."""
        return self.error_of(np.asarray(each, dtype=np.float64))


def _loss(batch: Batch, output: Any) -> Tensor:
    return batch.mean(F.cross_entropy(batch.scored(output), batch.places.wanted, reduction="none"))


def _accuracy(batch: Batch, output: Any) -> Tensor:
    logits = batch.scored(output)
    return batch.mean(logits.argmax(-1).eq(batch.places.wanted).to(logits.dtype))


def _probability(batch: Batch, output: Any) -> Tensor:
    losses = F.cross_entropy(batch.scored(output), batch.places.wanted, reduction="none")
    return batch.mean(losses.neg().exp())


_ALL = (
    Metric(
        "loss", "loss (nats)", "negative log-likelihood of the class, or of a token of the answer", _loss,
        is_loss=True, can_be_differentiated=True,
    ),
    Metric("accuracy", "accuracy", "share of classes, or of tokens of the answer, that are right", _accuracy),
    Metric(
        "probability", "probability", "probability of the class, or of a token of the answer", _probability,
        can_be_differentiated=True,
    ),
    Metric(
        "bleu", "BLEU", "BLEU of what the model writes against the references, 0 to 100", bleu.statistics,
        needs_text=True, total_of=bleu.total, error_of=bleu.standard_error,
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""Every metric by its name."""


def metric_named(metric: str | Metric | Callable[..., Any]) -> Metric:
    """Return a metric.

    Parameters
    ----------
    metric : {"loss", "accuracy", "probability", "bleu"}, Metric or callable
        Its name; or a function of the logits of one example, ``[tokens, vocabulary]`` or ``[classes]``, and
        of the example as a mapping, that returns a number, higher for better. It can be differentiated if it
        returns a tensor that can.

    Raises
    ------
    JtvizError
        If there is none of this name, or what it needs is not installed.
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        if metric not in METRICS:
            near = difflib.get_close_matches(metric, METRICS, 1, 0.5)
            advice = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(map(repr, METRICS))}."
            raise JtvizError(f"there is no metric {metric!r}; {advice}")
        if METRICS[metric].needs_text:
            bleu.sacrebleu_here()
        return METRICS[metric]
    if not callable(metric):
        raise JtvizError(f"metric= is a name, a function or a Metric, not {type(metric).__name__}.")
    name = getattr(metric, "__name__", type(metric).__name__)
    return Metric(
        name,
        name,
        f"{name}, a function of the output and the example",
        _by_function(metric, name),
        can_be_differentiated=True,
        is_scored=False,
    )


def _by_function(function: Callable[..., Any], name: str) -> Callable[[Batch, Any], Tensor]:
    def of(batch: Batch, output: Any) -> Tensor:
        numbers = []
        for index, logits, item in zip(batch.indices, batch.each(output), batch.items, strict=True):
            number = function(logits, item.given)
            try:
                made = torch.as_tensor(number)
            except (TypeError, ValueError, RuntimeError):
                made = torch.empty(0)
            if made.numel() != 1:
                raise JtvizError(
                    f"example {index}: metric {name!r} returned no number: return one for each example."
                )
            numbers.append(made.reshape(()).to(logits.device, torch.promote_types(made.dtype, torch.float32)))
        return torch.stack(numbers)

    return of


__all__ = ["METRICS", "Metric", "metric_named"]
