"""Which rows and columns of which weights belong to which heads and units.

Required: told from the computation, never from names, shapes or an order of features: a row belongs to a head
if that head's output, and no other one's, depends on it. Linear layers return random numbers meanwhile, so
that each attention, and each feed-forward layer, depends on the layers right before it alone, and nothing is
zero by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..asfound import as_found
from ..chance import seeded
from ..inputs import Prepared
from ..intervention.edits import Edit
from ..intervention.intervention import Intervention
from ..intervention.places import HeadPlace, Places, UnitPlace


@dataclass(frozen=True)
class Linear:
    """A module that multiplies with a weight.

    Attributes
    ----------
    module : nn.Module
        It.
    is_turned : bool
        Whether its weight is ``[in, out]``, as GPT-2 has it.
    """

    module: nn.Module
    is_turned: bool

    @property
    def row_axis(self) -> int:
        """The axis of what it returns."""
        return 1 if self.is_turned else 0

    @property
    def column_axis(self) -> int:
        """The axis of what it takes."""
        return 0 if self.is_turned else 1


Lay = Callable[[Tensor], Tensor]
"""How factors of heads lie beside an output, as in `Edit.of_heads`."""

Features = list[tuple[Linear, Tensor]]
"""Of each layer which of its features, ``[features]``, bool."""


@dataclass(frozen=True)
class _Noting(Edit):
    """An edit that says what it is of."""

    note: Callable[[Tensor, Lay], None] = lambda _, __: None

    def of_heads(self, output: Tensor, lay: Lay) -> Tensor:
        self.note(output, lay)
        return super().of_heads(output, lay)


@dataclass(eq=False)
class _Call:
    linear: Linear
    given: Tensor
    returned: Tensor


class Probe:
    """One forward pass of a model with random numbers behind every linear layer.

    Parameters
    ----------
    model : nn.Module
        A copy that nobody else uses.
    places : Places
        Where its heads and units are.
    reading : Prepared
        What is read.
    """

    def __init__(self, model: nn.Module, places: Places, reading: Prepared) -> None:
        self._calls: list[_Call] = []
        self._of: dict[tuple[str, int], _Call] = {}
        self._at: dict[HeadPlace, int] = {}
        self._outputs: dict[HeadPlace, tuple[Tensor, Lay]] = {}
        self._keep = {place: torch.ones(place.heads, requires_grad=True) for place in places.heads}
        edits = {place: _Noting(keep, None, partial(self._note, place)) for place, keep in self._keep.items()}
        handles = [
            module.register_forward_hook(self._replacing(path), with_kwargs=True)
            for path, module in model.named_modules()
            if _has_matrix(module)
        ]
        try:
            with (
                as_found(model, gradients=True),
                seeded(0, model),
                Intervention(model, places, edits),
            ):
                model(*reading.args, **reading.kwargs)
        finally:
            for handle in handles:
                handle.remove()

    def linear(self, path: str) -> Linear | None:
        """Return the linear layer of a path, None if that is none."""
        found = self._of.get((path, 0))
        return None if found is None else found.linear

    def rows(self, places: Sequence[HeadPlace | UnitPlace], part: Sequence[int]) -> Features:
        """Return which outputs of which layers only these heads or units depend on, in every call."""
        off: dict[int, Tensor] = {}
        on: dict[int, Tensor] = {}
        linears: dict[int, Linear] = {}
        for place in places:
            rest = [i for i in range(place.size) if i not in set(part)]
            for found, which in ((off, list(part)), (on, rest)):
                values, end = self._values(place, which)
                calls = self._calls[:end]
                if values is None or not calls:
                    continue
                weighed = (values * torch.rand_like(values).add_(0.5)).sum()
                leaves = [call.returned for call in calls]
                gradients = torch.autograd.grad(weighed, leaves, retain_graph=True, allow_unused=True)
                for call, gradient in zip(calls, gradients, strict=True):
                    if gradient is not None:
                        key = id(call.linear.module)
                        linears[key] = call.linear
                        uses = gradient.flatten(0, -2).ne(0).any(0)
                        found[key] = found[key] | uses if key in found else uses
        own = {key: off[key] & ~on[key] if key in on else off[key] for key in off}
        return [(linears[key], which) for key, which in own.items() if bool(which.any())]

    def columns(self, places: Sequence[HeadPlace], part: Sequence[int]) -> Features:
        """Return which inputs of which layers are of these heads alone, in every call."""
        off: dict[int, Tensor] = {}
        on: dict[int, Tensor] = {}
        linears: dict[int, Linear] = {}
        for place in places:
            if place not in self._at:
                continue
            start = self._at[place]
            end = min((at for at in self._at.values() if at > start), default=len(self._calls))
            rest = [i for i in range(place.size) if i not in set(part)]
            for call in self._calls[start:end]:
                for found, which in ((off, list(part)), (on, rest)):
                    uses = self._used(call.given, self._keep[place], which)
                    if uses is not None:
                        key = id(call.linear.module)
                        linears[key] = call.linear
                        found[key] = found[key] | uses if key in found else uses
        own = {key: off[key] & ~on[key] if key in on else off[key] for key in off}
        return [(linears[key], which) for key, which in own.items() if bool(which.any())]

    def _values(self, place: HeadPlace | UnitPlace, which: Sequence[int]) -> tuple[Tensor | None, int]:
        """Return what these heads or units put out, zero elsewhere, and how many layers had run before."""
        select = torch.zeros(place.size)
        select[list(which)] = 1
        if isinstance(place, HeadPlace):
            output, lay = self._outputs.get(place, (None, None))
            if output is None or lay is None or not output.requires_grad or not which:
                return None, 0
            return output * lay(select[None, :, None, None].to(output)), self._at[place]
        call = self._of.get((place.path, place.call))
        if call is None or not call.given.requires_grad or not which:
            return None, 0
        return call.given * select.to(call.given), self._calls.index(call)

    @staticmethod
    def _used(given: Tensor, keep: Tensor, which: Sequence[int]) -> Tensor | None:
        """Return which features of an input these heads add to: those with a derivative by their factors."""
        if not given.requires_grad or not which:
            return None
        weight = torch.ones_like(given, requires_grad=True)
        of_heads: tuple[Tensor | None, ...] = torch.autograd.grad(
            (given * weight).sum(), keep, create_graph=True, allow_unused=True
        )
        by_head = of_heads[0]
        if by_head is None or not by_head.requires_grad:
            return None
        try:
            of_features: tuple[Tensor | None, ...] = torch.autograd.grad(
                by_head[list(which)].sum(), weight, retain_graph=True, allow_unused=True
            )
        except RuntimeError:
            # Another attention is in between, whose kernel has no second derivative: not what reads these.
            return None
        by_feature = of_features[0]
        return None if by_feature is None else by_feature.flatten(0, -2).ne(0).any(0)

    def _note(self, place: HeadPlace, output: Tensor, lay: Lay) -> None:
        self._at[place], self._outputs[place] = len(self._calls), (output, lay)

    def _replacing(self, path: str) -> Callable[..., Any]:
        calls: Counter[str] = Counter()

        def replace(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            given: Any = args[0] if args else next(iter(kwargs.values()), None)
            linear = _as_linear(module, given, output)
            if linear is None:
                return None
            # Positive, so that no unit behind a ReLU is dead.
            random = torch.empty_like(output).uniform_(0.1, 1.0).detach().requires_grad_()
            call = _Call(linear, given, random)
            self._calls.append(call)
            self._of[path, calls[path]] = call
            calls[path] += 1
            return random.clone()  # which may be changed in place

        return replace


def _has_matrix(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    is_matrix = isinstance(weight, nn.Parameter) and weight.ndim == 2 and weight.is_floating_point()
    return is_matrix and not any(True for _ in module.children())


def _as_linear(module: nn.Module, given: Any, output: Any) -> Linear | None:
    """Return what a module is, told from one row of what it took and returned; None if no linear layer."""
    is_row_by_row = (
        isinstance(given, Tensor)
        and isinstance(output, Tensor)
        and given.is_floating_point()
        and given.ndim > 1
        and given.numel() > 0
        and given.shape[:-1] == output.shape[:-1]
    )
    if not is_row_by_row:
        return None
    weight: Any = module.weight
    bias: Any = getattr(module, "bias", None)
    with torch.no_grad():
        row, wanted = given.reshape(-1, given.shape[-1])[:1], output.reshape(-1, output.shape[-1])[:1]
        for is_turned in (False, True):
            matrix = weight.T if is_turned else weight
            if matrix.shape == (wanted.shape[-1], row.shape[-1]):
                found = F.linear(row.to(weight.dtype), matrix, bias).to(wanted.dtype)
                if torch.allclose(found, wanted, rtol=1e-3, atol=1e-3):
                    return Linear(module, is_turned)
    return None
