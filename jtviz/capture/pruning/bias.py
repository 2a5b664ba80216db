"""Score biases that the heads of several layers share, given to a layer that has fewer heads.

Required: the layer reads the biases of the heads that it still has, and hands on those of all heads (T5
computes them in its first layer, for every layer).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class SharedBias:
    """Hooks of one attention module, in both directions; they are saved and copied with the model.

    Parameters
    ----------
    kept : sequence of int
        The heads that are left.
    heads : int
        How many there were.
    """

    def __init__(self, kept: Sequence[int], heads: int) -> None:
        self.kept, self.heads = tuple(kept), heads
        self._whole: dict[int, list[tuple[Tensor, Tensor]]] = {}
        """Of each thread what the module was given or looked up: as it reads it, and of all heads."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to a forward pass."""
        return {"kept": self.kept, "heads": self.heads, "_whole": {}}

    def put_on(self, module: nn.Module, tables: Sequence[nn.Module]) -> list[RemovableHandle]:
        """Register on an attention module, and on the tables inside of it that hold a bias for each head."""
        return [
            module.register_forward_pre_hook(self.given, with_kwargs=True, prepend=True),
            *(table.register_forward_hook(self.looked_up) for table in tables),
            module.register_forward_hook(self.returned),
        ]

    def given(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Let a module read, of what it is given for all heads, its own."""
        self._whole[threading.get_ident()] = []
        taken = {name: self._own(value) for name, value in kwargs.items()}
        return tuple(map(self._own, args)), taken

    def looked_up(self, _: nn.Module, __: Any, output: Tensor) -> Tensor:
        """Do the same with ``[queries, keys, heads]`` out of a table."""
        own = output[..., list(self.kept)]
        if output.ndim == 3:
            self._remember(own.permute(2, 0, 1)[None], output.permute(2, 0, 1)[None])
        return own

    def returned(self, _: nn.Module, __: Any, output: Any) -> Any:
        """Hand on what there was of all heads."""
        known = self._whole.pop(threading.get_ident(), [])
        return tuple(self._all(part, known) for part in output) if isinstance(output, tuple) else output

    def _own(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim != 4 or value.shape[1] != self.heads:
            return value
        own = value[:, list(self.kept)]
        self._remember(own, value)
        return own

    def _remember(self, own: Tensor, whole: Tensor) -> None:
        self._whole.setdefault(threading.get_ident(), []).append((own, whole))

    def _all(self, part: Any, known: Sequence[tuple[Tensor, Tensor]]) -> Any:
        if not isinstance(part, Tensor) or part.ndim != 4 or part.shape[1] != len(self.kept):
            return part
        for own, whole in known:
            if own is part or (own.shape == part.shape and torch.equal(own, part)):
                return whole
        # A layer of its own kind without biases adds zero for each head that it counts.
        is_none = not known and not bool(part.any())
        return part.new_zeros(len(part), self.heads, *part.shape[2:]) if is_none else part
