"""What switching a head or unit off changes to first order, of all of them in one backward pass.

Required: exact gradients, example by example (Michel et al. 2019, *Are sixteen heads really better than
one?*, equations 2 and 3; Molchanov et al. 2017, *Pruning convolutional neural networks*, equation 8).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jtviz.capture import JtvizError
from jtviz.capture.intervention.edits import Edit
from jtviz.capture.intervention.intervention import Intervention
from jtviz.capture.intervention.places import HeadPlace, UnitPlace

from ..attribution.progress import Progress
from .collate import Batch
from .metrics import Metric
from .opened import Numbers, Opened


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients with respect to how much is kept of each part, where all is kept.

    Attributes
    ----------
    values : array
        The metric itself, ``[examples]``.
    heads : array
        ``[heads, examples]``: the sum over tokens of a head's output times its gradient.
    units : mapping of (str, int) to array
        By stage and layer ``[units, examples]``: the mean over tokens of a unit times its gradient.
    """

    values: Numbers
    heads: Numbers
    units: Mapping[tuple[str, int], Numbers]


class AmbiguousError(JtvizError):
    """As many examples as tokens: which axis is which cannot be told."""


def can_be_differentiated(opened: Opened, metric: Metric) -> bool:
    """Return whether gradients come through a metric, tried on one example."""
    batch = opened.examples.collator.batch(opened.examples.items, opened.batches[0].indices[:1])
    places = opened.places.heads
    keep = [_ones(opened, 1, place.heads) for place in places]
    edits = {place: Edit(one) for place, one in zip(places, keep, strict=True)}
    with torch.enable_grad(), Intervention(opened.model, opened.places, edits):
        output = batch.run(opened.model)
    with torch.enable_grad(), warnings.catch_warnings():
        # A reader's function may well turn tensors into numbers: that is what is asked here.
        warnings.simplefilter("ignore")
        try:
            return metric.per_example(batch, output).requires_grad
        except RuntimeError:
            if metric.is_scored:
                raise
            return False


def gradients(
    opened: Opened, metric: Metric, progress: Progress, *, of_heads: bool, of_units: bool
) -> Gradients:
    """Return the gradients of a metric, of each example.

    Parameters
    ----------
    opened : Opened
        The model and its data set.
    metric : Metric
        What is differentiated.
    progress : Progress
        Told of each example.
    of_heads, of_units : bool
        With respect to what.
    """
    count = len(opened.examples)
    heads: dict[HeadPlace | UnitPlace, Numbers] = {
        place: np.zeros((place.size, count)) for place in opened.places.heads if of_heads
    }
    units: dict[HeadPlace | UnitPlace, Numbers] = {
        place: np.zeros((place.size, count)) for place in opened.places.units if of_units
    }
    whole = np.zeros(count)
    waiting = list(opened.batches)[::-1]
    while waiting:
        batch = waiting.pop()
        try:
            found, own = _of_batch(opened, metric, batch, [*heads], [*units])
        except JtvizError:
            if len(batch) == 1:
                raise
            half = len(batch) // 2
            parts = (batch.indices[half:], batch.indices[:half])
            waiting += [opened.examples.collator.batch(opened.examples.items, part) for part in parts]
            continue
        whole[list(batch.indices)] = own
        for place, values in found.items():
            rows = heads if isinstance(place, HeadPlace) else units
            rows[place][:, batch.indices] = values.T
        progress.advance(len(batch))
    by_layer = {(place.stage, place.layer): values for place, values in units.items()}
    of_each = np.concatenate([*heads.values()]) if heads else np.zeros((0, count))
    return Gradients(whole, of_each, by_layer)


def _of_batch(
    opened: Opened,
    metric: Metric,
    batch: Batch,
    heads: list[HeadPlace | UnitPlace],
    units: list[HeadPlace | UnitPlace],
) -> tuple[dict[HeadPlace | UnitPlace, Numbers], Numbers]:
    keep = {place: _ones(opened, len(batch), place.size) for place in (*heads, *units)}
    positions: dict[UnitPlace, Tensor] = {}

    def seen(place: HeadPlace | UnitPlace, values: Tensor) -> None:
        if isinstance(place, UnitPlace):
            if values.ndim == 3 and values.shape[0] == values.shape[1] == len(batch) > 1:
                raise AmbiguousError("as many examples as tokens: run fewer at once.")
            positions[place] = _positions(batch, place, values.numel() // place.units // len(batch))

    edits = {place: Edit(keep[place]) for place in opened.places.heads if place in keep}
    of_units = {place: Edit(keep[place]) for place in opened.places.units if place in keep}
    with (
        torch.enable_grad(),
        Intervention(opened.model, opened.places, edits, of_units, seen=seen if units else None),
    ):
        own = metric.per_example(batch, batch.run(opened.model))
    masks = list(keep.values())
    found = torch.autograd.grad(own.sum(), masks, allow_unused=True)
    out = {}
    for (place, mask), gradient in zip(keep.items(), found, strict=True):
        given: Tensor | None = gradient
        values = torch.zeros_like(mask) if given is None else given
        if isinstance(place, UnitPlace):
            values = values / positions[place].to(values)[:, None]
        out[place] = values.cpu().double().numpy()
    return out, own.detach().cpu().double().numpy()


def _positions(batch: Batch, place: UnitPlace, rows: int) -> Tensor:
    """Return how many tokens of each example went through a layer: padding does not count.

    Nor does it in the sum: no gradient comes from there.
    """
    writes = batch.writes if place.stage == "decoder" else None
    mask = batch.kwargs.get("decoder_attention_mask" if writes else "attention_mask")
    if isinstance(mask, Tensor) and mask.ndim == 2 and mask.shape[1] == rows:
        return mask.ne(0).sum(1)
    fitting = [
        name
        for name, value in batch.kwargs.items()
        if isinstance(value, Tensor) and value.ndim > 1 and value.shape[1] == rows
    ]
    name = writes if writes in fitting else next((n for n in fitting if n != batch.writes), None)
    if name is None:
        return torch.full((len(batch),), rows)
    return torch.tensor([item.inputs[name].shape[1] for item in batch.items])


def _ones(opened: Opened, examples: int, parts: int) -> Tensor:
    first = next((p for p in opened.model.parameters() if p.is_floating_point()), torch.ones(1))
    dtype = torch.promote_types(first.dtype, torch.float32)
    return torch.ones(examples, parts, dtype=dtype, device=first.device, requires_grad=True)
