"""Cut weights, and set what modules know of their size; all of it can be put back.

Required: what is left of a weight is bit for bit what it was, on the same device, and as trainable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .probe import Features, Linear


class Journal:
    """What was changed in a model, so that it can be put back.

    Examples
    --------
    >>> layer, journal = nn.Linear(4, 3), Journal()
    >>> journal.set(layer, "out_features", 2)
    >>> journal.undo()
    >>> layer.out_features
    3
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute, a parameter or a child module."""
        before = getattr(owner, name)
        self.on_undo(lambda: setattr(owner, name, before))
        setattr(owner, name, value)

    def fill_with_zero(self, parameter: Tensor, axis: int, which: Tensor) -> None:
        """Set slices of a parameter to zero, in place: whatever shares it sees it."""
        values, at = parameter.data, which.to(parameter.device).nonzero()[:, 0]
        before = values.index_select(axis, at)
        self.on_undo(lambda: values.index_copy_(axis, at, before))
        values.index_fill_(axis, at, 0)

    def on_undo(self, action: Callable[[], Any]) -> None:
        """Remember how to put something back."""
        self._undo.append(action)

    def undo(self) -> None:
        """Put all back, the last first."""
        while self._undo:
            self._undo.pop()()


def cut_rows(journal: Journal, features: Features) -> None:
    """Remove outputs of linear layers."""
    for linear, which in features:
        keep = (~which).nonzero()[:, 0]
        _cut(journal, linear.module, "weight", linear.row_axis, keep)
        if isinstance(getattr(linear.module, "bias", None), nn.Parameter):
            _cut(journal, linear.module, "bias", 0, keep)
        _resize(journal, linear, ("out_features", "nf"), len(which), len(keep))


def cut_columns(journal: Journal, features: Features) -> None:
    """Remove inputs of linear layers."""
    for linear, which in features:
        keep = (~which).nonzero()[:, 0]
        _cut(journal, linear.module, "weight", linear.column_axis, keep)
        _resize(journal, linear, ("in_features", "nx"), len(which), len(keep))


def zero_rows(journal: Journal, features: Features) -> None:
    """Set outputs of linear layers to zero for good."""
    for linear, which in features:
        journal.fill_with_zero(linear.module.weight, linear.row_axis, which)  # type: ignore[arg-type]
        if isinstance(getattr(linear.module, "bias", None), nn.Parameter):
            journal.fill_with_zero(linear.module.bias, 0, which)  # type: ignore[arg-type]


def zero_columns(journal: Journal, features: Features) -> None:
    """Have linear layers ignore some of their inputs for good."""
    for linear, which in features:
        journal.fill_with_zero(linear.module.weight, linear.column_axis, which)  # type: ignore[arg-type]


def cut_axis(journal: Journal, module: nn.Module, name: str, axis: int, drop: Sequence[int]) -> None:
    """Remove slices of a parameter along an axis that is heads."""
    size = getattr(module, name).shape[axis]
    keep = torch.tensor([i for i in range(size) if i not in set(drop)])
    _cut(journal, module, name, axis, keep)
    if isinstance(module, nn.Embedding):
        journal.set(module, ("num_embeddings", "embedding_dim")[axis], len(keep))


def mark(size: int, which: Sequence[int], width: int = 1) -> Tensor:
    """Return ``[size * width]``, bool: where these parts are, if they lie side by side."""
    marked = torch.zeros(size, dtype=torch.bool)
    marked[list(which)] = True
    return marked.repeat_interleave(width)


def tied(model: nn.Module) -> set[int]:
    """Return the parameters, by `id`, that more than one module has."""
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return {key for key, count in owners.items() if count > 1}


def is_tied(features: Features, shared: set[int]) -> bool:
    """Return whether other modules have one of these weights too."""
    return any(id(p) in shared for linear, _ in features for p in linear.module.parameters(recurse=False))


def _cut(journal: Journal, module: nn.Module, name: str, axis: int, keep: Tensor) -> None:
    before: Any = getattr(module, name)
    with torch.no_grad():
        left = before.detach().index_select(axis, keep.to(before.device)).contiguous()
    journal.set(module, name, nn.Parameter(left, requires_grad=before.requires_grad))


def _resize(journal: Journal, linear: Linear, names: Sequence[str], before: int, after: int) -> None:
    for name in names:
        if getattr(linear.module, name, None) == before:
            journal.set(linear.module, name, after)
