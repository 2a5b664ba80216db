"""The result of an attribution: one number a token, and what it is worth.

Required: scores keep their sign and their scale; repeated tokens stay apart; how far the scores are from
the sum that the method promises is part of the result.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from jtviz.capture import JtvizError
from jtviz.capture.score import Score
from jtviz.tokens import Tokens

from ..words import words_of
from .methods import METHODS, Method
from .units import Unit, units_of

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 0.05
"""A sum that is off by more than this share of the difference is warned of."""


@dataclass(frozen=True, eq=False)
class UnitScores:
    """Scores of the units of a side. Made by `Attribution.by_unit`.

    Attributes
    ----------
    names : tuple of str
        What stands in the text.
    scores : ndarray
        ``[units]``: the sum over the tokens of each.
    spans : tuple of (int, int)
        The tokens of each, ``(first, last + 1)``.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    spans: tuple[tuple[int, int], ...]

    @property
    def columns(self) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...], np.ndarray]:
        """Names, spans and scores."""
        return self.names, self.spans, self.scores


@dataclass(frozen=True, eq=False)
class Attribution:
    """What one number of the output is attributed to.

    Attributes
    ----------
    tokens : dict of str to Tokens
        The tokens of each side: ``"encoder"``, ``"decoder"`` or both.
    scores : dict of str to ndarray
        For each side one number a token, in units of the target; of methods by layer those of the first one.
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

    def by_unit(self, unit: Unit) -> dict[str, UnitScores]:
        """Return for each side its units, and the sum of the scores of their tokens.

        Parameters
        ----------
        unit : {"token", "word", "sentence"} or sequence of (int, int)
            Spans are of tokens of the first side, ``(first, last + 1)``; what they leave out stays single.

        Returns
        -------
        dict of str to UnitScores
            Names, sums ``[units]`` on the scale of the target, and spans of tokens.

        Raises
        ------
        JtvizError
            If a unit is none of these, or spans overlap or lead out of the text.

        Examples
        --------
        >>> import jtviz
        >>> trace = jtviz.demo.classifier().trace("Man, 60. Has chest pain.")
        >>> units = jtviz.analysis.attribute(trace).by_unit("sentence")["encoder"]
        >>> units.names
        ('[CLS]', 'Man, 60.', 'Has chest pain.')
        """
        out = {}
        for number, (side, tokens) in enumerate(self.tokens.items()):
            names, spans, numbers = units_of(tokens, unit, is_first=number == 0)
            sums = np.zeros(len(names), dtype=np.float64)
            np.add.at(sums, np.asarray(numbers), self.scores[side])
            out[side] = UnitScores(names, sums, spans)
        return out

    def to_pandas(self, *, by: Unit | None = None) -> pd.DataFrame:
        """Return one row a token: its side, index, text, word and score.

        Parameters
        ----------
        by : {"token", "word", "sentence"} or sequence of (int, int), optional
            One row a unit instead: its side, number, text, span of tokens and the sum of their scores.

        Raises
        ------
        JtvizError
            If there is no such unit.
        """
        import pandas as pd

        rows: list[tuple[Any, ...]] = []
        if by is not None:
            for side, units in self.by_unit(by).items():
                for i, (name, span, score) in enumerate(zip(*units.columns, strict=True)):
                    rows.append((side, i, name, *span, float(score)))
            return pd.DataFrame(rows, columns=["side", "unit", "text", "start", "stop", "score"])
        for side, tokens in self.tokens.items():
            words, numbers = words_of(tokens)
            for i, (text, score) in enumerate(zip(tokens, self.scores[side], strict=True)):
                rows.append((side, i, text, words[numbers[i]], float(score)))
        return pd.DataFrame(rows, columns=["side", "index", "token", "word", "score"])

    def _sums(self) -> list[float]:
        if self.by_layer is None:
            return [float(sum(scores.sum() for scores in self.scores.values()))]
        return [float(row.sum()) for rows in self.by_layer.values() for row in rows]


def together(parts: Sequence[Attribution]) -> Attribution:
    """Return several attributions of one text as one: what their sum is attributed to.

    Every method with a sign is linear in what it explains, so that the scores of a sum are the sum of the
    scores.

    Parameters
    ----------
    parts : sequence of Attribution
        By one method, on one scale, from one baseline: the tokens of a span of a translation, for instance.

    Returns
    -------
    Attribution
        Its target is called by all names in a row.

    Raises
    ------
    JtvizError
        If there is none, they are of different kinds, or their scores have no sign.

    Examples
    --------
    >>> import jtviz
    >>> from jtviz.analysis import attribute
    >>> trace = jtviz.demo.translator().trace("I like tea.")
    >>> parts = [attribute(trace, "input_x_gradient", target={"row": row}) for row in (1, 2)]
    >>> together(parts).score.target.name
    '喜欢'
    """
    kinds = {(part.method.name, part.score.target.output, part.baseline) for part in parts}
    if len(kinds) != 1 or len({tuple(part.tokens.items()) for part in parts}) != 1:
        raise JtvizError("only attributions of one text, by one method, scale and baseline can be added.")
    first, *rest = parts
    if not rest:
        return first
    if not first.method.is_signed:
        raise JtvizError(f"scores of {first.method.label} have no sign, and cannot be added up.")
    scores = [part.score for part in parts]
    target = replace(
        first.score.target,
        name="".join(score.target.name for score in scores),
        index=None,
        row=None,
        value=sum(score.value for score in scores),
    )

    def of(output: Any) -> Tensor:
        return torch.stack([score.of(output) for score in scores]).sum(0)

    values = [part.baseline_value for part in parts if part.baseline_value is not None]
    by_layer = first.by_layer and {
        side: np.sum([part.by_layer[side] for part in parts if part.by_layer], axis=0)
        for side in first.by_layer
    }
    return replace(
        first,
        scores={side: np.sum([part.scores[side] for part in parts], axis=0) for side in first.scores},
        by_layer=by_layer,
        score=Score(target, None, None, of),
        baseline_value=sum(values) if len(values) == len(parts) else None,
        seconds=sum(part.seconds for part in parts),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def method_named(name: str) -> Method:
    """Return a method; raise if there is none of this name."""
    if name not in METHODS:
        near = difflib.get_close_matches(str(name), METHODS, 1, 0.4)
        advice = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(map(repr, METHODS))}."
        raise JtvizError(f"there is no method {name!r}; {advice}")
    return METHODS[name]
