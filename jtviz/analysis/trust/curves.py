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

MOST = 0.75
"""The share that is enough for an order that no random order beats.

Of a text of few units no order may reach `NEARLY_ALL`: others begin with the same units, and are as good.
"""

ALIKE = 0.01
"""The share of what random orders span within which two figures are as good: which of the tokens that do not
matter goes before which says nothing of an order."""


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
    is_short : bool
        Whether the text has so few units that even the best order may be told from no random one.
    """

    value: float
    random: np.ndarray
    better: int
    is_short: bool = False

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
        """The share of random orders that are worse; one that is as good (`ALIKE`) counts half."""
        worse, equal, _ = self._shares(float(self.value))
        return worse + equal / 2

    @property
    def is_better(self) -> bool:
        """Whether it is better than `NEARLY_ALL` random orders, or beaten by none and better than `MOST`.

        Examples
        --------
        >>> Compared(3.0, np.array([3.0, 2.0, 1.0, 0.0, 1.0, 2.0]), 1).is_better
        True
        >>> Compared(2.0, np.array([3.0, 2.0, 1.0, 0.0, 1.0, 2.0]), 1).is_better
        False
        """
        return self._is_better(float(self.value))

    @property
    def is_worse(self) -> bool:
        """Whether it is worse by the same measure."""
        worse, equal, better = self._shares(float(self.value))
        return worse + equal / 2 <= 1 - NEARLY_ALL or (worse == 0 and better >= MOST)

    @property
    def is_too_short(self) -> bool:
        """Whether the text is so short that not even the best order would be called better.

        Examples
        --------
        >>> Compared(1.0, np.array([1.0, 0.0]), 1, is_short=True).verdict
        'too short to tell (+0.7 standard deviations, and better than 1 of 2, as good as 1)'
        """
        best = self.better * max(self.better * float(self.value), *(self.better * self.random))
        return self.is_short and not self._is_better(float(best)) and not self.is_worse

    def _is_better(self, value: float) -> bool:
        worse, equal, better = self._shares(value)
        return worse + equal / 2 >= NEARLY_ALL or (better == 0 and worse >= MOST)

    def _shares(self, value: float) -> tuple[float, float, float]:
        """Return the shares of random orders that are worse than a figure, as good, and better."""
        ahead = self.better * (value - self.random)
        equal = np.abs(ahead) <= max(_ROUNDING, ALIKE * float(np.ptp(self.random)))
        return tuple(float(one.mean()) for one in ((ahead > 0) & ~equal, equal, (ahead < 0) & ~equal))  # type: ignore[return-value]

    @property
    def verdict(self) -> str:
        """How it compares, in words."""
        orders = len(self.random)
        worse, equal, _ = (round(share * orders) for share in self._shares(float(self.value)))
        alike = f", as good as {equal}" if equal and worse else ""
        far = f"({self.deviations:+.1f} standard deviations, and better than {worse} of {orders}{alike})"
        if self.is_better:
            return f"better than random order {far}"
        if self.is_worse:
            return f"worse than random order {far}"
        if self.is_too_short:
            return f"too short to tell {far}"
        return f"not clearly better than random order {far}"


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
