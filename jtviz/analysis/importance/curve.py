"""How a model fares as more and more of its heads are switched off.

Required: orders by importance stand beside random ones; the ends are the intact model and one without heads;
a measurement is not made twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.capture.intervention.ablation import Mask, Mode
from jtviz.capture.part import is_int

from ..drawn import Drawn
from .examples import SIZE
from .importance import MetricLike, Request, checked_methods, measured, prepared, with_progress
from .opened import Numbers, opened
from .result import Head, HeadImportance, Number
from .spread import number_of

if TYPE_CHECKING:
    import pandas as pd

POINTS = 24
"""Of a curve, where a model has more heads; with fewer there is one for each."""


@dataclass(frozen=True, eq=False)
class PruningCurve(Drawn):
    """The metric against the share of heads that are off. Made by `pruning_curve`.

    Attributes
    ----------
    counts, shares : array
        How many heads are off at each point, ``[points]``, and which share of all that is.
    values, errors : mapping of str to array
        By method the metric, ``[points]``, and its standard error over examples.
    random : array
        The metric in random orders, ``[draws, points]``.
    orders : mapping of str to tuple of (str, int, int)
        By method the heads in the order in which they are switched off.
    metric, label, is_loss, mode
        As in `HeadImportance`.
    intact : Number
        The metric of the whole model.
    n : int
        Examples.
    importance : HeadImportance
        What the orders come from.
    of : {"heads", "units"}
        What is switched off.
    notes : tuple of str
        What has to be known of the numbers.
    """

    counts: np.ndarray[Any, np.dtype[np.int64]]
    shares: Numbers
    values: Mapping[str, Numbers] = field(repr=False)
    errors: Mapping[str, Numbers] = field(repr=False)
    random: Numbers = field(repr=False)
    orders: Mapping[str, tuple[Head, ...]] = field(repr=False)
    metric: str
    label: str
    is_loss: bool
    mode: str
    intact: Number
    n: int
    importance: HeadImportance = field(repr=False)
    of: str = "heads"
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Say what was measured."""
        by = ", ".join(self.values) or "no method"
        return (
            f"PruningCurve({self.counts[-1]} {self.of} by {by} and {len(self.random)} random orders; "
            f"{self.label} over {self.n} examples)"
        )

    @property
    def random_mean(self) -> Numbers:
        """The mean over random orders, ``[points]``; NaN without any."""
        if not len(self.random):
            return np.full(len(self.counts), np.nan)
        found: Numbers = self.random.mean(0)
        return found

    @property
    def random_deviation(self) -> Numbers:
        """The standard deviation over random orders, ``[points]``; NaN with fewer than two."""
        if len(self.random) < 2:
            return np.full(len(self.counts), np.nan)
        found: Numbers = self.random.std(0, ddof=1)
        return found

    def mask(self, method: str, share: float) -> Mask:
        """Return the mask with this share of heads (or units) off, in a method's order.

        Raises
        ------
        OutOfRangeError
            If there is no such curve.
        JtvizError
            If it is no share.
        """
        if method not in self.orders:
            raise OutOfRangeError(f"there is no curve by {method!r}: choose from {', '.join(self.orders)}.")
        given: Any = share
        if not isinstance(given, int | float) or not 0 <= given <= 1:
            raise JtvizError(f"share is a share of the {self.of}, 0 to 1, not {share!r}.")
        order = self.orders[method]
        return _mask(self.of, order[: round(share * len(order))])

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a method and point: method, heads (or units) off, share, value and error.

        The rows of ``"random"`` have the mean over draws, and their standard deviation as the error.
        """
        import pandas as pd

        rows: dict[str, tuple[Numbers, Numbers]] = {
            method: (values, self.errors[method]) for method, values in self.values.items()
        }
        if len(self.random):
            rows["random"] = self.random_mean, self.random_deviation
        tables = [
            pd.DataFrame(
                {"method": name, self.of: self.counts, "share": self.shares, "value": values, "error": errors}
            )
            for name, (values, errors) in rows.items()
        ]
        if not tables:
            return pd.DataFrame(columns=["method", self.of, "share", "value", "error"])
        return pd.concat(tables, ignore_index=True)


def pruning_curve(
    model: Any,
    dataset: Any,
    importance: HeadImportance | None = None,
    *,
    of: str = "heads",
    metric: MetricLike = "loss",
    methods: str | Sequence[str] | None = None,
    steps: int | Sequence[float] | None = None,
    draws: int = 5,
    mode: Mode = "zero",
    batch_size: int = SIZE,
    tokenizer: Any = None,
    progress: bool | None = None,
    seed: int = 0,
) -> PruningCurve:
    """Switch more and more heads off, the least important first, and measure what is left.

    The model is not trained again between steps (as Michel et al. 2019, section 4, do not), and heads are
    ranked once, on the intact model. A curve flatters where importance was measured on the same examples:
    give other ones to `head_importance`.

    Parameters
    ----------
    model, dataset, metric, mode, batch_size, tokenizer, progress
        As in `head_importance`.
    importance : HeadImportance, optional
        Says the orders; measured on the same data set if left out.
    of : {"heads", "units"}
        What is switched off: attention heads, or feed-forward units, in the order of ``"taylor"``.
    methods : str or list of str, optional
        By which orders: all that `importance` has, or ``"exact"`` and ``"gradient"``.
    steps : int or list of float, optional
        Points, evenly spread; or shares that are off. If left out every number of heads up to 24, else 24
        points.
    draws : int
        Random orders beside.
    seed : int
        Of random orders.

    Returns
    -------
    PruningCurve
        The metric at each point.

    Raises
    ------
    JtvizError
        One sentence for whatever is wrong with the request.

    Examples
    --------
    >>> import jtviz
    >>> notes = [("Has a runny nose.", "can wait"), ("Has crushing chest pain.", "urgent")]
    >>> curve = pruning_curve(jtviz.demo.classifier(), notes, methods="gradient", draws=2)
    >>> curve.shares[:3], curve.random.shape
    (array([0.   , 0.125, 0.25 ]), (2, 9))
    """
    if not is_int(draws) or draws < 0:
        raise JtvizError(f"draws= is a number of random orders, at least 0, not {draws!r}.")
    if of not in ("heads", "units"):
        raise JtvizError(f"of= is 'heads' or 'units', not {of!r}.")
    if importance is not None and not isinstance(importance, HeadImportance):
        raise JtvizError(
            f"importance= is what head_importance returned, not {type(importance).__name__}: leave it out."
        )
    names = _checked(importance, methods) if of == "heads" else _checked_units(importance, methods)
    hooked, examples, chosen = prepared(
        model, dataset, metric=metric, mode=mode, batch_size=batch_size, tokenizer=tokenizer, seed=seed
    )
    with opened(hooked, examples, batch_size) as session:
        if importance is None:
            importance = measured(session, names, Request(chosen, mode, seed, progress, is_all=False))
        if set(importance.heads) != set(session.heads):
            raise JtvizError("importance= is of another model: its heads are not this one's.")
        ranked = {
            name: importance.ranking(name) if of == "heads" else importance.unit_ranking() for name in names
        }
        orders = {name: tuple((s, layer, i) for s, layer, i, _ in parts) for name, parts in ranked.items()}
        parts = session.heads if of == "heads" else tuple(sorted(orders["taylor"]))
        counts = _counts(steps, len(parts))
        generator = np.random.default_rng(seed)
        shuffled = [tuple(parts[i] for i in generator.permutation(len(parts))) for _ in range(draws)]
        masks = {
            order: [_mask(of, order[:count]) for count in counts] for order in (*orders.values(), *shuffled)
        }
        different = dict.fromkeys(mask for row in masks.values() for mask in row if len(mask))
        intact, ablated = with_progress(session, chosen, [*different], session.means(mode), shown=progress)
    numbers = {mask: number for number, mask in enumerate(different)}
    whole = number_of(chosen, intact)
    found = [number_of(chosen, each) for each in ablated]
    by_order = {
        order: np.array([found[numbers[mask]] if len(mask) else whole for mask in row])
        for order, row in masks.items()
    }
    return PruningCurve(
        counts=counts,
        shares=counts / len(parts),
        values={name: by_order[order][:, 0] for name, order in orders.items()},
        errors={name: by_order[order][:, 1] for name, order in orders.items()},
        random=np.array([by_order[order][:, 0] for order in shuffled]).reshape(draws, len(counts)),
        orders=orders,
        metric=chosen.name,
        label=chosen.label,
        is_loss=chosen.is_loss,
        mode=mode,
        intact=whole,
        n=len(examples),
        importance=importance,
        of=of,
        notes=tuple(dict.fromkeys((*examples.notes, *importance.notes))),
    )


def _checked(importance: HeadImportance | None, methods: Any) -> tuple[str, ...]:
    """Return the methods by which heads are ordered, or raise if one cannot."""
    if methods is None:
        return ("exact", "gradient") if importance is None else importance.head_methods
    if importance is not None and methods != "all":
        wanted = [methods] if isinstance(methods, str) else list(methods)
        return tuple(importance.checked(name) for name in wanted)
    if importance is not None:
        return importance.head_methods
    names = checked_methods(methods)
    if "taylor" in names and methods != "all":
        raise JtvizError("'taylor' is of feed-forward units, and this is a curve of heads: leave it out.")
    return tuple(name for name in names if name != "taylor")


def _checked_units(importance: HeadImportance | None, methods: Any) -> tuple[str, ...]:
    """Return the method by which units are ordered, or raise if they cannot be."""
    wanted = [methods] if methods is None or isinstance(methods, str) else list(methods)
    if wanted not in ([None], ["all"], ["taylor"]):
        raise JtvizError(f"feed-forward units are ordered by 'taylor', not {methods!r}: leave methods= out.")
    if importance is not None:
        importance.unit_ranking()  # they were measured, or it says so
    return ("taylor",)


def _mask(of: str, parts: tuple[Head, ...]) -> Mask:
    return Mask(heads=parts) if of == "heads" else Mask(units=parts)


def _counts(steps: Any, heads: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return how many heads are off at each point, from none to all."""
    if steps is None:
        steps = heads + 1 if heads <= POINTS else POINTS
    if is_int(steps) and steps >= 2:
        shares = np.linspace(0, 1, steps)
    elif isinstance(steps, list | tuple | np.ndarray) and len(steps):
        shares = np.array(
            [share if isinstance(share, int | float) else np.nan for share in steps], dtype=float
        )
    else:
        shares = np.array([np.nan])
    if not ((shares >= 0) & (shares <= 1)).all():
        raise JtvizError(
            f"steps= is a number of points, at least 2, or a list of shares, 0 to 1, not {steps!r}."
        )
    found: np.ndarray[Any, np.dtype[np.int64]] = np.unique(np.round(shares * heads).astype(np.int64))
    return found


__all__ = ["PruningCurve", "pruning_curve"]
