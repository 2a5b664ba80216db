"""A number of the output that is one choice among several: a class, a place, a label.

Required: for one example it is what `jtviz.capture.score.score` gives, for outputs that function does not
know: positions of an answer, labels of a token, classes that do not exclude each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jtviz.capture.score import Pick, Score, chosen, scale, share
from jtviz.capture.target import Target


@dataclass(frozen=True, eq=False)
class Found:
    """What is explained of one reading.

    Attributes
    ----------
    names : tuple of str
        What each number is of, in words.
    scores : tuple of Score
        The numbers.
    prediction : str
        What the model says, in words.
    """

    names: tuple[str, ...]
    scores: tuple[Score, ...]
    prediction: str


def choice(
    output_of_model: Any,
    pick: Pick,
    index: int,
    output: str,
    *,
    name: Callable[[int], str],
    against: int | None = None,
    row: int | None = None,
    independent: bool = False,
) -> Score:
    """Return one choice's number.

    Parameters
    ----------
    output_of_model : object
        What the model returned for the text itself.
    pick : callable
        Takes such an output to the logits ``[batch, choices]``.
    index, against : int
        Which choice, and which is subtracted.
    output : {"logit", "log_prob", "prob", "loss"}
        The scale.
    name : callable
        Names a choice.
    row : int, optional
        The token that it is read from.
    independent : bool
        Whether choices do not exclude each other, so that each has a probability of its own.
    """
    logits = pick(output_of_model).detach().float()
    values = scale(logits, output, independent=independent)[0]
    chances = scale(logits, "prob", independent=independent)[0]

    def target(i: int) -> Target:
        return Target(name(i), i, row, output, float(values[i]))

    return Score(
        target(index),
        None if against is None else target(against),
        float(chances[index]),
        chosen(pick, index, output, against, independent=independent),
        share(pick, index, against, independent=independent),
    )


def named(score: Score) -> str:
    """Name a number: ``urgent``, or ``urgent − can wait``."""
    mine = score.target.name
    return mine if score.against is None else f"{mine} − {score.against.name}"


def chance(probability: float | None) -> str:
    """Return a probability in brackets, as ``(93.1%)``."""
    return "" if probability is None else f" ({probability:.1%})"
