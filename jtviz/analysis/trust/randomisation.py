"""Whether an attribution depends on what the model learnt: a sanity check by random weights.

Required: the reader's model is not touched, only a copy; what is explained stays the same class or token;
a method whose picture survives random weights is said to.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from jtviz.capture import JtvizError, Trace
from jtviz.capture.asfound import as_found
from jtviz.capture.part import is_int
from jtviz.capture.reading import Reading
from jtviz.capture.score import Score
from jtviz.capture.target import TargetLike, checked_output

from ..attribution.attribution import Attribution, method_named
from ..attribution.cost import MEMORY
from ..attribution.how import How, checked_how
from ..attribution.methods import Method
from ..attribution.progress import Progress
from ..attribution.session import opened
from ..attribution.units import Unit
from .cascade import shuffle, steps_of
from .places import Places, places_of
from .ranks import checked_scipy, correlation

if TYPE_CHECKING:
    import pandas as pd

HARDLY = 0.5
"""A rank correlation with the trained model, from which a picture of random weights has hardly changed."""


@dataclass(frozen=True, eq=False)
class Randomisation:
    """How an attribution changes as a model's weights are made random.

    Attributes
    ----------
    method : Method
        How it was computed.
    score : Score
        What was explained.
    steps : tuple of str
        What was made random, one after the other and staying so: ``"trained"`` (nothing), ``"output"``, the
        path of each block from the last to the first, ``"embeddings"``.
    correlation : ndarray
        ``[draws, steps]``: Spearman's rank correlation of the absolute scores with those of the trained
        model; the first is 1, and NaN stands where all scores are equal.
    attributions : tuple of Attribution
        One a step, of the first draw.
    places : Places
        The tokens that are compared.
    """

    method: Method
    score: Score
    steps: tuple[str, ...]
    correlation: np.ndarray
    attributions: tuple[Attribution, ...]
    places: Places

    def __repr__(self) -> str:
        """Say what was found."""
        return f"Randomisation({self.words})"

    @property
    def mean(self) -> np.ndarray:
        """Mean correlation over the draws, ``[steps]``."""
        return np.asarray(self.correlation.mean(0))

    @property
    def by_chance(self) -> float:
        """The spread of the correlation of unrelated ranks of so many tokens: 1 / sqrt(n - 1)."""
        return float(1 / np.sqrt(max(1, len(self.places) - 1)))

    @property
    def hardly_changes(self) -> bool:
        """Whether the ranks under random weights are much like those of the trained model.

        That is a mean correlation of `HARDLY` or more, and of more than two spreads of unrelated ranks.
        """
        chance = 2 * self.by_chance / np.sqrt(len(self.correlation))
        return bool(self.mean[-1] >= max(HARDLY, chance))

    @property
    def words(self) -> str:
        """Whether the attribution depends on the weights, in one sentence."""
        last = f"{self.mean[-1]:.2f} (unrelated ranks: 0 ± {self.by_chance:.2f})"
        if np.isnan(self.mean[-1]):
            return f"with all weights random {self.method.label} ranks no token above another."
        if self.hardly_changes:
            return (
                f"{self.method.label} hardly changes when all weights are random: the ranks still correlate "
                f"by {last}, so that it shows the text more than what the model learnt."
            )
        return (
            f"{self.method.label} depends on the weights: when all are random the ranks correlate by {last} "
            f"with those of the trained model."
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a step: what was made random, and the correlation over the draws."""
        import pandas as pd

        spread = self.correlation.std(0, ddof=1) if len(self.correlation) > 1 else np.nan
        return pd.DataFrame({"step": self.steps, "correlation": self.mean, "spread": spread})


def randomisation(
    trace: Trace,
    method: str = "integrated_gradients",
    *,
    target: TargetLike = None,
    output: str = "logit",
    against: TargetLike = None,
    baseline: str | None = None,
    n_steps: int = 50,
    n_samples: int = 25,
    window: int = 3,
    unit: Unit = "token",
    draws: int = 1,
    memory: int = MEMORY,
    seed: int = 0,
    progress: bool | None = None,
) -> Randomisation:
    """Make the weights of a copy random from the output down, and see whether the attribution notices.

    The cascading randomisation of Adebayo et al. 2018, *Sanity checks for saliency maps*, section 4. Weights
    are made random by putting the entries of each into random order, which keeps their distribution; tied
    weights are untied in the copy, so that the output can be random while the embedding is not yet. As much
    memory as the model's weights take is needed beside it.

    Parameters
    ----------
    trace : Trace
        Of a model that is still there.
    method, target, output, against, baseline, n_steps, n_samples, window, unit, memory, seed, progress
        As in `attribute`. Steps and samples are not raised, so that all models are asked alike.
    draws : int
        How many times to do it, each with other random weights: ranks of a short text agree by chance.

    Returns
    -------
    Randomisation
        Correlations from -1 to 1, over tokens that are not special.

    Raises
    ------
    JtvizError
        If a number, method or target makes no sense, the model's blocks are not found, it cannot be copied,
        or scipy is not installed.
    OutOfRangeError
        If there is no such class, row or token.

    Examples
    --------
    >>> import jtviz
    >>> from jtviz.analysis import randomisation
    >>> trace = jtviz.demo.classifier().trace("Man, 60. Has crushing chest pain.")
    >>> found = randomisation(trace, "saliency_l2", target="urgent")
    >>> found.steps
    ('trained', 'output', 'encoder.layers.1', 'encoder.layers.0', 'embeddings')
    >>> float(found.mean[0])
    1.0
    """
    checked_scipy()
    how = How(
        method_named(method), baseline, n_steps, n_samples, window, unit=unit, memory=memory, seed=seed,
        raise_steps=False,
    )  # fmt: skip
    checked_how(how)
    checked_output(output)
    if not is_int(draws) or draws < 1:
        raise JtvizError(f"draws= is a number of draws, at least 1, not {draws!r}.")
    with opened(trace) as session:
        wanted = session.score(target, output, against)
        places = places_of(session, wanted)
        trained = session.attribute(wanted, how, progress=False)
    blocks = [path for side in trace.tokens for path in trace.block_paths(side)]
    size = np.abs(places.scores(trained))
    attributions: list[Attribution] = []
    found: list[list[float]] = []
    names: list[str] = []
    total = draws * (len(set(blocks)) + 2)
    words = f"{how.method.label} of random weights"
    with Progress(words, total, shown=progress, seconds=trained.seconds * total) as bar:
        for draw in range(draws):
            generator = torch.Generator().manual_seed(seed + draw)
            model = _copied(trace)
            cascade = steps_of(model, blocks, partial(_run, model, trace))
            names = ["trained", *(step.name for step in cascade)]
            row = [correlation(size, size)]
            attributions += [trained] if draw == 0 else []
            for step in cascade:
                shuffle(step.weights, generator)
                one = _attributed(model, trace, wanted, how)
                row.append(correlation(size, np.abs(places.scores(one))))
                attributions += [one] if draw == 0 else []
                bar.advance(1)
            found.append(row)
    return Randomisation(how.method, wanted, tuple(names), np.array(found), tuple(attributions), places)


def _reading(trace: Trace) -> Reading:
    if trace.reading is None:
        raise JtvizError("this trace was loaded or made from arrays, and has no model: trace it anew.")
    return trace.reading


def _copied(trace: Trace) -> nn.Module:
    model = _reading(trace).model
    try:
        return copy.deepcopy(model)
    except Exception:  # noqa: BLE001 - what a model holds can be anything; some of it cannot be copied
        raise JtvizError(
            f"{type(model).__name__} cannot be copied (copy.deepcopy), and its own weights are not touched: "
            f"trace a model without what cannot be."
        ) from None


def _run(model: nn.Module, trace: Trace) -> None:
    prepared = _reading(trace).prepared
    with as_found(model), torch.no_grad():
        model(*prepared.args, **prepared.kwargs)


def _attributed(model: nn.Module, trace: Trace, wanted: Score, how: How) -> Attribution:
    """Attribute the same number of another model's output."""
    reading = _reading(trace).by(model)
    traced = reading.traced(model)
    traced.reading = reading
    with opened(traced) as session:
        return session.attribute(wanted, how, progress=False)
