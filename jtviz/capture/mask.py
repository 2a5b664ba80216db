"""What a mask or bias adds to the scores, kept as small as what it says.

Required: never a float tokens x tokens tensor where a rule, a row, one byte for eight pairs or one
diagonal each says the same, and one copy for all layers that share it. Adding it must reproduce the
kernel exactly, so the value written where a key is hidden (``-inf``, or the smallest float, which
spreads a wholly masked row evenly) is kept too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .change import version
from .part import Part, positions, take

HIDES = -1e3  # a constant lower than this hides a key (libraries use -1e4, -1e9, finfo.min and -inf)


class Mask(Protocol):
    """Something added to the scores of one site."""

    @property
    def causal(self) -> bool:
        """Whether no query sees a later key."""

    def add_to(self, scores: Tensor, heads: Sequence[int], rows: Part, cols: Part) -> None:
        """Add it to these ``[heads, rows, cols]`` of the scores, float32, in place."""


@dataclass(frozen=True, eq=False)
class Rule:
    """Hide later keys (``causal``), hide some keys from everyone (``keys``), or both."""

    causal: bool
    offset: int
    keys: Tensor | None
    fill: float

    def add_to(self, scores: Tensor, heads: Sequence[int], rows: Part, cols: Part) -> None:
        """Add it to these ``[heads, rows, cols]`` of the scores, float32, in place."""
        del heads
        hidden = None if self.keys is None else take(self.keys, cols, 0)[None]
        if self.causal and not self._all_earlier(rows, cols):
            later = positions(cols, scores.device) > positions(rows, scores.device)[:, None] + self.offset
            hidden = later if hidden is None else later | hidden
        if hidden is not None:
            _hide(scores, hidden, self.fill)

    def _all_earlier(self, rows: Part, cols: Part) -> bool:
        if isinstance(rows, slice) and isinstance(cols, slice):
            return bool(cols.stop - 1 <= rows.start + self.offset)
        return False


@dataclass(frozen=True, eq=False)
class Packed:
    """Any boolean mask, eight pairs a byte: ``bits`` is ``[1 or heads, 1 or queries, ceil(keys / 8)]``."""

    bits: Tensor
    causal: bool
    fill: float

    def add_to(self, scores: Tensor, heads: Sequence[int], rows: Part, cols: Part) -> None:
        """Add it to these ``[heads, rows, cols]`` of the scores, float32, in place."""
        wanted = positions(cols, scores.device)
        bits = _of_heads(self.bits, heads)
        bits = take(bits, rows, 1) if bits.shape[1] > 1 else bits
        bits = bits.index_select(2, wanted // 8)
        _hide(scores, (bits >> (wanted % 8) & 1).bool(), self.fill)


@dataclass(frozen=True, eq=False)
class Diagonals:
    """What depends on the distance alone (T5, ALiBi, a window): ``values[:, key - query + queries - 1]``.

    Some keys may be hidden from everyone (``keys``), as padding is.
    """

    values: Tensor
    queries: int
    causal: bool
    keys: Tensor | None
    fill: float

    def add_to(self, scores: Tensor, heads: Sequence[int], rows: Part, cols: Part) -> None:
        """Add it to these ``[heads, rows, cols]`` of the scores, float32, in place."""
        device = scores.device
        distance = positions(cols, device) - positions(rows, device)[:, None]
        added = _of_heads(self.values, heads)[:, distance + self.queries - 1].float()
        if self.keys is not None:
            added = added.masked_fill(take(self.keys, cols, 0), self.fill)
        scores.add_(added)


@dataclass(frozen=True, eq=False)
class Bias:
    """A real bias, ``[1 or heads, 1 or queries, keys]``, as the model made it."""

    values: Tensor
    causal: bool

    def add_to(self, scores: Tensor, heads: Sequence[int], rows: Part, cols: Part) -> None:
        """Add it to these ``[heads, rows, cols]`` of the scores, float32, in place."""
        values = _of_heads(self.values, heads)
        values = take(values, rows, 1) if values.shape[1] > 1 else values
        scores.add_(take(values, cols, 2).float())


def _of_heads(x: Tensor, heads: Sequence[int]) -> Tensor:
    return x if len(x) == 1 or list(heads) == list(range(len(x))) else x[list(heads)]


def _hide(scores: Tensor, hidden: Tensor, fill: float) -> None:
    if fill == -math.inf:
        scores.masked_fill_(hidden, fill)
    else:
        # A finite constant is added, not written: what it leaves of the score counts.
        scores.add_(torch.where(hidden, fill, 0.0))


def compact(
    mask: Tensor | None, queries: int, keys: int, *, is_causal: bool, example: int = 0
) -> Mask | None:
    """Return the smallest equivalent of what ``scaled_dot_product_attention`` was given.

    Parameters
    ----------
    mask : Tensor or None
        Boolean (True: may look) or float (added), broadcastable to ``[batch, heads, queries, keys]``.
    queries, keys : int
        Lengths.
    is_causal : bool
        The kernel's flag: a lower triangle from the top left corner.
    example : int
        Which example of the batch counts.
    """
    if mask is None:
        return Rule(causal=True, offset=0, keys=None, fill=-math.inf) if is_causal and keys > 1 else None
    mask = mask.detach()
    mask = mask.reshape((1,) * (4 - mask.ndim) + tuple(mask.shape))
    mask = mask[example if len(mask) > 1 else 0]
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
    if fill < HIDES and bool((hidden | (mask == 0)).all()):
        return _boolean(hidden, queries, fill)
    return _bias(mask, mask < HIDES if fill < HIDES else None, queries)


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
        apart = _diagonals(hidden, hidden, queries, fill)
        if apart is not None:
            return apart
    width = -(-keys // 8)
    padded = torch.nn.functional.pad(hidden, (0, width * 8 - keys)).reshape(*hidden.shape[:-1], width, 8)
    weights = 1 << torch.arange(8, device=hidden.device, dtype=torch.uint8)
    bits = (padded * weights).sum(-1, dtype=torch.uint8)
    return Packed(bits, causal=_is_causal(hidden, queries), fill=fill)


def _bias(mask: Tensor, hidden: Tensor | None, queries: int) -> Mask:
    fill = -math.inf if hidden is None else float(mask.min())
    found = _diagonals(mask, hidden, queries, fill)
    if found is not None:
        return found
    return Bias(mask.clone(), hidden is not None and _is_causal(hidden, queries))


def _diagonals(mask: Tensor, hidden: Tensor | None, queries: int, fill: float) -> Diagonals | None:
    """Return the rule of a mask ``[1 or heads, queries, keys]`` that depends on the distance alone.

    Keys that everyone is kept from (padding, on either side) may break it.
    """
    if mask.shape[1] != queries or queries < 2:
        return None
    nobody = None if hidden is None else hidden.all(0).all(0)
    first, stop = 0, mask.shape[-1]
    if nobody is not None and bool(nobody.any()):
        seen = (~nobody).nonzero()[:, 0].tolist()
        first, stop = (seen[0], seen[-1] + 1) if seen else (0, 0)
        if stop - first != len(seen) or not seen:
            return None
        # What a row that sees nothing looks at depends on how its keys are hidden.
        alike = mask.dtype is torch.bool or bool((mask[..., nobody] == fill).all())
        if not alike and hidden is not None and bool(hidden.all(-1).any()):
            return None
    part = mask[:, :, first:stop]
    if not torch.equal(part[:, 1:, 1:], part[:, :-1, :-1]):
        return None
    values = torch.cat([part[:, :, 0].flip(-1), part[:, 0, 1:]], dim=-1)
    if mask.dtype is torch.bool:
        values = torch.zeros(values.shape, device=mask.device).masked_fill_(values, fill)
    # Distances that only keys hidden from everyone have.
    values = torch.nn.functional.pad(values, (first, mask.shape[-1] - stop))
    causal = hidden is not None and _is_causal(hidden, queries)
    kept = nobody if nobody is not None and stop - first < len(nobody) else None
    return Diagonals(values, queries, causal, kept, fill)


def _later(queries: int, keys: int, offset: int, device: torch.device) -> Tensor:
    return torch.ones(queries, keys, dtype=torch.bool, device=device).triu(1 + offset)


def _is_causal(hidden: Tensor, queries: int) -> bool:
    if hidden.shape[1] != queries or queries < 2 or hidden.shape[-1] != queries:
        return False
    return bool((hidden | ~_later(queries, queries, 0, hidden.device)).all())


def _same(a: Mask, b: Mask) -> bool:
    """Return whether two masks say the same: one kind, with equal fields."""
    return type(a) is type(b) and all(map(_equal, vars(a).values(), vars(b).values()))


def _equal(a: object, b: object) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
    return not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b


class MaskBook:
    """The masks of one forward pass, each kept once."""

    def __init__(self, example: int = 0) -> None:
        self._example = example
        self._by_tensor: dict[tuple[object, ...], tuple[Tensor, Mask | None]] = {}
        self._kept: list[Mask] = []

    def enter(self, mask: Tensor | None, queries: int, keys: int, *, is_causal: bool) -> Mask | None:
        """Return the compact mask, the same object for masks that say the same."""
        key: tuple[object, ...] = ()
        if mask is not None:
            key = (mask.data_ptr(), tuple(mask.shape), mask.stride(), version(mask), queries, keys)
            if key in self._by_tensor:
                return self._by_tensor[key][1]
        found = compact(mask, queries, keys, is_causal=is_causal, example=self._example)
        if found is not None:
            found = next((known for known in self._kept if _same(known, found)), found)
            if not any(found is known for known in self._kept):
                self._kept.append(found)
        if mask is not None:
            # The tensor is held until the forward is over, so that its address is not used again.
            self._by_tensor[key] = (mask, found)
        return found
