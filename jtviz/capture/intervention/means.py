"""What heads and units put out on average: what stands in for them in mean ablation.

Required: of the intact model; each query of each text counts once, padding does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..inputs import Prepared
from .intervention import Intervention
from .places import HeadPlace, Places, UnitPlace

Means = dict[HeadPlace | UnitPlace, Tensor]
"""Of heads ``[heads, d]``, of units ``[units]``."""


def mean_outputs(model: nn.Module, places: Places, readings: Iterable[Prepared]) -> Means:
    """Return the mean output of every head and unit over texts.

    Parameters
    ----------
    model : nn.Module
        In the state for a trace (see `jtviz.capture.asfound`).
    places : Places
        Where they are.
    readings : iterable of Prepared
        What is read.
    """
    sums: dict[HeadPlace | UnitPlace, Tensor] = {}
    counts: dict[HeadPlace | UnitPlace, int] = {}

    def add(place: HeadPlace | UnitPlace, values: Tensor, read: Tensor | None) -> None:
        if isinstance(place, HeadPlace):
            rows = values.transpose(1, 2).flatten(2)  # [batch, queries, heads * d]
        else:
            rows = values if values.ndim > 2 else values[None]
        if read is not None and rows.shape[:2] != read.shape and rows.shape[:2] == read.T.shape:
            read = read.T  # XLNet has tokens before examples
        if read is not None and rows.shape[:2].numel() == read.numel():
            flat = rows.flatten(0, 1)[read.flatten().bool().to(rows.device)]
        else:
            flat = rows.flatten(0, 1)
        total = flat.detach().to(torch.promote_types(flat.dtype, torch.float32)).sum(0)
        sums[place] = sums[place] + total if place in sums else total
        counts[place] = counts.get(place, 0) + len(flat)

    with torch.no_grad():
        for reading in readings:
            masks = _read(reading.kwargs)
            two = "decoder" in {p.stage for p in places.heads} and len({p.stage for p in places.heads}) > 1

            def seen(
                place: HeadPlace | UnitPlace,
                values: Tensor,
                masks: Mapping[str, Tensor] = masks,
                *,
                two: bool = two,
            ) -> None:
                of_source = place.stage == "encoder" or not two
                add(place, values, masks.get("source" if of_source else "target"))

            with Intervention(model, places, seen=seen):
                model(*reading.args, **reading.kwargs)
    return {place: _by_heads(place, total / counts[place]) for place, total in sums.items()}


def _by_heads(place: HeadPlace | UnitPlace, mean: Tensor) -> Tensor:
    return mean.view(place.heads, -1) if isinstance(place, HeadPlace) else mean


def _read(kwargs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return which tokens of each side are read, where the forward is told."""
    names = {"source": "attention_mask", "target": "decoder_attention_mask"}
    found = {side: kwargs.get(name) for side, name in names.items()}
    return {side: mask for side, mask in found.items() if isinstance(mask, Tensor) and mask.ndim == 2}
