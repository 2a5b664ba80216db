"""Whether several methods say the same of one prediction.

Required: every method explains the same number of the same text; a method that cannot is left out with the
reason, and the others are compared all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from jtviz.capture import JtvizError, Trace
from jtviz.capture.part import is_int
from jtviz.capture.score import Score
from jtviz.capture.target import TargetLike, checked_output

from ..attribution.attribution import Attribution, method_named
from ..attribution.cost import MEMORY
from ..attribution.how import How, checked_how
from ..attribution.session import Session, opened
from ..attribution.units import Unit
from .places import Places, places_of
from .ranks import checked_scipy, correlations, overlaps

if TYPE_CHECKING:
    import pandas as pd

COMPARED = (
    "saliency_l2", "input_x_gradient", "integrated_gradients", "deep_lift", "feature_ablation",
    "attention_x_gradient", "rollout", "relevance",
)  # fmt: skip
"""One method of each kind: what is quick, and differs in what it asks of the model."""
TOP = 3
"""Tokens that the overlap looks at, unless said otherwise."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """What several methods say of one number.

    Attributes
    ----------
    methods : tuple of str
        Those that could be computed.
    attributions : tuple of Attribution
        One for each.
    places : Places
        The tokens that are compared: those that are not special.
    correlation : ndarray
        ``[methods, methods]``: Spearman's rank correlation of the absolute scores.
    signed : ndarray
        The same of the signed scores; NaN where a method has no sign.
    overlap : ndarray
        ``[methods, methods]``: the share of the `k` tokens with the highest absolute scores that two methods
        have in common.
    k : int
        How many tokens that is.
    left_out : dict of str to str
        Methods that could not be computed, and why.
    """

    methods: tuple[str, ...]
    attributions: tuple[Attribution, ...]
    places: Places
    correlation: np.ndarray
    signed: np.ndarray
    overlap: np.ndarray
    k: int
    left_out: Mapping[str, str]

    def __repr__(self) -> str:
        """Say what was found."""
        return f"Agreement({self.words})"

    @property
    def by_method(self) -> dict[str, float]:
        """For each method its mean correlation with the others; NaN if it has none."""
        off = np.where(np.eye(len(self.methods), dtype=bool), np.nan, self.correlation)
        return {
            name: float(np.nanmean(row)) if np.isfinite(row).any() else float("nan")
            for name, row in zip(self.methods, off, strict=True)
        }

    @property
    def words(self) -> str:
        """How far the methods agree, in one sentence."""
        pairs = self.correlation[np.triu_indices(len(self.methods), 1)]
        known = pairs[np.isfinite(pairs)]
        if not len(known):
            return "no two methods rank the tokens at all."
        means = {name: mean for name, mean in self.by_method.items() if np.isfinite(mean)}
        odd = min(means, key=lambda name: means[name])
        label = self.attributions[self.methods.index(odd)].method.label
        return (
            f"the ranks of {len(self.methods)} methods correlate by {known.mean():.2f} on average, from "
            f"{known.min():.2f} to {known.max():.2f}; {label} agrees least with the others."
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return the rank correlations of absolute scores, methods by methods."""
        import pandas as pd

        return pd.DataFrame(self.correlation, index=self.methods, columns=self.methods)


def agreement(
    trace: Trace,
    methods: Sequence[str] = COMPARED,
    *,
    target: TargetLike = None,
    output: str = "logit",
    against: TargetLike = None,
    baseline: str | None = None,
    n_steps: int = 50,
    n_samples: int = 25,
    window: int = 3,
    unit: Unit = "token",
    k: int = TOP,
    memory: int = MEMORY,
    seed: int = 0,
    progress: bool | None = None,
) -> Agreement:
    """Attribute one number by several methods, and compare the ranks of the tokens.

    Absolute scores are compared, since saliency, rollout and relevance have no sign: a token that speaks
    strongly against the target is as high there as one that speaks for it. Where both of two methods have a
    sign, `Agreement.signed` compares that too. Methods that agree may be wrong together, and those that
    disagree answer different questions (Krishna et al. 2024, *The disagreement problem*); what disagreement
    says is that one picture is not the answer.

    Parameters
    ----------
    trace : Trace
        Of a model that is still there.
    methods : sequence of str
        At least two of `METHODS`.
    target, output, against, baseline, n_steps, n_samples, window, unit, memory, seed, progress
        As in `attribute`.
    k : int
        How many tokens the overlap looks at; all, of a shorter text.

    Returns
    -------
    Agreement
        Correlations from -1 to 1 and shares from 0 to 1, over tokens that are not special.

    Raises
    ------
    JtvizError
        If a number, method, target or baseline makes no sense, no two methods can be computed, or scipy is
        not installed.
    OutOfRangeError
        If there is no such class, row or token.

    Examples
    --------
    >>> import jtviz
    >>> from jtviz.analysis import agreement
    >>> trace = jtviz.demo.classifier().trace("Man, 60. Has crushing chest pain.")
    >>> found = agreement(trace, ("saliency_l2", "integrated_gradients", "rollout"), target="urgent")
    >>> found.correlation.shape, found.left_out
    ((3, 3), {})
    """
    checked_scipy()
    if isinstance(methods, str) or len(dict.fromkeys(methods)) < 2:
        raise JtvizError(f"methods= is a list of at least two, such as {list(COMPARED[:2])}.")
    if not is_int(k) or k < 1:
        raise JtvizError(f"k= is a number of tokens, at least 1, not {k!r}.")
    how = How(
        method_named(methods[0]), baseline, n_steps=n_steps, n_samples=n_samples, window=window, unit=unit,
        memory=memory, seed=seed,
    )  # fmt: skip
    for name in methods:
        method_named(name)
    checked_how(how)
    checked_output(output)
    with opened(trace) as session:
        session.baseline(baseline)
        wanted = session.score(target, output, against)
        return agreement_of(session, wanted, methods, how, k=k, progress=progress)


def agreement_of(
    session: Session,
    wanted: Score,
    methods: Sequence[str],
    how: How,
    *,
    k: int = TOP,
    progress: bool | None = None,
) -> Agreement:
    """Do what `agreement` does with a model that is open."""
    places = places_of(session, wanted)
    found: dict[str, Attribution] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(methods):
        try:
            one = session.attribute(wanted, replace(how, method=method_named(name)), progress=progress)
        except Exception as error:  # noqa: BLE001 - what a method cannot do with a model, it says in many ways
            left_out[name] = str(error) or type(error).__name__
            continue
        found[name] = one
    if len(found) < 2:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise JtvizError(f"no two of these methods can be computed for this model ({reasons}).")
    rows = [places.scores(one) for one in found.values()]
    sizes = [np.abs(row) for row in rows]
    with_sign = np.array([one.method.is_signed for one in found.values()])
    top = min(k, len(places))
    return Agreement(
        tuple(found),
        tuple(found.values()),
        places,
        correlations(sizes),
        np.where(with_sign[:, None] & with_sign, correlations(rows), np.nan),
        overlaps(sizes, top),
        top,
        left_out,
    )
