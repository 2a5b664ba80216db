"""Modules of their own on the weights of a model, so that the reader's model is left to itself.

Required: nothing large is copied, and a reader's hooks run as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn

from .own_hooks import changing, forget_others

_TRIES = 4


@contextmanager
def twin_of(model: nn.Module) -> Iterator[nn.Module]:
    """Yield modules of their own on the same weights, where a model can be copied.

    Whatever happens to them, and in whatever thread, the reader's model has its flags and its list of hooks
    to itself. Hooks run as they are, and see what they always see; tensors are not copied, wherever they are.
    No gradient reaches the weights: nothing is kept for them, which is most of the memory.
    """
    twin = _copied(model)
    if twin is not None:
        yield twin
        return
    wanted = [p for p in model.parameters() if p.requires_grad]
    try:
        for parameter in wanted:
            parameter.requires_grad_(False)
        yield model
    finally:
        for parameter in wanted:
            parameter.requires_grad_()


def _copied(model: nn.Module) -> nn.Module | None:
    """Return the twin; None where there can be none."""
    for _ in range(_TRIES):
        held = [*model.parameters(), *model.buffers()]
        shared: dict[int, Any] = {id(tensor): tensor.detach() for tensor in held}
        modules = {id(module) for module in model.modules()}
        try:
            with changing:
                for module in model.modules():
                    shared |= _not_copied(module, modules)
                twin = copy.deepcopy(model, shared)
                forget_others(twin)
                return twin
        except Exception as error:  # noqa: BLE001 - what a model holds can be anything; some cannot be copied
            # Of a dict: a reader's thread gave the model a hook or an attribute meanwhile.
            if "during iteration" not in str(error):
                return None
    return None


def _not_copied(module: nn.Module, modules: AbstractSet[int]) -> dict[int, Any]:
    """Return what a twin shares with a module, by its `id`: hooks, and tensors in plain attributes."""
    shared: dict[int, Any] = {}
    for name, value in vars(module).items():
        if name in {"_parameters", "_buffers", "_modules"}:
            continue
        if name.endswith("_hooks") and isinstance(value, dict):
            for hook in value.values():
                # A method of a module of the model belongs to the twin of that module.
                if id(hook) not in modules and id(getattr(hook, "__self__", None)) not in modules:
                    shared[id(hook)] = hook
        else:
            for tensor in _held(value):
                is_open = isinstance(tensor, Tensor) and tensor.requires_grad
                shared[id(tensor)] = tensor.detach() if is_open else tensor
    return shared


def _held(value: Any) -> Iterator[Any]:
    """Yield the tensors and arrays in an attribute, or in lists and dicts that it is."""
    if isinstance(value, Tensor | np.ndarray):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _held(part)
    elif isinstance(value, dict):
        yield from _held(list(value.values()))
