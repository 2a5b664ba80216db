"""Which positions along one axis: how a reader says it, and how tensors are cut by it.

Required: a range stays a range, which is a view and costs nothing; a position that is not there is
refused with what is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import SupportsIndex

import torch
from torch import Tensor

from .errors import JtvizError, OutOfRangeError

Index = int | Sequence[int] | slice | None
"""How a reader says which positions: None means all."""

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


def plain(given: object) -> object:
    """Return an index in Python's own types: NumPy's and torch's numbers and arrays are welcome too."""
    listed: Callable[[], object] | None = getattr(given, "tolist", None)
    return given if listed is None else listed()


def is_int(value: object) -> bool:
    """Return whether this is a whole number, of Python, NumPy or torch."""
    # Arrays of any shape have the method, too.
    return hasattr(value, "__index__") and not isinstance(value, bool) and not getattr(value, "shape", ())


def stretch(given: object, count: int, name: str) -> slice:
    """Return a slice with a start and a stop; raise if it has steps or holds nothing."""
    if given is None:
        return slice(0, count)
    if not isinstance(given, slice) or given.step not in {None, 1}:
        raise JtvizError(f"{name}= is a slice without steps, not {given!r}.")
    start, stop, _ = given.indices(count)
    if start >= stop:
        raise JtvizError(f"{name}={given!r} is empty: there are {count}.")
    return slice(start, stop)


def chosen(given: object, count: int, what: str, where: str, device: torch.device) -> Part:
    """Return which positions of one axis are meant; raise if one is not there."""
    given = plain(given)
    if given is None:
        return slice(0, count)
    if isinstance(given, slice):
        wanted = range(*given.indices(count))
        if wanted.step == 1:
            return slice(wanted.start, max(wanted.start, wanted.stop))
        return torch.tensor(list(wanted), dtype=torch.long, device=device)
    if isinstance(given, Sequence) and not isinstance(given, str):
        if given and all(isinstance(i, bool) for i in given) and len(given) == count:
            listed = [i for i, is_chosen in enumerate(given) if is_chosen]
        elif all(is_int(i) for i in given):
            listed = [int(i) for i in given]
        else:
            raise JtvizError(f"{what} must be whole numbers, or one True or False for each, not {given!r}.")
    elif isinstance(given, SupportsIndex) and is_int(given):
        listed = [given.__index__()]
    else:
        raise JtvizError(f"{what} must be an int, a list of ints, a slice or None, not {given!r}.")
    for i in listed:
        if not -count <= i < count:
            raise OutOfRangeError(f"{what} {i} is not there: {where} has {what}s 0 to {count - 1}.")
    if len(listed) == 1:
        return slice(listed[0] % count, listed[0] % count + 1)
    return torch.tensor([i % count for i in listed], dtype=torch.long, device=device)
