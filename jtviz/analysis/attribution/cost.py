"""What an attribution takes, before it starts: memory for one example, time for one, and how many at once.

Required: the memory is counted from what PyTorch really keeps for the backward pass, not estimated from
the size of the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

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
    """

    nbytes: int
    seconds: float

    def at_once(self, count: int, memory: int) -> int:
        """Return how many of `count` examples fit into `memory` bytes; at least one."""
        return max(1, min(count, memory // max(1, self.nbytes)))

    def words(self, count: int, memory: int) -> str:
        """Say what `count` examples take: ``about 12 s and 0.9 GiB, 16 at a time``."""
        many = self.at_once(count, memory)
        gib = many * self.nbytes / (1 << 30)
        return f"about {self.seconds * count:.0f} s and {gib:.1f} GiB, {many} at a time"


def measure(function: Callable[..., Tensor], *vectors: Tensor, weights: Iterable[Tensor]) -> Cost:
    """Run one example and differentiate it, and return what it cost.

    Parameters
    ----------
    function : callable
        Takes vectors to one number an example.
    *vectors : Tensor
        ``[1, tokens, width]`` of each side.
    weights : iterable of Tensor
        What is there anyway.
    """
    there = {weight.untyped_storage().data_ptr() for weight in weights}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in there:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def run() -> float:
        begin = time.perf_counter()
        given = [vector.detach().requires_grad_() for vector in vectors]
        torch.autograd.grad(function(*given).sum(), given, allow_unused=True)
        return time.perf_counter() - begin

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        seconds = run()
    # The first run of a process also loads what it needs: a quick one is timed again.
    taken = int(_BESIDE * sum(kept.values()))
    return Cost(taken, min(seconds, run()) if seconds < _QUICK else seconds)
