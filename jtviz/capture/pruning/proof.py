"""Whether a model that was cut still computes what the whole one does with the same parts switched off.

Required: nothing is taken for right that was not run; a model that raises is one that disagrees.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
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
"""Largest difference, relative to the largest number of an output."""

_MORE = 3


class Proof:
    """What a model answers to a few readings without some of its parts.

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
    """

    def __init__(self, model: nn.Module, places: Places, mask: Mask, readings: Sequence[Prepared]) -> None:
        heads, units = mask.edits(places)
        self.readings: list[Prepared] = []
        self._expected: list[list[Tensor]] = []
        for reading in readings:
            try:
                with as_found(model), Intervention(model, places, heads, units):
                    expected = _answer(model, reading)
            except Exception:
                if not self.readings:
                    raise
                continue
            self.readings.append(reading)
            self._expected.append(expected)

    def holds(self, model: nn.Module) -> bool:
        """Return whether a model answers the same, to rounding."""
        try:
            with as_found(model):
                return all(
                    _equal(_answer(model, reading), expected)
                    for reading, expected in zip(self.readings, self._expected, strict=True)
                )
        except Exception:  # noqa: BLE001 - a model that was cut wrongly can raise anything
            return False


def _answer(model: nn.Module, reading: Prepared) -> list[Tensor]:
    with torch.no_grad():
        output: Any = model(*reading.args, **reading.kwargs)
    # Cut heads are missing from returned patterns and caches, which are no answer.
    wanted = (
        {k: v for k, v in output.items() if "attentions" not in k} if isinstance(output, dict) else output
    )
    return [t.detach() for t in tensors(wanted) if t.is_floating_point()]


def _equal(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    if len(found) != len(expected):
        return False
    for one, other in zip(found, expected, strict=True):
        if one.shape != other.shape:
            return False
        finite = other[other.isfinite()]
        scale = float(finite.abs().max()) if finite.numel() else 1.0
        if not torch.allclose(one, other, rtol=0, atol=TOLERANCE * (scale or 1.0), equal_nan=True):
            return False
    return True


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
