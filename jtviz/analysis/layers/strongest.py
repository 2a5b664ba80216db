"""The largest activations of units over many texts, gathered text by text.

Required: of equals the first one stays; memory is that of the numbers kept, ``16 * units * count`` bytes, one
text's activations, and the texts that are still named.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jtviz.capture import JtvizError
from jtviz.tokens import Tokens

from .units import StrongestByUnit


class Strongest:
    """The tokens of the texts so far that set each unit off most.

    Parameters
    ----------
    count : int
        How many tokens of each unit are kept.

    Examples
    --------
    >>> found = Strongest(count=1)
    >>> found.add(Tokens.from_strings(["a", "b"]), torch.tensor([[1.0, 0.0], [-3.0, 2.0]]))
    >>> [found.result().of(unit).tokens[0].label for unit in (0, 1)]
    ['b', 'b']
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._values = torch.empty(0)
        self._places = torch.empty(0, dtype=torch.int32)
        self._read: dict[int, Tokens] = {}
        self._texts = self._tokens = 0
        self._room = 64

    def add(self, tokens: Tokens, table: Tensor) -> None:
        """Take in a text and its activations, ``[tokens, units]``; special tokens are left out."""
        number, units = self._texts, table.shape[1]
        if not number:
            self._values = torch.empty(units, 0)
            self._places = torch.empty(2, units, 0, dtype=torch.int32)
        rows = torch.tensor([i for i, special in enumerate(tokens.special) if not special], dtype=torch.int32)
        self._texts += 1
        self._tokens += len(rows)
        new = torch.stack([torch.full_like(rows, number), rows])[:, None].expand(-1, units, -1)
        values = torch.cat([self._values, table[rows.long()].T], 1)
        # Earlier tokens stand before later ones, and a stable order leaves them there.
        order = values.abs().argsort(dim=1, descending=True, stable=True)[:, : self._count]
        self._values = values.gather(1, order)
        self._places = torch.cat([self._places, new], 2).gather(2, order.expand(2, -1, -1))
        self._read[number] = tokens
        if len(self._read) > self._room:
            self._forget()

    def result(self) -> StrongestByUnit:
        """Return what was found; raise if there was no text."""
        if not self._texts:
            raise JtvizError("there are no texts: give at least one.")
        self._forget()
        texts, positions = self._places
        return StrongestByUnit(self._values, texts, positions, dict(self._read), self._tokens, self._texts)

    def _forget(self) -> None:
        """Let go of texts that are no longer named."""
        named = set(self._places[0].flatten().tolist()) if self._texts else set()
        self._read = {number: tokens for number, tokens in self._read.items() if number in named}
        self._room = max(64, 2 * len(self._read))


__all__ = ["Strongest"]
