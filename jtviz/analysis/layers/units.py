"""What is known of feed-forward units: the strongest for a token, the strongest tokens for one, and patterns.

Required: numbers as they were computed, in a fixed order, and a table of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from jtviz.capture import OutOfRangeError
from jtviz.capture.part import is_int

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from jtviz.tokens import Tokens


@dataclass(frozen=True)
class StrongestUnits:
    """The units that a token sets off most. Made by `strongest_units`.

    Attributes
    ----------
    units : tuple of int
        Those with the largest magnitude first.
    values : tuple of float
        Their activations.
    shares : tuple of float
        Of the other tokens of the text, how many set the unit off at least half as much, 0 to 1: a unit
        that is always on says little of this token.
    """

    units: tuple[int, ...]
    values: tuple[float, ...]
    shares: tuple[float, ...] = ()

    @classmethod
    def of(cls, table: Tensor, token: int, count: int) -> StrongestUnits:
        """Return those of a row of `activations`, ``[tokens, units]``."""
        row = table[token]
        order = row.abs().argsort(descending=True, stable=True)[:count]
        own = row[order]
        strong = (table[:, order] * own.sign() >= own.abs() / 2) & (own != 0)
        # The token itself is one of them.
        shares = (strong.sum(0) - 1).clamp(min=0) / max(1, len(table) - 1)
        return cls(tuple(order.tolist()), tuple(own.tolist()), tuple(shares.tolist()))

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each unit."""
        import pandas as pd

        return pd.DataFrame({"unit": self.units, "value": self.values, "share": self.shares})


@dataclass(frozen=True)
class StrongToken:
    """A token that sets a unit off.

    Attributes
    ----------
    value : float
        The activation.
    text : int
        Number of its text.
    token : int
        Its position.
    label : str
        The token as it reads.
    sentence : str
        The text.
    span : (int, int) or None
        Its characters in `sentence`; None where that is not known.
    """

    value: float
    text: int
    token: int
    label: str
    sentence: str
    span: tuple[int, int] | None = None

    @classmethod
    def of(cls, value: float, text: int, token: int, tokens: Tokens) -> StrongToken:
        """Return a token of a text."""
        return cls(value, text, token, tokens[token], tokens.sentence, tokens.spans[token])

    def around(self, room: int = 60) -> tuple[str, str]:
        """Return what stands before and after it in its text, of that at most so many characters each."""
        if self.span is None:
            return "", ""
        before, after = self.sentence[: self.span[0]], self.sentence[self.span[1] :]
        cut_before = "…" + before[-room:] if len(before) > room else before
        return cut_before, after[:room] + "…" if len(after) > room else after


@dataclass(frozen=True)
class StrongestTokens:
    """The tokens that set a unit off most. Made by `strongest_tokens`.

    Attributes
    ----------
    tokens : tuple of StrongToken
        Those with the largest magnitude first.
    n : int
        Of how many tokens.
    """

    tokens: tuple[StrongToken, ...]
    n: int

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each token."""
        import pandas as pd

        return pd.DataFrame([vars(one) for one in self.tokens])


@dataclass(frozen=True, eq=False)
class StrongestByUnit:
    """The tokens that set each unit of a layer off most. Made by `strongest_by_unit`.

    Attributes
    ----------
    values : Tensor
        Activations, float32 ``[units, count]``, those of the largest magnitude first.
    texts, positions : Tensor
        Number of the text of each, and its position in it, int32.
    read : mapping of int to Tokens
        The texts that are named.
    n, n_texts : int
        Of how many tokens of how many texts.
    """

    values: Tensor = field(repr=False)
    texts: Tensor = field(repr=False)
    positions: Tensor = field(repr=False)
    read: Mapping[int, Tokens] = field(repr=False)
    n: int
    n_texts: int

    def of(self, unit: int) -> StrongestTokens:
        """Return the tokens of one unit.

        Raises
        ------
        OutOfRangeError
            If there is no such unit.
        """
        count = len(self.values)
        if not is_int(unit) or not -count <= unit < count:
            raise OutOfRangeError(f"unit {unit!r} is not there: units are 0 to {count - 1}.")
        rows = (one[unit].tolist() for one in (self.values, self.texts, self.positions))
        found = (
            StrongToken.of(value, text, at, self.read[text]) for value, text, at in zip(*rows, strict=True)
        )
        return StrongestTokens(tuple(found), self.n)


@dataclass(frozen=True, eq=False)
class Factors:
    """Activations as sums of few patterns. Made by `factorise`.

    Attributes
    ----------
    weights : tuple of Tensor
        For each text float32 ``[tokens, components]``: how much of each pattern is in each token; never
        negative. A component's largest weight over all texts is one.
    components : Tensor
        Float32 ``[components, units]``: the patterns.
    tokens : tuple of (tuple of str)
        For each text its tokens.
    error : float
        What the patterns leave out, ``|A - W H| / |A|``.
    converged : bool
        Whether the solver had arrived.
    """

    weights: tuple[Tensor, ...] = field(repr=False)
    components: Tensor = field(repr=False)
    tokens: tuple[tuple[str, ...], ...] = field(repr=False)
    error: float
    converged: bool

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each token: ``text``, ``token``, ``label`` and ``c0``, ``c1``, ..."""
        import pandas as pd

        rows = [
            {"text": number, "token": i, "label": label} | {f"c{j}": float(x) for j, x in enumerate(row)}
            for number, (weights, labels) in enumerate(zip(self.weights, self.tokens, strict=True))
            for i, (row, label) in enumerate(zip(weights, labels, strict=True))
        ]
        return pd.DataFrame(rows)


__all__ = ["Factors", "StrongToken", "StrongestByUnit", "StrongestTokens", "StrongestUnits"]
