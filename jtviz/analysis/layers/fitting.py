"""Linear probes, each tried on what it was not trained on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .extra import learn

STEPS = 1000
"""Of the solver, at most."""

Array = np.ndarray[Any, np.dtype[Any]]


def pipeline() -> Any:
    """Return what a probe is: standardised numbers, then logistic regression with an L2 penalty of one."""
    scaled = learn("preprocessing").StandardScaler()
    return learn("pipeline").make_pipeline(scaled, learn("linear_model").LogisticRegression(max_iter=STEPS))


def out_of_fold(x: Array, y: Array, folds: Sequence[tuple[Array, Array]]) -> tuple[Array, bool]:
    """Return what is said of each row by the probe that was not trained on it, and whether all converged.

    Parameters
    ----------
    x, y : array
        ``[units, width]`` and ``[units]``.
    folds : sequence of (train, test)
        Rows of each.
    """
    said = np.empty_like(y)
    converged = True
    for train, test in folds:
        if not len(test):
            # Groups that are very uneven can leave a part without any.
            continue
        if len(np.unique(y[train])) == 1:
            # Random labels can turn out to be all the same.
            said[test] = y[train[0]]
            continue
        fitted = pipeline()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", learn("exceptions").ConvergenceWarning)
            fitted.fit(x[train], y[train])
        converged &= int(np.max(fitted[-1].n_iter_)) < STEPS
        said[test] = fitted.predict(x[test])
    return said, converged


def clustered_error(values: Array, groups: Array) -> float:
    """Return the standard error of a mean whose values come in groups.

    The variance is that of the sums of deviations in each group, ``G / (G - 1) * sum_g s_g^2 / n^2`` (Liang &
    Zeger 1986); for groups of one it is ``std(ddof=1) / sqrt(n)``.

    Examples
    --------
    >>> values = np.array([1.0, 0.0, 1.0, 1.0])
    >>> float(round(clustered_error(values, np.arange(4)), 3)), float(round(values.std(ddof=1) / 2, 3))
    (0.25, 0.25)
    """
    sums = np.bincount(groups, weights=values - values.mean())[np.unique(groups)]
    count = len(sums)
    if count < 2:
        return float("nan")
    return float(np.sqrt(count / (count - 1) * (sums**2).sum()) / len(values))
