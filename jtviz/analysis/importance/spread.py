"""How far a number over a data set would vary with other examples.

Required: differences are paired, example by example; what is no mean over examples (BLEU) is drawn again and
again (Koehn 2004, *Statistical significance tests for machine translation evaluation*), from a seed.
"""

from __future__ import annotations

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


def difference(metric: Metric, intact: Numbers, ablated: Numbers, seed: int) -> tuple[Numbers, Numbers]:
    """Return by how much a metric is worse, and the standard error of that.

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
        return each.mean(-1), standard_errors(each)
    whole = metric.total(intact)
    values = worse(metric, whole, np.array([metric.total(one) for one in ablated]))
    if len(intact) < 2:
        return values, np.full(len(values), np.nan)
    drawn = np.random.default_rng(seed).integers(len(intact), size=(DRAWS, len(intact)))
    totals = np.array([metric.total(intact[rows]) for rows in drawn])
    again = np.array([[metric.total(one[rows]) for rows in drawn] for one in ablated]).reshape(-1, DRAWS)
    return values, worse(metric, totals, again).std(axis=1, ddof=1)


__all__ = ["Number", "difference", "is_mean", "number_of", "standard_errors", "worse"]
