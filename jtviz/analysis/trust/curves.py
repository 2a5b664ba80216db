"""Points, areas and spreads of the curves that are drawn as tokens are taken away.

Required: a figure never stands alone; it comes with the mean and the spread of random orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

NEARLY_ALL = 0.95
"""The share of random orders that an order must beat to be called better.

A share and not a number of standard deviations: figures of random orders of a short text are mostly near
nothing and sometimes near everything, so that the best of all orders can be within two of their mean.
"""


@dataclass(frozen=True, eq=False)
class Compared:
    """A figure of an order, and of random orders.

    Attributes
    ----------
    value : float
        Of the order.
    random : ndarray
        ``[orders]``, of random ones.
    better : {1, -1}
        Whether high or low is good.
    """

    value: float
    random: np.ndarray
    better: int

    def __repr__(self) -> str:
        """Say the figure and what it compares with."""
        return f"Compared({self.value:.4g}; random orders {self.mean:.4g} ± {self.spread:.2g})"

    def __float__(self) -> float:
        return float(self.value)

    @property
    def mean(self) -> float:
        """Mean over random orders."""
        return float(self.random.mean())

    @property
    def spread(self) -> float:
        """Standard deviation over random orders."""
        return float(self.random.std(ddof=1))

    @property
    def deviations(self) -> float:
        """How many standard deviations better than random orders; negative if worse, 0 if all are equal."""
        ahead = self.better * (float(self.value) - self.mean)
        # Rounding is no spread: where no order matters, none is better.
        if self.spread <= _ROUNDING * max(1.0, abs(self.mean)):
            far = abs(ahead) > _ROUNDING * max(1.0, abs(self.mean))
            return float(np.copysign(np.inf, ahead)) if far else 0.0
        return ahead / self.spread

    @property
    def beaten(self) -> float:
        """The share of random orders that are worse; an equal one counts half."""
        ahead = self.better * (float(self.value) - self.random)
        even = np.abs(ahead) <= _ROUNDING
        return float(np.where(even, 0.5, ahead > 0).mean())

    @property
    def is_better(self) -> bool:
        """Whether it is better than `NEARLY_ALL` random orders."""
        return self.beaten >= NEARLY_ALL

    @property
    def verdict(self) -> str:
        """How it compares, in words."""
        orders = len(self.random)
        beaten = f"{self.beaten * orders:g} of {orders}"
        far = f"{self.deviations:+.1f} standard deviations"
        if self.is_better:
            return f"better than random order ({far}, and better than {beaten})"
        if self.beaten <= 1 - NEARLY_ALL:
            return f"worse than random order ({far}, and better than {beaten})"
        return f"not clearly better than random order ({far}, and better than {beaten})"


_ROUNDING = 1e-6


def counts_at(fractions: np.ndarray, size: int) -> np.ndarray:
    """Return how many of `size` units a fraction is: rounded up, at least one.

    Examples
    --------
    >>> counts_at(np.array([0.01, 0.1, 0.5]), 30)
    array([ 1,  3, 15])
    """
    # 0.07 of 100 is 7.000000000000001 in floating point.
    return np.clip(np.ceil(fractions * size - 1e-9), 1, size).astype(np.int64)


def grid(size: int, points: int, at: np.ndarray) -> np.ndarray:
    """Return the numbers of units at which a curve has a point, ascending.

    About as many as asked, none and all among them, and those in `at`; with each also what it leaves, so
    that a curve read backwards has the same points.

    Examples
    --------
    >>> grid(10, 2, np.array([1]))
    array([ 0,  1,  5,  9, 10])
    """
    even = np.linspace(0, size, min(size, points) + 1).round().astype(np.int64)
    found = np.concatenate([even, at])
    return np.unique(np.concatenate([found, size - found]))


def area(share: np.ndarray, values: np.ndarray) -> Any:
    """Return the area under curves ``[..., points]``, by the trapezoidal rule.

    Examples
    --------
    >>> float(area(np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.5, 0.0])))
    0.5
    """
    return ((values[..., 1:] + values[..., :-1]) / 2 * np.diff(share)).sum(-1)
