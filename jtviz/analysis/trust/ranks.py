"""How far two lists of scores agree: by rank, and by what is on top.

Required: scipy's own rank correlation (ties share their mean rank); where one of two lists is all the same
there is no rank, and the answer is NaN, never zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jtviz.capture import JtvizError


def checked_scipy() -> None:
    """Raise if scipy is not there.

    Raises
    ------
    JtvizError
        If scipy is not installed.
    """
    try:
        import scipy.stats  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        raise JtvizError(
            "ranks are compared by scipy: install it with `pip install jtviz[explain]`."
        ) from None


def correlations(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return Spearman's rank correlation of each pair of rows, ``[rows, rows]``.

    Examples
    --------
    >>> correlations([np.array([1.0, 2.0, 3.0]), np.array([9.0, 5.0, 0.0])])
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    return np.array([[correlation(a, b) for b in rows] for a in rows])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation of two lists, NaN where one of them has no ranks."""
    from scipy.stats import spearmanr

    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def overlaps(rows: Sequence[np.ndarray], k: int) -> np.ndarray:
    """Return the share of the `k` highest that each pair of rows has in common, ``[rows, rows]``.

    Examples
    --------
    >>> overlaps([np.array([3.0, 2.0, 1.0]), np.array([3.0, 1.0, 2.0])], 2)
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    tops = [set(highest(row)[:k].tolist()) for row in rows]
    return np.array([[len(a & b) / max(1, len(a)) for b in tops] for a in tops])


def highest(row: np.ndarray) -> np.ndarray:
    """Return the places of a row, the highest number first; of equal ones the earlier first."""
    return np.argsort(-row, kind="stable")
