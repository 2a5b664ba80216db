"""The probability of what was explained, from whatever scale it was explained on.

Required: curves of different outputs are on one scale, 0 to 1, wherever what is explained has a probability;
which scale it is is part of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from jtviz.capture.score import Score

from ..attribution.attribution import Attribution


@dataclass(frozen=True)
class Measured:
    """What is measured while tokens are taken away.

    Attributes
    ----------
    score : Score
        The number, of each example of a batch.
    words : str
        What it is called, ``probability of urgent``.
    sign : int
        1 if a token with a high score is to raise it, -1 if to lower it: a loss.
    """

    score: Score
    words: str
    sign: int

    def support(self, attribution: Attribution, scores: np.ndarray) -> np.ndarray:
        """Return scores that are high for what supports the number most."""
        return self.sign * scores if attribution.method.is_signed else scores


def measured(score: Score) -> Measured:
    """Return the probability of what was explained; the number itself where there is none.

    Log-probabilities and losses are turned into one; of the difference of two tokens or classes it is the
    share of the first, ``p / (p + q)``; of a loss over a whole answer, which is a mean, the geometric mean
    of the probabilities of its tokens: one over the perplexity.
    """
    target, against = score.target, score.against
    sign = -1 if target.output == "loss" else 1
    of = score.chance or _derived(score)
    if of is None:
        return Measured(score, score.words, sign)
    if target.name == "all" and target.index is None:
        words = "probability of a token of the answer"
    else:
        words = f"probability of {target.name}" + ("" if against is None else f" rather than {against.name}")
    return Measured(replace(score, of=of), words, sign)


def _derived(score: Score) -> Callable[[Any], Tensor] | None:
    """Return the probability that a number on another scale says already."""
    of, two = score.of, score.against is not None
    if score.target.output == "log_prob":
        return lambda output: of(output).sigmoid() if two else of(output).exp()
    if score.target.output == "loss":
        return lambda output: (-of(output)).sigmoid() if two else (-of(output)).exp()
    return of if score.target.output == "prob" and not two else None
