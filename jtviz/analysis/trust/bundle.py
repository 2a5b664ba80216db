"""What is shown beside an explanation: how far it can be trusted.

Required: what is cheap is always there; what cannot be computed is said, and never counts as passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jtviz.capture import JtvizError, Trace

from ..attribution.attribution import TOLERANCE, Attribution
from ..attribution.baselines import BASELINES
from ..attribution.cost import MEMORY
from ..attribution.how import BY_SAMPLES, How
from ..attribution.progress import Shown
from ..attribution.session import Session, opened
from ..attribution.units import Unit
from .agreement import COMPARED, Agreement, agreement_of
from .faithfulness import Faithfulness
from .places import checked_same
from .ranks import checked_scipy
from .sensitivity import Sensitivity, sensitivity_of
from .taking_away import FRACTIONS, POINTS, Removal, checked_removal, checked_shares, of_session


@dataclass(frozen=True, eq=False)
class Trust:
    """How far an attribution can be trusted.

    Attributes
    ----------
    attribution : Attribution
        What is judged; `Attribution.relative_delta` is its completeness.
    faithfulness : Faithfulness or None
        Whether what it names is what the prediction rests on.
    sensitivity : Sensitivity or None
        Whether it depends on the baseline; where asked for.
    agreement : Agreement or None
        Whether other methods say the same; where asked for.
    by_method : dict of str to Faithfulness
        Whether what those methods name is what the prediction rests on.
    left_out : dict of str to str
        What could not be computed, and why.
    """

    attribution: Attribution
    faithfulness: Faithfulness | None = None
    sensitivity: Sensitivity | None = None
    agreement: Agreement | None = None
    by_method: Mapping[str, Faithfulness] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Say what was found."""
        return "Trust(" + " ".join(self.sentences) + ")"

    @property
    def completeness(self) -> str:
        """How far the scores are from the sum that their method promises, in one sentence."""
        found = self.attribution
        if found.relative_delta is None:
            return f"{found.method.label} promises no sum of its scores."
        verdict = "as promised" if found.is_complete else f"more than the {TOLERANCE:.0%} that is asked"
        return f"the scores are off by {found.relative_delta:.1%} of what they sum to, {verdict}."

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, one sentence each; what could not be computed too."""
        parts = (self.faithfulness, self.sensitivity, self.agreement)
        found = [part.words for part in parts if part is not None]
        missing = [f"{name} is not known: {why}" for name, why in self.left_out.items()]
        return (self.completeness, *found, *missing)

    @property
    def is_doubtful(self) -> bool:
        """Whether the sum is off, or the order no better than a random one (or that could not be computed).

        A text that is too short to tell (`Faithfulness.is_too_short`) is no reason for doubt.
        """
        found = self.faithfulness
        faithful = found is not None and (found.beats_random or found.is_too_short)
        return not (self.attribution.is_complete and faithful)


def faithfulness_only(session: Session, attribution: Attribution, removal: Removal, progress: Shown) -> Trust:
    """Do what `trust` does at the least, with a model that is open."""
    checked_same(session, attribution)
    try:
        return Trust(attribution, of_session(session, attribution, removal, progress))
    except JtvizError as error:
        return Trust(attribution, left_out={"faithfulness": str(error)})


def trust(
    trace: Trace,
    attribution: Attribution,
    *,
    sensitivity: bool = False,
    agreement: bool = False,
    baselines: Sequence[str] = BASELINES,
    methods: Sequence[str] = COMPARED,
    fractions: Sequence[float] = FRACTIONS,
    orders: int = 10,
    unit: Unit = "token",
    points: int = POINTS,
    memory: int = MEMORY,
    seed: int = 0,
    progress: bool | None = None,
) -> Trust:
    """Say how far an attribution can be trusted: completeness and faithfulness, and what is asked for beside.

    Parameters
    ----------
    trace : Trace
        That the attribution was made from.
    attribution : Attribution
        By any method.
    sensitivity, agreement : bool
        Whether also to attribute with other baselines, and by other methods, which takes longer.
    baselines
        As in `baseline_sensitivity`.
    methods
        As in `agreement`.
    fractions, orders, unit, points, memory, seed, progress
        As in `faithfulness`.

    Returns
    -------
    Trust
        What could be computed, and the reason for what could not.

    Raises
    ------
    JtvizError
        If a number makes no sense, or the attribution is of another text.

    Examples
    --------
    >>> import jtviz
    >>> from jtviz.analysis import attribute, trust
    >>> note = "Man, 60. Has crushing chest pain. No sore throat. Lives alone."
    >>> trace = jtviz.demo.classifier().trace(note)
    >>> found = trust(trace, attribute(trace, target="urgent", output="log_prob"))
    >>> found.is_doubtful, len(found.sentences)
    (False, 2)
    """
    removal = Removal(None, checked_shares(fractions), orders, unit, points, memory, seed)
    checked_removal(removal)
    if sensitivity or agreement:
        checked_scipy()
    how = How(attribution.method, unit=unit, memory=memory, seed=seed)
    if (found := attribution.n_steps) is not None:
        is_sampled = attribution.method.name in BY_SAMPLES
        how = replace(how, n_samples=found) if is_sampled else replace(how, n_steps=found)
    alike = replace(how, baseline=attribution.baseline)
    wanted = attribution.score
    left_out: dict[str, str] = {}

    def tried(name: str, compute: Callable[[], Any], *, is_asked: bool = True) -> Any:
        try:
            return compute() if is_asked else None
        except JtvizError as error:
            left_out[name] = str(error)
            return None

    with opened(trace) as session:
        checked_same(session, attribution)
        faithful = tried("faithfulness", lambda: of_session(session, attribution, removal, progress))
        sensitive = tried(
            "sensitivity",
            lambda: sensitivity_of(session, attribution, baselines, how, progress),
            is_asked=sensitivity,
        )
        agreed = tried(
            "agreement",
            lambda: agreement_of(session, wanted, methods, alike, progress=progress),
            is_asked=agreement,
        )
        by_method = {}
        if agreed is not None and faithful is not None:
            others = zip(agreed.methods, agreed.attributions, strict=True)
            by_method = {name: of_session(session, other, removal, progress) for name, other in others}
        return Trust(attribution, faithful, sensitive, agreed, by_method, left_out)
