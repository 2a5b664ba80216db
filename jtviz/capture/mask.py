"""What a mask or bias adds to the scores, kept as small as what it says.

Required: never a float tokens x tokens tensor where a rule, a row, one byte for eight pairs or one
diagonal each says the same, and one copy for all layers that share it. Adding it must reproduce the
kernel exactly, so the value written where a key is hidden (``-inf``, or the smallest float, which
spreads a wholly masked row evenly) is kept too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .change import version

_HIDES = -1e3  # a constant lower than this hides a key (libraries use -1e4, -1e9, finfo.min and -inf)


class Mask(Protocol):
    """Something added to the scores of one site."""

    @property
    def causal(self) -> bool:
        """Whether no query sees a later key."""

    def tile(self, heads: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """Return what is added, float32, broadcastable to ``[heads, rows, cols]``."""


@dataclass(frozen=True, eq=False)
class Rule:
    """Hide later keys (``causal``), hide some keys from everyone (``keys``), or both."""

    causal: bool
    offset: int
    keys: Tensor | None
    fill: float

    def tile(self, heads: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """Return what is added, ``[1, rows, cols]``."""
        del heads
        hidden = torch.zeros(1, len(rows), len(cols), dtype=torch.bool, device=cols.device)
        if self.causal:
            hidden = hidden | (cols[None, :] > rows[:, None] + self.offset)
        if self.keys is not None:
            hidden = hidden | self.keys[cols]
        return _fill(hidden, self.fill)


@dataclass(frozen=True, eq=False)
class Packed:
    """Any boolean mask, eight pairs a byte: ``bits`` is ``[1 or heads, queries, ceil(keys / 8)]``."""

    bits: Tensor
    causal: bool
    fill: float

    def tile(self, heads: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """Return what is added, ``[1 or heads, rows, cols]``."""
        bits = self.bits[heads] if len(self.bits) > 1 else self.bits
        found = bits[:, rows][:, :, cols // 8] >> (cols % 8) & 1
        return _fill(found.bool(), self.fill)


@dataclass(frozen=True, eq=False)
class Diagonals:
    """A bias that depends on the distance alone (T5, ALiBi): ``values[:, key - query + queries - 1]``."""

    values: Tensor
    queries: int
    causal: bool

    def tile(self, heads: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """Return what is added, ``[1 or heads, rows, cols]``."""
        values = self.values[heads] if len(self.values) > 1 else self.values
        return values[:, cols[None, :] - rows[:, None] + self.queries - 1].float()


@dataclass(frozen=True, eq=False)
class Bias:
    """A real bias, ``[1 or heads, 1 or queries, keys]``, as the model made it."""

    values: Tensor
    causal: bool

    def tile(self, heads: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """Return what is added, ``[1 or heads, 1 or rows, cols]``."""
        values = self.values[heads] if len(self.values) > 1 else self.values
        values = values[:, rows] if values.shape[1] > 1 else values
        return values[:, :, cols].float()


def compact(mask: Tensor | None, queries: int, keys: int, *, is_causal: bool) -> Mask | None:
    """Return the smallest equivalent of what ``scaled_dot_product_attention`` was given.

    Parameters
    ----------
    mask : Tensor or None
        Boolean (True: may look) or float (added), broadcastable to ``[batch, heads, queries, keys]``.
        The first example of the batch counts.
    queries, keys : int
        Lengths.
    is_causal : bool
        The kernel's flag: a lower triangle from the top left corner.
    """
    if mask is None:
        return Rule(causal=True, offset=0, keys=None, fill=-math.inf) if is_causal and keys > 1 else None
    mask = mask.detach()
    mask = mask.reshape((1,) * (4 - mask.ndim) + tuple(mask.shape))[0]
    for dim in (0, 1):
        # Expanded along heads or queries: one copy says it all.
        if mask.shape[dim] > 1 and mask.stride(dim) == 0:
            mask = mask.narrow(dim, 0, 1)
    mask = mask.expand(-1, -1, keys)
    if mask.dtype is torch.bool:
        return _boolean(~mask, queries, -math.inf)
    fill = float(mask.min())
    hidden = mask == fill
    if fill == 0 and float(mask.max()) == 0:
        return None
    if fill < _HIDES and bool((hidden | (mask == 0)).all()):
        return _boolean(hidden, queries, fill)
    return _bias(mask, hidden if fill < _HIDES else None, queries)


def _boolean(hidden: Tensor, queries: int, fill: float) -> Mask | None:
    if not bool(hidden.any()):
        return None
    if len(hidden) > 1 and bool((hidden == hidden[:1]).all()):
        hidden = hidden[:1]
    keys = hidden.shape[-1]
    if len(hidden) == 1:
        last = hidden[0, -1]
        if hidden.shape[1] == 1 or bool((hidden == last).all()):
            return Rule(causal=False, offset=0, keys=last.clone(), fill=fill)
        for offset in {0, keys - queries}:
            later = _later(queries, keys, offset, hidden.device)
            # The last row of a causal mask is hidden only where the key itself is (padding).
            if torch.equal(hidden[0], later | last):
                return Rule(
                    causal=True, offset=offset, keys=last.clone() if bool(last.any()) else None, fill=fill
                )
    width = -(-keys // 8)
    padded = torch.nn.functional.pad(hidden, (0, width * 8 - keys)).reshape(*hidden.shape[:-1], width, 8)
    weights = 1 << torch.arange(8, device=hidden.device)
    bits = (padded * weights).sum(-1).to(torch.uint8)
    return Packed(bits, causal=_is_causal(hidden, queries), fill=fill)


def _bias(mask: Tensor, hidden: Tensor | None, queries: int) -> Mask:
    causal = hidden is not None and _is_causal(hidden, queries)
    if mask.shape[1] == queries > 1 and torch.equal(mask[:, 1:, 1:], mask[:, :-1, :-1]):
        first_column, first_row = mask[:, :, 0].flip(-1), mask[:, 0, 1:]
        return Diagonals(torch.cat([first_column, first_row], dim=-1), queries, causal)
    return Bias(mask.clone(), causal)


def _later(queries: int, keys: int, offset: int, device: torch.device) -> Tensor:
    return torch.ones(queries, keys, dtype=torch.bool, device=device).triu(1 + offset)


def _is_causal(hidden: Tensor, queries: int) -> bool:
    if hidden.shape[1] != queries or queries < 2 or hidden.shape[-1] != queries:
        return False
    return bool((hidden | ~_later(queries, queries, 0, hidden.device)).all())


def _fill(hidden: Tensor, fill: float) -> Tensor:
    return torch.zeros(hidden.shape, device=hidden.device).masked_fill_(hidden, fill)


def _same(a: Mask, b: Mask) -> bool:
    """Return whether two masks say the same: one kind, with equal fields."""
    return type(a) is type(b) and all(map(_equal, vars(a).values(), vars(b).values()))


def _equal(a: object, b: object) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
    return not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b


class MaskBook:
    """The masks of one forward pass, each kept once."""

    def __init__(self) -> None:
        self._by_tensor: dict[tuple[object, ...], tuple[Tensor, Mask | None]] = {}
        self._kept: list[Mask] = []

    def enter(self, mask: Tensor | None, queries: int, keys: int, *, is_causal: bool) -> Mask | None:
        """Return the compact mask, the same object for masks that say the same."""
        key: tuple[object, ...] = ()
        if mask is not None:
            key = (mask.data_ptr(), tuple(mask.shape), mask.stride(), version(mask), queries, keys)
            if key in self._by_tensor:
                return self._by_tensor[key][1]
        found = compact(mask, queries, keys, is_causal=is_causal)
        if found is not None:
            found = next((known for known in self._kept if _same(known, found)), found)
            if not any(found is known for known in self._kept):
                self._kept.append(found)
        if mask is not None:
            # The tensor is held until the forward is over, so that its address is not used again.
            self._by_tensor[key] = (mask, found)
        return found
