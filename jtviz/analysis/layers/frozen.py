"""A forward pass made linear in what its parts add to the residual stream.

Required: the numbers are those of the intact forward; nothing is told from names. Each head, each
feed-forward unit and each looked-up vector is cut from what it was computed from and multiplied with a share
(1); norms divide by the statistics of the intact forward, which are kept (Elhage et al. 2021, *A mathematical
framework for transformer circuits*). What is left is affine in the shares; where all are zero, it is what
biases add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from jtviz.capture import JtvizError
from jtviz.capture.intervention.edits import Edit
from jtviz.capture.intervention.intervention import Intervention
from jtviz.capture.intervention.places import HeadPlace, Places, UnitPlace

_STATISTICS = {
    torch.rsqrt, Tensor.rsqrt, torch.sqrt, Tensor.sqrt, torch.var, Tensor.var, torch.std, Tensor.std,
    torch.norm, Tensor.norm, torch.linalg.vector_norm,
}  # fmt: skip
"""What norms that are written out divide by."""

_POWERS = {torch.pow, Tensor.pow, Tensor.__pow__}

_NORM = {
    F.layer_norm: ("input", "normalized_shape", "weight", "bias", "eps"),
    F.rms_norm: ("input", "normalized_shape", "weight", "eps"),
}

_BENT = {
    F.gelu, F.relu, F.silu, F.tanh, torch.tanh, Tensor.tanh, torch.relu, Tensor.relu,
}  # fmt: skip
"""What is zero at zero: it multiplies with a factor, which is kept."""


@dataclass
class Shares:
    """How much of each part is there, and what the intact forward divided by.

    Attributes
    ----------
    heads : mapping of HeadPlace to Tensor
        ``[heads]``.
    units : mapping of UnitPlace to Tensor
        ``[units]``.
    vectors : list of Tensor
        ``[]`` of each look-up in an embedding, in order.
    tables : list of int
        Address of the table that was looked up in.
    kept : list of Tensor
        Statistics and factors, in order.
    bent : int
        How many factors were kept after the last part was added.
    """

    heads: Mapping[HeadPlace, Tensor]
    units: Mapping[UnitPlace, Tensor]
    vectors: list[Tensor] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    kept: list[Tensor] = field(default_factory=list)
    bent: int = 0

    @classmethod
    def whole(cls, places: Places, stages: Sequence[str], like: Tensor) -> Shares:
        """Return shares of one, of the heads and units of some stages; to be differentiated."""

        def ones(place: HeadPlace | UnitPlace) -> Tensor:
            return torch.ones(place.size, device=like.device, dtype=like.dtype, requires_grad=True)

        return cls(
            {p: ones(p) for p in places.heads}, {p: ones(p) for p in places.units if p.stage in stages}
        )


@contextmanager
def frozen(model: nn.Module, places: Places, shares: Shares, *, empty: bool = False) -> Iterator[None]:
    """Make the forward passes inside linear in the shares.

    Parameters
    ----------
    model : nn.Module
        A twin of the reader's model.
    places : Places
        Where its heads and units are.
    shares : Shares
        What is differentiated; filled with what is kept, unless `empty`.
    empty : bool
        Whether all shares are zero, and what was kept is used.
    """
    heads = {p: _Cut(share, shares=shares, empty=empty) for p, share in shares.heads.items()}
    units = {p: _Cut(share, shares=shares, empty=empty) for p, share in shares.units.items()}
    with Intervention(model, places, heads, units), _Linear(shares, empty=empty):
        yield


@dataclass(frozen=True)
class _Cut(Edit):
    """What a part adds, cut from what it was computed from, times its share."""

    shares: Shares | None = None
    empty: bool = False

    def of_heads(self, output: Tensor, lay: Callable[[Tensor], Tensor]) -> Tensor:
        # Not times zero: what is computed from an empty stream may be no number.
        return torch.zeros_like(output) if self.empty else super().of_heads(self._cut(output), lay)

    def of_units(self, given: Tensor) -> Tensor:
        return torch.zeros_like(given) if self.empty else super().of_units(self._cut(given))

    def _cut(self, x: Tensor) -> Tensor:
        if self.shares is not None:
            self.shares.bent = 0
        return x.detach()


class _Linear(TorchFunctionMode):
    """Freeze what is not linear in the stream, and cut what is looked up."""

    def __init__(self, shares: Shares, *, empty: bool) -> None:
        super().__init__()
        self._shares, self._empty = shares, empty
        self._next = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one torch function, or what it is with its statistics kept."""
        kwargs = kwargs or {}
        if func is F.embedding:
            return self._looked_up(func(*args, **kwargs), args[1] if len(args) > 1 else kwargs["weight"])
        if func in _NORM:
            return self._normed(func, **{**dict(zip(_NORM[func], args, strict=False)), **kwargs})
        if func in _STATISTICS or (func in _POWERS and _is_root(args, kwargs)):
            return self._kept(func(*args, **kwargs))
        if func in _BENT and args and isinstance(args[0], Tensor):
            x, result = args[0], func(*args, **kwargs)
            self._shares.bent += not self._empty
            return x * self._kept(torch.where(x == 0, 0, result / torch.where(x == 0, 1, x)))
        return func(*args, **kwargs)

    def _looked_up(self, vectors: Tensor, table: Tensor) -> Tensor:
        if self._empty:
            return torch.zeros_like(vectors)
        share = torch.ones((), device=vectors.device, dtype=vectors.dtype, requires_grad=True)
        self._shares.vectors.append(share)
        self._shares.tables.append(table.data_ptr())
        return vectors.detach() * share

    def _normed(
        self,
        func: Any,
        *,
        input: Tensor,  # noqa: A002 - torch's name
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float | None = None,
    ) -> Tensor:
        axes = tuple(range(-len(normalized_shape), 0))
        if eps is None:
            eps = 1e-5 if func is F.layer_norm else float(torch.finfo(input.dtype).eps)
        # In float32 where the model is in less, as the kernels do.
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        if func is F.layer_norm:
            wide = wide - wide.mean(axes, keepdim=True)
        divided: Tensor = wide * self._kept((wide.square().mean(axes, keepdim=True) + eps).rsqrt())
        scaled = divided.to(input.dtype)
        scaled = scaled if weight is None else scaled * weight
        return scaled if bias is None else scaled + bias

    def _kept(self, result: Any) -> Any:
        if not isinstance(result, Tensor) or not result.is_floating_point():
            return result
        kept = self._shares.kept
        if not self._empty:
            kept.append(result.detach())
            return kept[-1]
        number, self._next = self._next, self._next + 1
        if number >= len(kept) or kept[number].shape != result.shape:
            raise JtvizError("another forward pass ran.")
        return kept[number]


def _is_root(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    exponent = args[1] if len(args) > 1 else kwargs.get("exponent")
    return isinstance(exponent, float) and abs(exponent) == 1 / 2
