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
        self._transposed, self._first_look = transposed, first_look
        self._seen = (version(held), held.data_ptr(), _sample(held))

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
        if (version(held), held.data_ptr(), _sample(held)) != self._seen:
            raise SiteRefusedError(f"{what} was changed since the trace: trace again.")
        look = self._first_look  # another thread may be looking too
        if look is not None:
            look()
            self._first_look = None
        held = held.detach()
        return held.T if self._transposed else held


def _sample(weight: Tensor) -> tuple[float, ...]:
    """Return a few numbers of a weight: fused optimisers change it without raising its version."""
    if weight.is_meta:
        return ()
    flat = weight.detach().reshape(-1)
    return tuple(flat[:: max(1, len(flat) // 8)][:8].float().tolist())


class Multiplications:
    """Follow the outputs of attention to the weight that they are multiplied with, if that is all."""

    def __init__(self) -> None:
        self._last: tuple[weakref.ref[nn.Parameter], bool, int] | None = None
        self._open: dict[int, tuple[weakref.ref[Tensor], Site, Tensor]] = {}
        self._done: set[int] = set()

    def last(self, size: int) -> Weight | None:
        """Return the weight of the last multiplication, if it gave this many numbers."""
        if self._last is None or self._last[2] != size:
            return None
        held = self._last[0]()
        return None if held is None else Weight(held, transposed=self._last[1])

    def await_projection(self, output: Tensor, site: Site, row: Tensor) -> None:
        """Follow the output of a site; `row` is its first query's, ``[heads * d]``."""
        self._open[id(output)] = (weakref.ref(output), site, row)

    def follow(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> nn.Parameter | None:
        """Take note of one torch function; return the weight that anything but heads was multiplied with."""
        if func in _ARRANGES:
            found = self._found(args[0])
            if found is not None and isinstance(result, Tensor):
                self.await_projection(result, *found)
            return None
        factors = _factors(func, args, kwargs)
        if factors is None:
            for given in args if self._open else ():
                self._use_otherwise(given)
            return None
        given, weight, transposed = factors
        base = weight._base if isinstance(weight, Tensor) else None  # noqa: SLF001 - no public name for it
        if isinstance(base, nn.Parameter) and base.ndim == 2 and weight.shape == base.T.shape:
            # Falcon multiplies with ``weight.T``.
            weight, transposed = base, transposed == (weight.stride() == base.stride())
        if not isinstance(weight, nn.Parameter) or weight.ndim != 2:
            return None
        self._last = (weakref.ref(weight), transposed, result.shape[-1])
        found = self._found(given)
        if found is None:
            return weight
        site, row = found
        if site.bit in self._done:
            # A second product of the same output (LoRA, a gate): the first alone is not what heads add.
            site.projection = None
            return None
        self._done.add(site.bit)
        if _lies_in(given, site, row):
            site.projection = Weight(weight, transposed=transposed)
        return None

    def _use_otherwise(self, given: Any) -> None:
        found = self._found(given)
        if found is not None:
            found[0].projection = None
            self._done.add(found[0].bit)

    def _found(self, tensor: Any) -> tuple[Site, Tensor] | None:
        found = self._open.get(id(tensor))
        return found[1:] if found is not None and found[0]() is tensor else None


def _lies_in(given: Tensor, site: Site, row: Tensor) -> bool:
    """Whether the heads of a site lie side by side in what is multiplied, whichever axis comes first."""
    if given.shape[-1] != len(row):
        return False
    rows = given.detach().reshape(-1, len(row))
    places = {site.example * site.queries, site.example}
    return any(place < len(rows) and torch.equal(rows[place], row) for place in places)


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
