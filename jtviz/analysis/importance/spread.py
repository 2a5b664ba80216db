"""How far a number over a data set would vary with other examples.

Required: differences are paired, example by example; what is no mean over examples (BLEU) is drawn again and
again (Koehn 2004, *Statistical significance tests for machine translation evaluation*), from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .metrics import METRICS, Metric
from .opened import Numbers
from .result import Number

DRAWS = 500


def number_of(metric: Metric, each: Numbers) -> Number:
    """Return a metric over a data set, from its numbers of each example; one example has no spread."""
    error = metric.standard_error(each) if len(each) > 1 else float("nan")
    return Number(metric.total(each), error)


def standard_errors(each: Numbers) -> Numbers:
    """Return the standard error of the mean over examples, ``[..]`` of ``[.., examples]``.

    Examples
    --------
    >>> standard_errors(np.array([[1.0, 3.0], [2.0, 2.0]]))
    array([1., 0.])
    """
    count = each.shape[-1]
    if count < 2:
        return np.full(each.shape[:-1], np.nan)
    found: Numbers = each.std(axis=-1, ddof=1) / np.sqrt(count)
    return found


def worse(metric: Metric, intact: float | Numbers, ablated: float | Numbers) -> Numbers:
    """Return by how much a metric is worse."""
    return np.asarray(ablated - intact if metric.is_loss else intact - ablated, dtype=float)


def is_mean(metric: Metric) -> bool:
    """Return whether a metric over a data set is the mean of its examples."""
    return metric.total_of is METRICS["loss"].total_of


@dataclass(frozen=True, eq=False)
class Drops:
    """By how much a metric is worse without each of several masks.

    Attributes
    ----------
    means : array
        Over the data set, ``[masks]``.
    each : array or None
        Of each example, ``[masks, examples]``, where the metric is their mean.
    drawn : array or None
        Of each data set that was drawn, ``[masks, draws]``, where it is not.
    """

    means: Numbers
    each: Numbers | None
    drawn: Numbers | None

    def errors(self, weights: Numbers | None = None) -> Numbers:
        """Return standard errors of the drops, or of sums of them with these weights, ``[sums, masks]``."""
        rows = self.drawn if self.each is None else self.each
        if rows is None:
            return np.full(len(self.means if weights is None else weights), np.nan)
        summed: Numbers = rows if weights is None else weights @ rows
        if self.each is not None:
            return standard_errors(summed)
        found: Numbers = summed.std(axis=1, ddof=1)
        return found


def drops(metric: Metric, intact: Numbers, ablated: Numbers, seed: int) -> Drops:
    """Return by how much a metric is worse.

    Parameters
    ----------
    metric : Metric
        What was measured.
    intact, ablated : array
        Its numbers of each example, ``[examples]`` and ``[masks, examples]``.
    seed : int
        Of the bootstrap, where it is no mean.
    """
    if is_mean(metric):
        each = worse(metric, intact, ablated)
        return Drops(each.mean(-1), each, None)
    values = worse(metric, metric.total(intact), np.array([metric.total(one) for one in ablated]))
    if len(intact) < 2:
        return Drops(values, None, None)
    # The same examples are drawn for all: differences are paired.
    rows = np.random.default_rng(seed).integers(len(intact), size=(DRAWS, len(intact)))
    totals = np.array([metric.total(intact[drawn]) for drawn in rows])
    again = [[metric.total(one[drawn]) for drawn in rows] for one in ablated]
    return Drops(values, None, worse(metric, totals, np.array(again).reshape(-1, DRAWS)))


__all__ = ["Drops", "Number", "drops", "is_mean", "number_of", "standard_errors", "worse"]
