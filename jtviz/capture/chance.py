"""Random state of the process: as it was found afterwards, whichever threads read models at once.

Required: what is seeded draws the same numbers in every thread, and the states that others draw from are
those that they had; what a cell draws while a view computes in another thread is not drawn again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class _Generator:
    """A default generator of torch, of the whole process."""

    state: Callable[[], Tensor]
    put_back: Callable[[Tensor], Any]
    seed: Callable[[int], Any]


_SEEDED = threading.RLock()
"""Held by the one that draws seeded numbers: torch and NumPy have one state for all threads."""
_COUNTS = threading.Lock()
_kept: dict[str, tuple[int, Tensor]] = {}
"""Of each device how many keep its state, and what it was when the first of them began."""


@contextmanager
def kept(model: nn.Module) -> Iterator[None]:
    """Leave the random state of the CPU and of a model's devices as it was found.

    Only in the main thread, where nobody else draws meanwhile. In another one a cell may: put back, it would
    draw the same numbers once more, and nothing would say so. There a model that draws although it is in
    evaluation draws on.

    Parameters
    ----------
    model : nn.Module
        Whose devices.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _kept_by_all(model):
        yield


@contextmanager
def _kept_by_all(model: nn.Module) -> Iterator[None]:
    """Keep it in any thread.

    Where several overlap, it is put back when the last is done: what is there when a second one begins may
    be another's seeded state.
    """
    found = _generators(model)
    with _COUNTS:
        for name, generator in found.items():
            count, state = _kept.get(name) or (0, generator.state())
            _kept[name] = (count + 1, state)
    try:
        yield
    finally:
        with _COUNTS:
            for name, generator in found.items():
                count, state = _kept.pop(name)
                if count > 1:
                    _kept[name] = (count - 1, state)
                else:
                    generator.put_back(state)


@contextmanager
def seeded(seed: int, model: nn.Module) -> Iterator[None]:
    """Draw the same random numbers at every call, from torch and NumPy, one thread at a time.

    Parameters
    ----------
    seed : int
        At least 0.
    model : nn.Module
        Whose devices are seeded, beside the CPU; no others.
    """
    with _SEEDED, _kept_by_all(model):
        found = _generators(model)
        states = [generator.state() for generator in found.values()]
        legacy = np.random.get_state()  # noqa: NPY002 - the generator that Captum uses
        try:
            for generator in found.values():
                generator.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002 - the generator that Captum uses
            yield
        finally:
            np.random.set_state(legacy)  # noqa: NPY002 - the generator that Captum uses
            for generator, state in zip(found.values(), states, strict=True):
                generator.put_back(state)


def _generators(model: nn.Module) -> dict[str, _Generator]:
    cpu = _Generator(torch.get_rng_state, torch.set_rng_state, torch.default_generator.manual_seed)
    found = {"cpu": cpu}
    for device in {p.device for p in model.parameters()}:
        if device.type == "cuda":
            found[str(device)] = _Generator(
                partial(torch.cuda.get_rng_state, device),
                partial(torch.cuda.set_rng_state, device=device),
                torch.cuda.default_generators[device.index].manual_seed,
            )
        elif device.type == "mps":
            found["mps"] = _Generator(torch.mps.get_rng_state, torch.mps.set_rng_state, torch.mps.manual_seed)
    return found
