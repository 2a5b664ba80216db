"""How important each head is, by one or several methods.

Required: what is known is kept example by example; numbers, not views; it can be pickled without the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.capture.intervention.ablation import Mask
from jtviz.capture.part import is_int

from ..drawn import Drawn
from .opened import Numbers

if TYPE_CHECKING:
    import pandas as pd

Head = tuple[str, int, int]
"""Stage, layer and head."""

METHODS: dict[str, str] = {
    "exact": "how much worse the metric is without the head",
    "greedy": "how much worse the metric is when the head goes, after all that matter less",
    "gradient": "how much the loss changes without the head, to first order (Michel et al. 2019)",
    "taylor": "how much the loss changes without a feed-forward unit, to first order (Molchanov et al. 2017)",
    "confidence": "the largest attention weight of a query, on average (Voita et al. 2019)",
}
"""Every method, and what its number is. ``"taylor"`` is of units, the others are of heads."""


class Number(NamedTuple):
    """A number over a data set, and its standard error."""

    value: float
    error: float


@dataclass(frozen=True, eq=False)
class HeadImportance(Drawn):
    """How important each head is. Made by `head_importance`.

    It can be pickled.

    Attributes
    ----------
    heads : tuple of (str, int, int)
        Stage, layer and head of each head, in the order of the rows of `per_example`.
    methods : tuple of str
        What was measured; keys of `METHODS`.
    metric : str
        What importance is measured by; `label` is what an axis says, `is_loss` whether lower is better.
    mode : {"zero", "mean"}
        What stood in for a head that was off.
    intact : Number
        The metric of the whole model, with its standard error; NaN where it was not needed.
    n : int
        Examples.
    values, spread : mapping of str to array
        By method ``[heads]``: importance, and its standard error over examples.
    per_example : mapping of str to array
        By method ``[heads, examples]``, in the order of the data set. Of ``"exact"`` how much worse each
        example is without the head (of BLEU that of a sentence is not defined, and it is left out); of
        ``"gradient"`` the first-order change with its sign.
    units : mapping of str to array, or None
        By stage ``[layers, units]``, where ``"taylor"`` was asked for; NaN where a layer has fewer.
    unit_errors : mapping of str to array, or None
        Their standard errors.
    notes : tuple of str
        What has to be known of the numbers, one sentence each.

    Examples
    --------
    >>> import jtviz
    >>> notes = [("Has a runny nose.", "can wait"), ("Has crushing chest pain.", "urgent")]
    >>> found = jtviz.head_importance(jtviz.demo.classifier(), notes, method="gradient")
    >>> found.scores()["encoder"].shape, found.n
    ((2, 4), 2)
    """

    heads: tuple[Head, ...]
    methods: tuple[str, ...]
    metric: str
    label: str
    is_loss: bool
    mode: str
    intact: Number
    n: int
    values: Mapping[str, Numbers] = field(repr=False)
    spread: Mapping[str, Numbers] = field(repr=False)
    per_example: Mapping[str, Numbers] = field(repr=False)
    units: Mapping[str, Numbers] | None = field(repr=False, default=None)
    unit_errors: Mapping[str, Numbers] | None = field(repr=False, default=None)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Say what was measured."""
        by = ", ".join(self.methods)
        return f"HeadImportance({len(self.heads)} heads by {by}; {self.label} over {self.n} examples)"

    @property
    def head_methods(self) -> tuple[str, ...]:
        """The methods that rank heads."""
        return tuple(method for method in self.methods if method in self.values)

    def scores(self, method: str | None = None) -> dict[str, Numbers]:
        """Return the importance of each head.

        Parameters
        ----------
        method : str, optional
            One of `methods`; the first that ranks heads if left out.

        Returns
        -------
        dict of str to array
            By stage ``[layers, heads]``; NaN where a layer has fewer heads than another.

        Raises
        ------
        JtvizError
            If heads were not measured by it.
        """
        return self.laid(self.values[self.checked(method)])

    def errors(self, method: str | None = None) -> dict[str, Numbers]:
        """Return the standard errors of `scores` over examples; they are paired for ``"exact"``."""
        return self.laid(self.spread[self.checked(method)])

    @property
    def signed(self) -> dict[str, Numbers]:
        """How much worse the metric is without each head, to first order: ``"gradient"`` with its sign."""
        self.checked("gradient")
        return self.laid(self.per_example["gradient"].mean(1))

    def laid(self, values: Numbers) -> dict[str, Numbers]:
        """Return numbers of each head by stage, ``[layers, heads]``."""
        out = {}
        for stage in dict.fromkeys(stage for stage, _, _ in self.heads):
            own = [(layer, head) for s, layer, head in self.heads if s == stage]
            table = np.full(np.max(own, axis=0) + 1, np.nan)
            for (s, layer, head), value in zip(self.heads, values, strict=True):
                if s == stage:
                    table[layer, head] = value
            out[stage] = table
        return out

    def ranking(self, method: str | None = None) -> list[tuple[str, int, int, float]]:
        """Return stage, layer, head and importance, the least important first."""
        values = self.values[self.checked(method)]
        return [(*self.heads[i], float(values[i])) for i in np.argsort(values, kind="stable")]

    def unit_ranking(self) -> list[tuple[str, int, int, float]]:
        """Return stage, layer, feed-forward unit and importance, the least important first.

        Raises
        ------
        JtvizError
            If units were not measured.
        """
        if self.units is None:
            raise JtvizError("feed-forward units were not measured: measure again with method='taylor'.")
        found = [
            (stage, layer, unit, float(table[layer, unit]))
            for stage, table in self.units.items()
            for layer, unit in np.argwhere(np.isfinite(table)).tolist()
        ]
        return sorted(found, key=lambda one: one[3])

    def mask(self, fraction: float, method: str | None = None) -> Mask:
        """Return the mask that switches the least important share of all heads (or units) off.

        Parameters
        ----------
        fraction : float
            0 to 1, rounded to whole heads.
        method : str, optional
            One of `methods`; the first that ranks heads if left out. ``"taylor"`` gives feed-forward units.

        Raises
        ------
        JtvizError
            If it is no share, or heads were not measured by the method.

        Examples
        --------
        >>> import jtviz
        >>> notes = [("Has a runny nose.", "can wait"), ("Has crushing chest pain.", "urgent")]
        >>> found = jtviz.head_importance(jtviz.demo.classifier(), notes, method="gradient")
        >>> len(found.mask(0.25))
        2
        """
        given: Any = fraction
        if not isinstance(given, int | float) or not 0 <= given <= 1:
            raise JtvizError(f"fraction is a share of the heads, 0 to 1, not {fraction!r}.")
        if method == "taylor":
            units = self.unit_ranking()
            return Mask(
                units=tuple((s, layer, i) for s, layer, i, _ in units[: round(fraction * len(units))])
            )
        count = round(fraction * len(self.heads))
        return Mask(heads=tuple((s, layer, head) for s, layer, head, _ in self.ranking(method)[:count]))

    def agreement(self) -> pd.DataFrame:
        """Return Spearman's rank correlation of each pair of methods that rank heads.

        Raises
        ------
        JtvizError
            If scipy is not installed.
        """
        import pandas as pd

        from ..trust.ranks import checked_scipy, correlations

        checked_scipy()
        names = list(self.head_methods)
        return pd.DataFrame(correlations([self.values[name] for name in names]), index=names, columns=names)

    def misranked(self, k: int = 5, one: str = "gradient", other: str = "exact") -> pd.DataFrame:
        """Return the heads that two methods rank most differently.

        Parameters
        ----------
        k : int
            How many.
        one, other : str
            The methods.

        Returns
        -------
        pandas.DataFrame
            Stage, layer, head, both numbers and both ranks (1 is the most important); those with the largest
            difference of ranks first.

        Raises
        ------
        JtvizError
            If heads were not measured by one of them, or `k` is no number of heads.
        """
        import pandas as pd

        if not is_int(k) or k < 1:
            raise JtvizError(f"k is a number of heads, at least 1, not {k!r}.")
        table = pd.DataFrame(list(self.heads), columns=["stage", "layer", "head"])
        ranks = []
        for method in (one, other):
            table[method] = self.values[self.checked(method)]
            ranks.append(table[method].rank(ascending=False, method="first").astype(int))
        for method, rank in zip((one, other), ranks, strict=True):
            table[f"rank_{method}"] = rank
        order = np.argsort(-np.abs(ranks[0] - ranks[1]).to_numpy(), kind="stable")[:k]
        return table.iloc[order].reset_index(drop=True)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a head: stage, layer, head, and of each method its number and standard error."""
        import pandas as pd

        table = pd.DataFrame(list(self.heads), columns=["stage", "layer", "head"])
        for method in self.head_methods:
            table[method] = self.values[method]
            table[f"{method}_error"] = self.spread[method]
        return table

    def checked(self, method: str | None) -> str:
        """Return a method by which heads were measured.

        Raises
        ------
        JtvizError
            If they were not.
        """
        known = self.head_methods
        if method is None and known:
            return known[0]
        if method not in known:
            measured = ", ".join(map(repr, known)) or "none"
            raise OutOfRangeError(
                f"heads were not measured by {method!r}: choose from {measured}, or measure again with "
                f"method={method or 'exact'!r}."
            )
        return method
