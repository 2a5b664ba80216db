"""Outputs of the blocks of one forward pass, given back instead of being computed again.

Required: exact. What runs before the first block that is changed is the same as in the intact model, so its
outputs are kept and returned; where a block returns anything but tensors, nothing is kept. Used on a twin
(see `jtviz.capture.twin`): the reader's modules are not touched.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self, TypeVar

from torch import Tensor, nn

from .places import HeadPlace, Places, UnitPlace

LIMIT = 2 << 30
"""Bytes kept of one batch; later blocks are computed again."""


class Prefix:
    """Blocks whose outputs can be given back, as long as the context is open.

    Parameters
    ----------
    twin : nn.Module
        Modules of our own.
    places : Places
        Its blocks, in the order they run.

    Examples
    --------
    >>> import torch, jtviz
    >>> from jtviz.capture.twin import twin_of
    >>> hooked = jtviz.demo.induction()
    >>> places, ids = hooked.trace("abcabc").places, torch.tensor([[5, 6, 7]])
    >>> with torch.no_grad(), twin_of(hooked.model) as twin, Prefix(twin, places) as prefix:
    ...     with prefix.keeping():
    ...         whole = twin(ids)
    ...     with prefix.skipping(1):
    ...         torch.equal(twin(ids), whole)
    True
    """

    def __init__(self, twin: nn.Module, places: Places) -> None:
        self._twin, self._places = twin, places
        self._numbers = {block: number for number, block in enumerate(places.blocks)}
        self._calls: Counter[str] = Counter()
        self._kept: list[Any] = []
        self._bytes = 0
        self._is_keeping = False
        self._skipped = 0
        self._replaced: list[tuple[nn.Module, Any]] = []

    def __enter__(self) -> Self:
        """Begin."""
        for path in dict.fromkeys(path for path, _ in self._places.blocks):
            block = self._twin.get_submodule(path)
            self._replaced.append((block, vars(block).get("forward")))
            block.forward = self._instead(path, block.forward)
        return self

    def __exit__(self, *exception: object) -> None:
        """Let every block compute again."""
        while self._replaced:
            block, own = self._replaced.pop()
            del block.forward
            if own is not None:
                block.forward = own
        self._kept.clear()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep what the blocks return in the one forward pass inside."""
        self._kept.clear()
        self._bytes = 0
        self._calls.clear()
        self._is_keeping = True
        try:
            yield
        finally:
            self._is_keeping = False

    def before(self, block: int | None) -> int:
        """Return how many blocks need not be computed again if this is the first that is changed."""
        return 0 if block is None else min(block, len(self._kept))

    @contextmanager
    def skipping(self, blocks: int) -> Iterator[None]:
        """Give back, in the one forward pass inside, what the first blocks returned."""
        self._calls.clear()
        self._skipped = blocks
        try:
            yield
        finally:
            self._skipped = 0

    def _instead(self, path: str, own: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(own)
        def forward(*args: Any, **kwargs: Any) -> Any:
            call = self._calls[path]
            self._calls[path] += 1
            number = self._numbers.get((path, call))
            if number is None:
                return own(*args, **kwargs)
            if number < self._skipped:
                # What follows may change it in place.
                return _copied(self._kept[number])
            output = own(*args, **kwargs)
            # Only a run of blocks from the first one on can be skipped.
            if self._is_keeping and number == len(self._kept) and _can_be_kept(output):
                self._bytes += _bytes(output)
                if self._bytes <= LIMIT:
                    self._kept.append(_copied(output))
            return output

        return forward


_Place = TypeVar("_Place", HeadPlace, UnitPlace)


class Shifted:
    """Where heads and units are if the first blocks are skipped.

    A module that is called for several layers (ALBERT) is called less often then.

    Parameters
    ----------
    places : Places
        Where they are in a whole forward pass.
    blocks : int
        How many blocks are skipped.
    """

    def __init__(self, places: Places, blocks: int) -> None:
        every: tuple[HeadPlace | UnitPlace, ...] = (*places.heads, *places.units)
        self._gone = Counter(
            place.path for place in every if place.block is not None and place.block < blocks
        )
        self.places = replace(
            places, heads=tuple(map(self.head, places.heads)), units=tuple(map(self.unit, places.units))
        )

    def head(self, place: HeadPlace) -> HeadPlace:
        """Return where the heads of a place are."""
        return self._of(place)

    def unit(self, place: UnitPlace) -> UnitPlace:
        """Return where the units of a place are."""
        return self._of(place)

    def _of(self, place: _Place) -> _Place:
        gone = self._gone[place.path]
        return place if not gone else replace(place, call=(place.call - gone) % place.calls)


def are_apart(places: Places) -> bool:
    """Return whether there are blocks, and none is inside another one."""
    paths = {path for path, _ in places.blocks}
    return bool(paths) and not any(
        one != other and other.startswith(f"{one}.") for one in paths for other in paths
    )


def _can_be_kept(output: Any) -> bool:
    if type(output) is tuple:
        return all(map(_can_be_kept, output))
    return output is None or type(output) is Tensor


def _copied(output: Any) -> Any:
    if isinstance(output, tuple):
        return tuple(map(_copied, output))
    return output.clone() if isinstance(output, Tensor) else output


def _bytes(output: Any) -> int:
    if isinstance(output, tuple):
        return sum(map(_bytes, output))
    return output.nbytes if isinstance(output, Tensor) else 0
