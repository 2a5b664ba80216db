"""How much an attribution depends on what an absent token is taken to be.

Required: everything but the baseline stays the same; a baseline that the model does not have is left out
with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from jtviz.capture import JtvizError, Trace

from ..attribution.attribution import Attribution
from ..attribution.baselines import BASELINES
from ..attribution.cost import MEMORY
from ..attribution.how import How, checked_how
from ..attribution.methods import METHODS
from ..attribution.session import Session, opened
from ..attribution.units import Unit
from .chance import measured
from .places import Places, checked_same, places_of
from .ranks import checked_scipy, correlations, highest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """The same attribution from several baselines.

    Attributes
    ----------
    baselines : tuple of str
        What an absent token was, the attribution's own first.
    attributions : tuple of Attribution
        One for each.
    places : Places
        The tokens that are compared: those that a baseline replaces.
    correlation : ndarray
        ``[baselines, baselines]``: Spearman's rank correlation of the signed scores; NaN where all scores
        of one are equal.
    first : tuple of (str, int)
        For each baseline the side and index of the token that supports the target most.
    left_out : dict of str to str
        Baselines that could not be used, and why.
    """

    baselines: tuple[str, ...]
    attributions: tuple[Attribution, ...]
    places: Places
    correlation: np.ndarray
    first: tuple[tuple[str, int], ...]
    left_out: Mapping[str, str]

    def __repr__(self) -> str:
        """Say what was found."""
        return f"Sensitivity({self.words})"

    @property
    def lowest(self) -> float:
        """The lowest correlation of two baselines; NaN if none is known."""
        pairs = self.correlation[np.triu_indices(len(self.baselines), 1)]
        return float(np.nanmin(pairs)) if np.isfinite(pairs).any() else float("nan")

    @property
    def words(self) -> str:
        """How much the baseline matters, in one sentence."""
        text = dict(zip(self.places.where, self.places.text, strict=True))
        if len(set(self.first)) == 1:
            top = f"{text[self.first[0]]} is first with every baseline"
        else:
            each = zip(self.baselines, self.first, strict=True)
            top = "which token is first depends on the baseline: " + ", ".join(
                f"{text[place]} ({name})" for name, place in each
            )
        return f"{top}; the ranks of two baselines correlate by {self.lowest:.2f} or more."

    def to_pandas(self) -> pd.DataFrame:
        """Return the rank correlations, baselines by baselines."""
        import pandas as pd

        return pd.DataFrame(self.correlation, index=self.baselines, columns=self.baselines)


def baseline_sensitivity(
    trace: Trace,
    attribution: Attribution,
    baselines: Sequence[str] = BASELINES,
    *,
    n_steps: int | None = None,
    n_samples: int = 25,
    window: int = 3,
    unit: Unit = "token",
    memory: int = MEMORY,
    seed: int = 0,
    progress: bool | None = None,
) -> Sensitivity:
    """Compute an attribution again from other baselines, and compare the ranks of its tokens.

    Which baseline is right is a question about the reader's question, and no figure answers it; ranks that
    change with the baseline say that the answer does (Sturmfels et al. 2020, *Visualizing the impact of
    feature attribution baselines*).

    Parameters
    ----------
    trace : Trace
        That the attribution was made from.
    attribution : Attribution
        By a method that has a baseline.
    baselines : sequence of str
        As in `attribute`; the attribution's own is always among them.
    n_steps : int, optional
        As in `attribute`; as many as the attribution has, if left out.
    n_samples, window, unit, memory, seed, progress
        As in `attribute`.

    Returns
    -------
    Sensitivity
        Correlations from -1 to 1, over tokens that are not special.

    Raises
    ------
    JtvizError
        If the method has no baseline, the attribution is of another text, fewer than two baselines can be
        used, or scipy is not installed.

    Examples
    --------
    >>> import jtviz
    >>> from jtviz.analysis import attribute, baseline_sensitivity
    >>> trace = jtviz.demo.classifier().trace("Man, 60. Has crushing chest pain.")
    >>> found = baseline_sensitivity(trace, attribute(trace, target="urgent"), ("pad", "zero"))
    >>> found.baselines, found.correlation.shape
    (('pad', 'zero'), (2, 2))
    """
    checked_scipy()
    checked_method(attribution)
    if isinstance(baselines, str) or not all(isinstance(name, str) for name in baselines):
        raise JtvizError(f"baselines= is a list such as {list(BASELINES)}, not {baselines!r}.")
    steps = attribution.n_steps or 50 if n_steps is None else n_steps
    how = How(
        attribution.method, n_steps=steps, n_samples=n_samples, window=window, unit=unit, memory=memory,
        seed=seed,
    )  # fmt: skip
    checked_how(how)
    with opened(trace) as session:
        checked_same(session, attribution)
        return sensitivity_of(session, attribution, baselines, how, progress)


def checked_method(attribution: Attribution) -> None:
    """Raise if a method has no baseline."""
    if not attribution.method.has_baseline:
        others = ", ".join(repr(name) for name, method in METHODS.items() if method.has_baseline)
        raise JtvizError(f"{attribution.method.label} has no baseline to vary: those that have are {others}.")


def sensitivity_of(
    session: Session, attribution: Attribution, baselines: Sequence[str], how: How, progress: bool | None
) -> Sensitivity:
    """Do what `baseline_sensitivity` does with a model that is open."""
    checked_method(attribution)
    places = places_of(session, attribution.score)
    own = [] if attribution.baseline is None else [attribution.baseline]
    found: dict[str, Attribution] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys([*own, *baselines]):
        try:
            session.baseline(name)
        except JtvizError as error:
            left_out[name] = str(error)
            continue
        found[name] = session.attribute(attribution.score, replace(how, baseline=name), progress=progress)
    if len(found) < 2:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise JtvizError(f"name at least two baselines that this model has ({reasons or 'one was named'}).")
    measure = measured(attribution.score)
    rows = [places.scores(one) for one in found.values()]
    first = [int(highest(measure.support(attribution, row))[0]) for row in rows]
    return Sensitivity(
        tuple(found),
        tuple(found.values()),
        places,
        correlations(rows),
        tuple(places.where[place] for place in first),
        left_out,
    )
