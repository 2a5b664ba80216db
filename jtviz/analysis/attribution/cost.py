"""What an attribution takes, before it starts: memory for one example, time for one, and how many at once.

Required: the memory is counted from what PyTorch really keeps for the backward pass, not estimated from
the size of the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from jtviz.capture.flow import tensors

MEMORY = 1 << 30
"""Bytes that the examples of one batch may take beside the model, unless said otherwise."""


_QUICK = 1.0
_BESIDE = 1.5
# What an example takes, by what is kept for its backward pass: beside that are tensors that come and go, and
# what the allocator leaves empty between them (1.4 for BERT base and 512 tokens: tests/bench).


@dataclass(frozen=True)
class Cost:
    """What one example costs.

    Attributes
    ----------
    nbytes : int
        Bytes it takes while it runs: those kept for its backward pass, and half as many beside.
    seconds : float
        Time of its forward and backward pass.
    has_gradient : bool
        Whether a gradient reaches the vectors.
    """

    nbytes: int
    seconds: float
    has_gradient: bool = True

    def at_once(self, count: int, memory: int) -> int:
        """Return how many of `count` examples fit into `memory` bytes; at least one."""
        return max(1, min(count, memory // max(1, self.nbytes)))

    def words(self, count: int, memory: int) -> str:
        """Say what `count` examples take: ``about 12 s and 0.9 GiB, 16 at a time``."""
        many = self.at_once(count, memory)
        gib = many * self.nbytes / (1 << 30)
        return f"about {self.seconds * count:.0f} s and {gib:.1f} GiB, {many} at a time"


class _Written(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes that are computed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nbytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation."""
        found = func(*args, **(kwargs or {}))
        self.nbytes += sum(tensor.nbytes for tensor in tensors(found))
        return found


def measure(
    function: Callable[..., Tensor], *vectors: Tensor, weights: Iterable[Tensor], gradient: bool = True
) -> Cost:
    """Run one example and differentiate it, and return what it cost.

    Parameters
    ----------
    function : callable
        Takes vectors to one number an example.
    *vectors : Tensor
        ``[1, tokens, width]`` of each side.
    weights : iterable of Tensor
        What is there anyway.
    gradient : bool
        Whether a gradient can be had.
    """
    there = {weight.untyped_storage().data_ptr() for weight in weights}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in there:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    reached = False

    def run() -> float:
        nonlocal reached
        begin = time.perf_counter()
        given = [vector.detach().requires_grad_(gradient) for vector in vectors]
        number = function(*given).sum()
        if gradient and number.requires_grad:
            found = torch.autograd.grad(number, given, allow_unused=True)
            reached = any(one is not None for one in found)
        return time.perf_counter() - begin

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        seconds = run()
    if not reached:
        # Nothing was kept for a gradient: what was computed is about what would have been.
        with _Written() as written, torch.no_grad():
            function(*vectors)
        return Cost(written.nbytes, seconds, has_gradient=False)
    # The first run of a process also loads what it needs: a quick one is timed again.
    taken = int(_BESIDE * sum(kept.values()))
    return Cost(taken, min(seconds, run()) if seconds < _QUICK else seconds)
