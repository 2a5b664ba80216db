"""A model that a data set can be run through again and again, with heads and units switched off.

Required: the reader's model is left to itself and as it was found, also after an interruption: a twin of it
runs, on the same weights; what comes before the first part that is off is not computed again, where that
changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jtviz.capture import HookedTransformer, JtvizError
from jtviz.capture.asfound import as_found
from jtviz.capture.flow import tensors
from jtviz.capture.forward import Asked, run
from jtviz.capture.inputs import Prepared, prepare_inputs
from jtviz.capture.intervention.ablation import Mask
from jtviz.capture.intervention.edits import Edit
from jtviz.capture.intervention.intervention import Intervention, active
from jtviz.capture.intervention.means import Means, mean_outputs
from jtviz.capture.intervention.places import HeadPlace, Places, UnitPlace
from jtviz.capture.intervention.prefix import Prefix, Shifted, are_apart
from jtviz.capture.trace import Trace
from jtviz.capture.twin import twin_of

from ..attribution.progress import Progress
from .collate import Batch, Item
from .examples import Examples
from .metrics import Metric

SAME = 1e-6
"""How far an output may be off whose first blocks were given back, relative to its largest number."""

Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Opened:
    """A model, its data set, and where its heads are. Made by `opened`, and good inside of it.

    Attributes
    ----------
    model : nn.Module
        A twin of the model.
    examples : Examples
        The data set.
    batches : list of Batch
        The same, put together.
    places : Places
        Where heads and units are.
    tokenizer : object or None
        Names tokens.
    can_skip : bool
        Whether blocks before the first that is changed need not be computed again.
    """

    model: nn.Module
    examples: Examples
    batches: Sequence[Batch]
    places: Places
    tokenizer: Any
    can_skip: bool = False

    @property
    def heads(self) -> tuple[tuple[str, int, int], ...]:
        """Stage, layer and head of each head."""
        return tuple((p.stage, p.layer, head) for p in self.places.heads for head in range(p.heads))

    def prepared(self, item: Item) -> Prepared:
        """Return one example as one forward pass."""
        return prepare_inputs(self.model, self.tokenizer, item.inputs, None)

    def trace(self, item: Item) -> Trace:
        """Return a trace of one example, which nobody remembers."""
        return _traced(self.model, self.tokenizer, self.prepared(item))

    def means(self, mode: str) -> Means | None:
        """Return what stands in for what is off: over each token of each example; None for zero."""
        if mode == "zero":
            return None
        return mean_outputs(self.model, self.places, [self.prepared(item) for item in self.examples.items])

    def measure(
        self, metric: Metric, masks: Sequence[Mask], means: Means | None, progress: Progress
    ) -> tuple[Numbers, Numbers]:
        """Measure the intact model, and the model without each mask.

        Parameters
        ----------
        metric : Metric
            What is measured.
        masks : sequence of Mask
            What is off, one after the other.
        means : Means or None
            What stands in.
        progress : Progress
            Told of each example and mask.

        Returns
        -------
        intact, ablated : array
            A number for each example, ``[examples]`` and ``[masks, examples]``; of BLEU its statistics, in
            one more axis.
        """
        intact: list[Any] = [None] * len(self.examples)
        ablated: list[list[Any]] = [[None] * len(self.examples) for _ in masks]
        for batch in self.batches:
            with torch.no_grad(), self._prefix(metric) as prefix:
                with nullcontext() if prefix is None else prefix.keeping():
                    _put(intact, batch, self._measured(metric, batch, Mask(), means, None))
                progress.advance(len(batch))
                for number, mask in enumerate(masks):
                    _put(ablated[number], batch, self._measured(metric, batch, mask, means, prefix))
                    progress.advance(len(batch))
        return np.array(intact, dtype=float), np.array(ablated, dtype=float).reshape(
            len(masks), *np.shape(intact)
        )

    def _prefix(self, metric: Metric) -> AbstractContextManager[Prefix | None]:
        """Return blocks that can be given back; a text is written in many forward passes."""
        return Prefix(self.model, self.places) if self.can_skip and not metric.needs_text else nullcontext()

    def _measured(
        self, metric: Metric, batch: Batch, mask: Mask, means: Means | None, prefix: Prefix | None
    ) -> Tensor:
        heads, units = mask.edits(self.places, means)
        places = self.places
        skipping: AbstractContextManager[None] = nullcontext()
        changed: list[HeadPlace | UnitPlace] = [*heads, *units]
        blocks = 0
        if prefix is not None and changed:
            blocks = min(prefix.before(place.block) for place in changed)
        if prefix is not None and blocks:
            skipping, shifted = prefix.skipping(blocks), Shifted(places, blocks)
            heads = {shifted.head(place): edit for place, edit in heads.items()}
            units = {shifted.unit(place): edit for place, edit in units.items()}
            places = shifted.places
        # Also where nothing is off: the same kernels run then.
        with skipping, Intervention(self.model, places, heads, units):
            return metric.measure(self.model, batch)


@contextmanager
def opened(
    hooked: HookedTransformer, examples: Examples, batch_size: int, *, can_skip: bool = True
) -> Iterator[Opened]:
    """Open a model for a data set, and leave it as it was found.

    Parameters
    ----------
    hooked : HookedTransformer
        The model.
    examples : Examples
        Its data set.
    batch_size : int
        How many are run at once.
    can_skip : bool
        Whether blocks may be given back instead of being computed again; whether they can is tried.
    """
    batches = examples.batches(batch_size)
    with (
        hooked.memory.lock,
        as_found(hooked.model, gradients=True, is_compiled=hooked.is_compiled),
        twin_of(hooked.model) as twin,
    ):
        tokenizer = hooked.tokenizer if hooked.has_tokenizer else None
        with torch.no_grad():
            prepared = prepare_inputs(twin, tokenizer, examples.items[0].inputs, None)
            # The feed-forward layers are known by their weights, which a twin has others of.
            places = _traced(hooked.model, tokenizer, prepared).places
            if places is None:
                raise JtvizError("this model was traced without being run: trace it anew.")
            if not _tells_apart(twin, places, batches):
                batches = examples.batches(1)
            is_own = twin is not hooked.model and not active(hooked.model)
            skips = can_skip and is_own and are_apart(places) and _skips(twin, places, batches[0])
        yield Opened(twin, examples, batches, places, tokenizer, skips)


def _traced(model: nn.Module, tokenizer: Any, prepared: Prepared) -> Trace:
    asked = Asked(
        gradients=False,
        target=None,
        output="logit",
        pattern_limit=HookedTransformer.pattern_limit,
        keep_on=None,
        example=0,
    )
    with torch.no_grad():
        return run(model, tokenizer, prepared, asked, [])


def _tells_apart(model: nn.Module, places: Places, batches: Sequence[Batch]) -> bool:
    """Return whether heads can be told from examples in a batch of several."""
    several = next((batch for batch in batches if len(batch) > 1), None)
    if several is None:
        return True
    try:
        with Intervention(model, places, {p: Edit(torch.ones(len(several), p.heads)) for p in places.heads}):
            several.run(model)
    except JtvizError:
        return False
    return True


def _skips(model: nn.Module, places: Places, batch: Batch) -> bool:
    """Return whether a forward pass whose blocks are given back, but for the last, says the same."""
    try:
        with Prefix(model, places) as prefix:
            with prefix.keeping(), Intervention(model, places):
                whole = list(tensors(batch.run(model)))
            blocks = prefix.before(len(places.blocks) - 1)
            if not blocks:
                return False
            shifted = Shifted(places, blocks)
            last = [place for place in places.heads if place.block is not None and place.block >= blocks]
            edits = {shifted.head(place): Edit(torch.ones(place.heads)) for place in last}
            with prefix.skipping(blocks), Intervention(model, shifted.places, edits):
                again = list(tensors(batch.run(model)))
    except Exception:  # noqa: BLE001 - what a block leaves beside its output can be missed in any way
        return False
    if not whole or len(whole) != len(again):
        return False
    return all(
        one.shape == other.shape
        and (not one.is_floating_point() or not one.numel() or _differ(one, other) <= SAME)
        for one, other in zip(whole, again, strict=True)
    )


def _differ(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-6))


def _put(rows: list[Any], batch: Batch, values: Tensor) -> None:
    for index, value in zip(batch.indices, values.cpu().double().numpy(), strict=True):
        rows[index] = value
