"""The result of an attribution: one number a token, and what it is worth.

Required: scores keep their sign and their scale; repeated tokens stay apart; how far the scores are from
the sum that the method promises is part of the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from jtviz.capture.score import Score
from jtviz.tokens import Tokens

from ..words import words_of
from .methods import METHODS, Method

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 0.05
"""A sum that is off by more than this share of the difference is warned of."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """What one number of the output is attributed to.

    Attributes
    ----------
    tokens : dict of str to Tokens
        The tokens of each side: ``"encoder"``, ``"decoder"`` or both.
    scores : dict of str to ndarray
        For each side one number a token, in units of the target; of methods by layer those of the last one.
    by_layer : dict of str to ndarray, or None
        ``[layers, tokens]`` of each side, of methods by layer.
    method : Method
        How it was computed.
    score : Score
        What was explained, on which scale.
    baseline : str or None
        What an absent token is.
    baseline_value : float or None
        The number for the baseline.
    n_steps : int or None
        Points on the path, or random samples, of methods that have them.
    seconds : float
        How long it took.
    notes : tuple of str
        What to know about it, one sentence each.
    """

    tokens: Mapping[str, Tokens]
    scores: Mapping[str, np.ndarray]
    by_layer: Mapping[str, np.ndarray] | None
    method: Method
    score: Score
    baseline: str | None
    baseline_value: float | None
    n_steps: int | None
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        """Say what was explained and how."""
        worth = "" if self.relative_delta is None else f", off by {self.relative_delta:.1%}"
        return f"Attribution({self.score.words}, {self.method.label}{worth})"

    @property
    def delta(self) -> float | None:
        """The sum of the scores less what they are meant to sum to; None where nothing is meant.

        Completeness: text less baseline (Sundararajan et al. 2017, proposition 1). A method by layer is
        held to it in the layer that is furthest from it.
        """
        if not self.method.is_complete or self.baseline_value is None:
            return None
        # What flows through the layers of one side of two is a part of it only.
        if self.by_layer is not None and len(self.tokens) > 1:
            return None
        difference = self.score.value - self.baseline_value
        return max((total - difference for total in self._sums()), key=abs)

    @property
    def relative_delta(self) -> float | None:
        """The same, without sign, as a share of the difference between text and baseline."""
        if self.delta is None or self.baseline_value is None:
            return None
        difference = abs(self.score.value - self.baseline_value)
        return abs(self.delta) / difference if difference else (0.0 if self.delta == 0 else float("inf"))

    @property
    def is_complete(self) -> bool:
        """Whether the sum is within `TOLERANCE` of what it is meant to be, or nothing is meant."""
        return self.relative_delta is None or self.relative_delta <= TOLERANCE

    def by_word(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """Return for each side its words and the sum of the scores of their tokens.

        Examples
        --------
        >>> import jtviz
        >>> trace = jtviz.demo.classifier().trace("Man, 60. Has crushing chest pain.")
        >>> words, scores = jtviz.analysis.attribute(trace).by_word()["encoder"]
        >>> len(words) == len(scores)
        True
        """
        out = {}
        for side, tokens in self.tokens.items():
            words, numbers = words_of(tokens)
            sums = np.zeros(len(words), dtype=np.float64)
            np.add.at(sums, np.asarray(numbers), self.scores[side])
            out[side] = (words, sums)
        return out

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a token: its side, index, text, word and score."""
        import pandas as pd

        rows = []
        for side, tokens in self.tokens.items():
            words, numbers = words_of(tokens)
            for i, (text, score) in enumerate(zip(tokens, self.scores[side], strict=True)):
                rows.append((side, i, text, words[numbers[i]], float(score)))
        return pd.DataFrame(rows, columns=["side", "index", "token", "word", "score"])

    def _sums(self) -> list[float]:
        if self.by_layer is None:
            return [float(sum(scores.sum() for scores in self.scores.values()))]
        return [float(row.sum()) for rows in self.by_layer.values() for row in rows]


def method_named(name: str) -> Method:
    """Return a method; raise if there is none of this name."""
    # Imported here: errors are capture's.
    import difflib

    from jtviz.capture import JtvizError

    if name not in METHODS:
        near = difflib.get_close_matches(str(name), METHODS, 1, 0.4)
        advice = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(map(repr, METHODS))}."
        raise JtvizError(f"there is no method {name!r}; {advice}")
    return METHODS[name]
