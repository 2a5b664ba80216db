"""Which positions along one axis: a range, which is a view and costs nothing, or a list of them."""

from __future__ import annotations

import torch
from torch import Tensor

Part = slice | Tensor
"""A slice with a start, a stop and no step, or positions ``[n]`` in any order."""


def positions(part: Part, device: torch.device) -> Tensor:
    """Return the positions, ``[n]``."""
    return part if isinstance(part, Tensor) else torch.arange(part.start, part.stop, device=device)


def size(part: Part) -> int:
    """Return how many positions there are."""
    return len(part) if isinstance(part, Tensor) else max(0, part.stop - part.start)


def whole(part: Part, count: int) -> bool:
    """Return whether the part is the whole axis of `count` positions."""
    return isinstance(part, slice) and part.start == 0 and part.stop == count


def take(x: Tensor, part: Part, dim: int) -> Tensor:
    """Return these positions of a tensor along one axis; a view where that can be."""
    if isinstance(part, Tensor):
        return x.index_select(dim, part)
    return x.narrow(dim, part.start, size(part))
