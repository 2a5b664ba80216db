"""Whether a model that was cut still computes what the whole one does with the same parts switched off.

Required: nothing is taken for right that was not run; a model that raises is one that disagrees.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..asfound import as_found
from ..chance import seeded
from ..flow import tensors
from ..inputs import Prepared
from ..intervention.ablation import Mask
from ..intervention.intervention import Intervention
from ..intervention.places import Places

TOLERANCE = 1e-5
"""Largest difference of an output, relative to its largest number."""

NEAR = 1e-3
"""Largest difference of what a layer adds, relative to how far it varies: a wrong cut shows here first."""

_MORE = 3


class Proof:
    """What a model answers to a few readings without some of its parts, and what its modules return.

    Parameters
    ----------
    model : nn.Module
        The whole model; it is run now, and not kept.
    places : Places
        Where its parts are.
    mask : Mask
        Which are off.
    readings : sequence of Prepared
        What is read. The first must run; another one that does not is left out.
    watched : sequence of str
        Modules that return the same after a cut: what they return may count for little in the end.
    """

    def __init__(
        self,
        model: nn.Module,
        places: Places,
        mask: Mask,
        readings: Sequence[Prepared],
        watched: Sequence[str],
    ) -> None:
        heads, units = mask.edits(places)
        self._watched = watched
        self._expected: list[tuple[Prepared, list[_Expected]]] = []
        for reading in readings:
            try:
                with as_found(model), Intervention(model, places, heads, units):
                    outputs, inside = _answer(model, reading, watched)
            except Exception:
                if not self._expected:
                    raise
                continue
            expected = [_Expected(x, TOLERANCE * _largest(x), is_output=True) for x in outputs]
            expected += [_Expected(x, _allowed(x), is_output=False) for x in inside]
            self._expected.append((reading, expected))

    def holds(self, model: nn.Module) -> bool:
        """Return whether a model answers the same, to rounding."""
        try:
            with as_found(model):
                return all(self._agrees(model, *one) for one in self._expected)
        except Exception:  # noqa: BLE001 - a model that was cut wrongly can raise anything
            return False

    def _agrees(self, model: nn.Module, reading: Prepared, expected: Sequence[_Expected]) -> bool:
        outputs, inside = _answer(model, reading, self._watched)
        pairs = zip([*outputs, *inside], expected, strict=True)
        return all(one.is_like(found) for found, one in pairs)


@dataclass(frozen=True)
class _Expected:
    values: Tensor
    allowed: float
    is_output: bool

    def is_like(self, found: Tensor) -> bool:
        if found.shape != self.values.shape:
            # What a module returns of the heads themselves has another shape.
            return not self.is_output
        return torch.allclose(found, self.values, rtol=0, atol=self.allowed, equal_nan=True)


def _answer(model: nn.Module, reading: Prepared, watched: Sequence[str]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the numbers in an output, and what the watched modules returned, in the order they ran."""
    inside: list[Tensor] = []
    handles = [
        model.get_submodule(path).register_forward_hook(lambda _, __, output: inside.extend(_numbers(output)))
        for path in watched
    ]
    try:
        with torch.no_grad():
            output: Any = model(*reading.args, **reading.kwargs)
    finally:
        for handle in handles:
            handle.remove()
    # Cut heads are missing from returned patterns, which are no answer.
    is_named = isinstance(output, dict)
    named = {k: v for k, v in output.items() if "attentions" not in k} if is_named else output
    return _numbers(named), inside


def _numbers(value: Any) -> list[Tensor]:
    return [x.detach() for x in tensors(value) if x.is_floating_point()]


def _allowed(x: Tensor) -> float:
    # A bias is no measure of what heads add.
    varies = x - x.flatten(0, -2).mean(0) if x.ndim > 1 else x
    return NEAR * _largest(varies) + TOLERANCE * _largest(x)


def _largest(x: Tensor) -> float:
    finite = x[x.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def readings(model: nn.Module, reading: Prepared) -> list[Prepared]:
    """Return what was read, and something made from it that is longer and has its tokens in disorder."""
    first = _each(reading, _as_computed)
    lengths = {ids.shape[-1] for ids in reading.ids.values()}

    def other(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim < 2:
            return value
        if value.is_floating_point():
            return torch.randn_like(value) if value.ndim > 2 and not lengths else value
        if value.ndim != 2 or value.shape[-1] not in lengths:
            return value
        places = torch.arange(value.shape[-1] + _MORE, device=value.device) % value.shape[-1]
        is_ids = any(value is ids for ids in reading.ids.values())
        return value[:, places[torch.randperm(len(places), device=value.device)] if is_ids else places]

    with seeded(0, model):
        return [first, _each(first, other)]


def _each(reading: Prepared, change: Any) -> Prepared:
    made = copy.copy(reading)
    made.args = tuple(map(change, reading.args))
    made.kwargs = {name: change(value) for name, value in reading.kwargs.items()}
    return made


def _as_computed(value: Any) -> Any:
    is_half = isinstance(value, Tensor) and value.dtype in HALF
    return value.float() if is_half else value


HALF = {torch.float16, torch.bfloat16}
"""What is proved in single precision, where rounding tells nothing."""
