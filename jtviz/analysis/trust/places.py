"""The tokens that are taken away, put in order and compared: those that a prediction can rest on.

Required: the same tokens for every method and baseline, so that figures are comparable; special tokens,
which every baseline keeps, and tokens that a causal model reads only after the prediction are none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jtviz.capture import JtvizError
from jtviz.capture.score import Score, gone

from ..attribution.attribution import Attribution
from ..attribution.baselines import stays
from ..attribution.session import Session
from ..attribution.units import Unit, unit_numbers


@dataclass(frozen=True, eq=False)
class Places:
    """Where those tokens are, over all sides together.

    Attributes
    ----------
    where : tuple of (str, int)
        For each of them its side, as in the trace, and its index there.
    text : tuple of str
        What each says.
    """

    where: tuple[tuple[str, int], ...]
    text: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.where)

    def scores(self, attribution: Attribution) -> np.ndarray:
        """Return the scores of these tokens, float64 ``[places]``."""
        return np.array([attribution.scores[side][index] for side, index in self.where], dtype=np.float64)


def places_of(session: Session, score: Score) -> Places:
    """Return the tokens that a number of the output can rest on.

    Raises
    ------
    JtvizError
        If the model does not read one vector a token, or every token stays whatever the baseline.
    """
    where: list[tuple[str, int]] = []
    texts: list[str] = []
    for side, name in session.sides.items():
        tokens = session.trace.tokens[name]
        vectors = session.forward.vectors.get(side)
        if vectors is None or vectors.ndim != 3 or vectors.shape[1] != len(tokens):
            raise JtvizError(
                f"this model does not read one vector a token of the {name}, so that single tokens cannot "
                f"be taken away: judge the attribution by eye."
            )
        stay = stays(side, tokens)
        # What a causal model reads after the row of the prediction does not reach it.
        last = score.target.row if name == "decoder" and score.target.row is not None else len(tokens)
        found = [i for i in range(len(tokens)) if not stay[i] and i <= last]
        where += [(name, i) for i in found]
        texts += [tokens[i] for i in found]
    if not where:
        raise JtvizError("this text has no token that could be taken away: give a longer one.")
    return Places(tuple(where), tuple(texts))


def checked_same(session: Session, attribution: Attribution) -> None:
    """Raise if an attribution is not of the session's text, or was loaded and has nothing to compute with."""
    ours, theirs = session.trace.tokens, attribution.tokens
    if {side: list(t) for side, t in ours.items()} != {side: list(t) for side, t in theirs.items()}:
        raise JtvizError("this attribution is of another text: pass the trace that it was made from.")
    if attribution.score.is_gone:
        gone(None)


def groups_of(session: Session, places: Places, unit: Unit) -> list[list[int]]:
    """Return for each unit the places of its tokens, in the order of the text.

    Raises
    ------
    JtvizError
        If `unit` is none.
    """
    tokens = session.tokens
    numbers = unit_numbers(list(tokens.values()), unit, [len(found) for found in tokens.values()])
    by_name = dict(zip((session.sides[side] for side in tokens), numbers, strict=True))
    found: dict[int, list[int]] = {}
    for place, (side, index) in enumerate(places.where):
        found.setdefault(int(by_name[side][index]), []).append(place)
    return list(found.values())


class Replaced:
    """A text with some of its tokens replaced by a baseline's.

    Parameters
    ----------
    session : Session
        The open model.
    places : Places
        Which tokens can be.
    baseline : str or None
        What they are replaced by.
    """

    def __init__(self, session: Session, places: Places, baseline: str | None) -> None:
        self._session = session
        self.baseline = session.baseline(baseline)
        names = list(session.sides.values())
        self._side = np.array([names.index(side) for side, _ in places.where])
        self._index = np.array([index for _, index in places.where])

    def vectors(self, absent: np.ndarray) -> tuple[Tensor, ...]:
        """Return the vectors of each side, ``[batch, tokens, width]``.

        Parameters
        ----------
        absent : ndarray
            Boolean ``[batch, places]``: which tokens are replaced.
        """
        found = []
        for number, (side, own) in enumerate(self._session.forward.vectors.items()):
            mask = np.zeros((len(absent), own.shape[1]), dtype=bool)
            ours = self._side == number
            mask[:, self._index[ours]] = absent[:, ours]
            chosen = torch.from_numpy(mask).to(own.device)[:, :, None]
            found.append(torch.where(chosen, self.baseline.vectors[side], own))
        return tuple(found)


def absent_tokens(groups: Sequence[Sequence[int]], absent: np.ndarray, places: int) -> np.ndarray:
    """Return which places are absent, ``[batch, places]``, from which units are, ``[batch, units]``."""
    out = np.zeros((len(absent), places), dtype=bool)
    for number, members in enumerate(groups):
        out[:, list(members)] = absent[:, number : number + 1]
    return out
