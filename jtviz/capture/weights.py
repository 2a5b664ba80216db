"""The few weights that views of a trace need: output projections and the unembedding.

Required: found by what the forward pass did with the output of attention; referred to without keeping
the model alive; weights that have changed since are not taken for those of the trace.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .change import version
from .errors import JtvizError, SiteRefusedError
from .site import Site

_ARRANGES = {
    Tensor.transpose, Tensor.permute, Tensor.reshape, Tensor.view, Tensor.flatten, Tensor.contiguous,
    Tensor.to, Tensor.clone, torch.transpose, torch.permute, torch.reshape, torch.flatten, Tensor.squeeze,
}  # fmt: skip
_MULTIPLIES = {torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm}


class Weight:
    """One weight ``[in, out]``: of a living model, or read from a file.

    Parameters
    ----------
    held : Tensor
        The weight; a parameter of a model is referred to weakly.
    transposed : bool
        Whether it is ``[out, in]``, as in `torch.nn.Linear`.
    first_look : callable, optional
        What to check before it is first read.
    """

    def __init__(
        self, held: Tensor, *, transposed: bool, first_look: Callable[[], None] | None = None
    ) -> None:
        is_parameter = isinstance(held, nn.Parameter)
        self._read: Callable[[], Tensor | None] = weakref.ref(held) if is_parameter else lambda: held
        self._transposed, self._version, self._first_look = transposed, version(held), first_look

    def read(self, what: str) -> Tensor:
        """Return the weight ``[in, out]``.

        Raises
        ------
        JtvizError
            If the model it belongs to is gone.
        SiteRefusedError
            If it was changed since the trace.
        """
        held = self._read()
        if held is None:
            raise JtvizError(f"{what} went with the model: keep the model, or save the trace with along=.")
        if version(held) != self._version:
            raise SiteRefusedError(f"{what} was changed since the trace: trace again.")
        if self._first_look is not None:
            self._first_look()
            self._first_look = None
        held = held.detach()
        return held.T if self._transposed else held


class Multiplications:
    """Follow the outputs of attention to the weight that they are multiplied with first."""

    def __init__(self) -> None:
        self.last: Weight | None = None
        self.last_size = 0
        self._open: dict[int, tuple[weakref.ref[Tensor], Site]] = {}

    def await_projection(self, output: Tensor, site: Site) -> None:
        """Follow the output of a site."""
        self._open[id(output)] = (weakref.ref(output), site)

    def follow(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        """Take note of one torch function."""
        if func in _ARRANGES:
            if self._open and isinstance(result, Tensor) and (site := self._site(args[0])) is not None:
                self.await_projection(result, site)
            return
        found = _factors(func, args, kwargs)
        if found is None:
            return
        given, weight, transposed = found
        base = weight._base if isinstance(weight, Tensor) else None  # noqa: SLF001 - no public name for it
        if isinstance(base, nn.Parameter) and base.ndim == 2 and weight.shape == base.T.shape:
            # Falcon multiplies with ``weight.T``.
            weight, transposed = base, transposed == (weight.stride() == base.stride())
        if isinstance(weight, nn.Parameter) and weight.ndim == 2:
            self.last, self.last_size = Weight(weight, transposed=transposed), result.shape[-1]
            site = self._site(given)
            if site is not None and given.shape[-1] == site.heads * site.width and site.projection is None:
                site.projection = self.last

    def _site(self, tensor: Any) -> Site | None:
        found = self._open.get(id(tensor))
        return found[1] if found is not None and found[0]() is tensor else None


def _factors(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Tensor, Any, bool] | None:
    """Return what was multiplied with which weight, and whether that is ``[out, in]``."""
    if func is F.linear:
        return args[0], args[1] if len(args) > 1 else kwargs.get("weight"), True
    if func is torch.addmm and len(args) > 2:
        return args[1], args[2], False
    if func in _MULTIPLIES and len(args) > 1:
        return args[0], args[1], False
    return None


def by_heads(weight: Tensor, heads: int) -> Tensor:
    """Return a projection ``[heads * d, width]`` as ``[heads, d, width]``, float32."""
    return torch.unflatten(weight.float(), 0, (heads, -1))
