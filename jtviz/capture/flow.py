"""Which inputs, and which attention calls, each tensor of a forward pass was computed from.

Required: told from the forward pass alone, never from names. Each input and each attention call has
one bit; the bits of a result are those of its arguments. In self-attention queries and keys carry the
same bits; in cross-attention they do not, also when both sequences have the same length.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

_LISTS = (list, tuple)
_NESTED = (list, tuple, dict)


class Flow:
    """The bits of every live tensor. Tensors are referred to weakly: nothing is kept alive."""

    def __init__(self) -> None:
        self._bits: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._issued = 0

    def new_bit(self) -> int:
        """Return a bit nobody has."""
        self._issued += 1
        return 1 << (self._issued - 1)

    def of(self, value: Any) -> int:
        """Return the bits of a tensor, or of all tensors in a list, tuple or dict."""
        bits = 0
        parts = (
            value.values() if isinstance(value, dict) else value if isinstance(value, _LISTS) else (value,)
        )
        # Called for every function of a forward pass, so one loop for what is nearly always flat.
        for part in parts:
            if isinstance(part, Tensor):
                entry = self._bits.get(id(part))
                if entry is not None and entry[0]() is part:
                    bits |= entry[1]
            elif isinstance(part, _NESTED):
                bits |= self.of(part)
        return bits

    def known(self, tensor: Tensor) -> bool:
        """Return whether the tensor came out of a function that was seen."""
        entry = self._bits.get(id(tensor))
        return entry is not None and entry[0]() is tensor

    def mark(self, value: Any, bits: int) -> None:
        """Give bits to a tensor, or to all tensors in a list or tuple."""
        if isinstance(value, Tensor):
            # What is hidden from whom is no part of a sequence: masks carry nothing.
            self._bits[id(value)] = (weakref.ref(value), 0 if value.dtype is torch.bool else bits)
        elif isinstance(value, list | tuple):
            for part in value:
                self.mark(part, bits)


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested lists, tuples and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors(part)
    elif (
        isinstance(value, Iterable) and not isinstance(value, str | bytes) and isinstance(value, list | tuple)
    ):
        for part in value:
            yield from tensors(part)
