"""Take the tokens of a text away, those scored highest first, and ask the model again.

Required: curves are the model's own answers to texts with tokens replaced; what is wrong with a request is
said before the model is asked; memory stays within what was granted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import factorial

import numpy as np
import torch

from jtviz.capture import JtvizError, Trace
from jtviz.capture.part import is_int
from jtviz.capture.score import Score

from ..attribution.attribution import Attribution
from ..attribution.cost import MEMORY
from ..attribution.progress import Shown, within
from ..attribution.session import Session, opened
from ..attribution.units import Unit, checked_unit
from .chance import Measured, measured
from .curves import counts_at, grid
from .faithfulness import FEW, Faithfulness
from .places import Replaced, absent_tokens, checked_same, groups_of, places_of
from .ranks import highest

FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5)
"""The shares of a text that ERASER takes away (DeYoung et al. 2020, section 4.2)."""
ALL_ORDERS = 120
"""Orders, at most, that are compared with all of them: those of five units."""
MORE = 20
"""Random orders of a short text, at least."""
POINTS = 25
"""Points of a curve, about, where a text has more tokens."""

NOT_DIFFERENTIATED = 3
"""By how much it is quicker to ask a model than to ask and differentiate it, about."""


@dataclass(frozen=True)
class Removal:
    """How tokens are taken away; see `faithfulness`, which says what each means."""

    baseline: str | None = None
    fractions: tuple[float, ...] = FRACTIONS
    orders: int = 10
    unit: Unit = "token"
    points: int = POINTS
    memory: int = MEMORY
    seed: int = 0


def faithfulness(
    trace: Trace,
    attribution: Attribution,
    *,
    baseline: str | None = None,
    fractions: Sequence[float] = FRACTIONS,
    orders: int = 10,
    unit: Unit = "token",
    points: int = POINTS,
    memory: int = MEMORY,
    seed: int = 0,
    progress: bool | None = None,
) -> Faithfulness:
    """Take tokens away in the order of their scores, and see how the prediction changes.

    Comprehensiveness ``m(x) - m(x without r)`` and sufficiency ``m(x) - m(r alone)`` are those of ERASER
    (DeYoung et al. 2020, equations 1 and 2), where *m* is the probability of the target and *r* the share of
    the tokens that is scored highest: at least one token, rounded up. Their areas are means over the
    fractions, as in the code of its authors; the paper divides by one more. Tokens are replaced by the
    baseline, not cut out, so that positions stay. Tokens of all sides are ordered together. A long text is
    read about 35 times an order, without gradients.

    Parameters
    ----------
    trace : Trace
        That the attribution was made from.
    attribution : Attribution
        By any method.
    baseline : str, optional
        What an absent token is, as in `attribute`; the attribution's own, or the model's default.
    fractions : sequence of float
        Shares of the tokens, above 0 and at most 1.
    orders : int
        Random orders to compare with, at least 2; 20 at least for a text of at most 12 units, and all
        orders for one of at most 5.
    unit : {"token", "word", "sentence"} or list of (int, int)
        What is taken away as one; its score is the sum of its tokens'.
    points : int
        Points of the curves, about, for texts with more units than that.
    memory : int
        Bytes that one batch may take beside the model.
    seed : int
        Of the random orders.
    progress : bool, optional
        As in `attribute`.

    Returns
    -------
    Faithfulness
        In units of probability; of the number itself where it has none (a function, a difference of
        probabilities of an unknown model).

    Raises
    ------
    JtvizError
        If a number makes no sense, the attribution is of another text, or the model cannot be asked.

    Examples
    --------
    >>> import jtviz
    >>> from jtviz.analysis import attribute, faithfulness
    >>> note = "Man, 60. Has crushing chest pain. No sore throat. Lives alone."
    >>> trace = jtviz.demo.classifier().trace(note)
    >>> found = faithfulness(trace, attribute(trace, target="urgent", output="log_prob"))
    >>> found.measure, found.beats_random
    ('probability of urgent', True)
    """
    removal = Removal(baseline, checked_shares(fractions), orders, unit, points, memory, seed)
    checked_removal(removal)
    with opened(trace) as session:
        checked_same(session, attribution)
        return of_session(session, attribution, removal, progress)


def checked_removal(removal: Removal) -> None:
    """Raise if a number makes no sense."""
    for name, least in (("orders", 2), ("points", 1), ("memory", 1), ("seed", 0)):
        value = getattr(removal, name)
        if not is_int(value) or value < least:
            raise JtvizError(f"{name}= is a number, at least {least}, not {value!r}.")
    checked_unit(removal.unit)


def checked_shares(fractions: Sequence[float]) -> tuple[float, ...]:
    """Return the fractions; raise if one is none."""
    try:
        shares = tuple(map(float, fractions))
    except (TypeError, ValueError):
        shares = ()
    if not shares or not all(0 < share <= 1 for share in shares):
        raise JtvizError(f"fractions= are shares of the text, above 0 and at most 1, not {fractions!r}.")
    return shares


def of_session(session: Session, attribution: Attribution, removal: Removal, progress: Shown) -> Faithfulness:
    """Do what `faithfulness` does with a model that is open."""
    places = places_of(session, attribution.score)
    groups = groups_of(session, places, removal.unit)
    measure = measured(attribution.score)
    support = measure.support(attribution, places.scores(attribution))
    order = highest(np.array([support[members].sum() for members in groups]))
    replaced = Replaced(session, places, removal.baseline or attribution.baseline)
    size = len(groups)
    fractions = np.array(removal.fractions, dtype=np.float64)
    at = counts_at(fractions, size)
    counts = grid(size, removal.points, at)
    draw = np.random.default_rng(removal.seed)
    asked = [order, order[::-1], *orders_of(size, removal.orders, draw)]
    # Which units are absent, [orders, points, units]: the first so many of each order.
    absent = np.stack([np.argsort(one)[None, :] < counts[:, None] for one in asked])
    tokens = absent_tokens(groups, absent.reshape(-1, size), len(places))
    found = _values(session, measure, replaced, tokens, memory=removal.memory, progress=progress)
    found = found.reshape(len(asked), -1)
    # What is left when a reversed order is taken away is what an order puts in; a reversed random order is
    # a random order, so that one run serves both curves.
    deletion, insertion = found[0], found[1, ::-1]
    random_deletion, random_insertion = found[2:], found[2:, ::-1]
    whole, point = found[0, 0], np.searchsorted(counts, at)
    return Faithfulness(
        attribution=attribution,
        measure=measure.words,
        baseline=replaced.baseline.name,
        order=tuple(tuple(places.where[i] for i in groups[number]) for number in order),
        share=counts / size,
        deletion=deletion,
        insertion=insertion,
        random_deletion=random_deletion,
        random_insertion=random_insertion,
        fractions=fractions,
        comprehensiveness=whole - deletion[point],
        sufficiency=whole - insertion[point],
        random_comprehensiveness=whole - random_deletion[:, point],
        random_sufficiency=whole - random_insertion[:, point],
    )


def examples_of(session: Session, score: Score, removal: Removal) -> int:
    """Return how many texts are evaluated, about: orders can have some in common."""
    size = len(groups_of(session, places_of(session, score), removal.unit))
    counts = grid(size, removal.points, counts_at(np.array(removal.fractions, dtype=np.float64), size))
    # With all of its units, and with none, a text is the same in every order.
    return (removal.orders + 2) * max(0, len(counts) - 2) + 2


def orders_of(size: int, orders: int, draw: np.random.Generator) -> list[np.ndarray]:
    """Return the orders to compare with: all of few units, more of a short text than of a long one.

    Many of few units begin alike, so that an order can be told from random ones only by more of them; they
    are cheap, since few different texts are left of them.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> [len(orders_of(size, 10, draw)) for size in (2, 4, 5, 6, 13)]
    [2, 24, 120, 20, 10]
    """
    if size > 1 and factorial(size) <= ALL_ORDERS:
        return [np.array(one) for one in permutations(range(size))]
    return [draw.permutation(size) for _ in range(max(orders, MORE) if size <= FEW else orders)]


def _values(
    session: Session,
    measure: Measured,
    replaced: Replaced,
    absent: np.ndarray,
    *,
    memory: int,
    progress: Shown,
) -> np.ndarray:
    """Return the number without some tokens, for each row of ``[examples, places]``; equal rows once."""
    rows, back = np.unique(absent, axis=0, return_inverse=True)
    cost = session.cost(measure.score)
    cost = replace(cost, seconds=cost.seconds / NOT_DIFFERENTIATED)
    step = cost.at_once(len(rows), memory)
    words = f"faithfulness: {cost.words(len(rows), memory)}"
    found: list[float] = []
    lasts = cost.seconds * len(rows)
    with within(progress, words, len(rows), seconds=lasts) as bar, torch.no_grad():
        function = session.function(measure.score, bar)
        for start in range(0, len(rows), step):
            found += function(*replaced.vectors(rows[start : start + step])).tolist()
    return np.array(found)[back.reshape(-1)]
