"""Examples put together into batches that a model can be run on many times.

Required: a batch says of each example what it would say alone. Padding is added on the right and only where
a model cannot see it; that it does not is verified, and where it does, texts of one length are put together,
or each is run alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jtviz.capture.inputs import UNREAD
from jtviz.capture.score import first_logits
from jtviz.capture.structure import config, is_hugging_face, setting
from jtviz.capture.target import precise
from jtviz.tokens import codec

from .writing import written

Kind = Literal["classes", "tokens", "translation", "masked", "labels", "other"]
"""What is scored: a class; the next tokens; those of an answer; those behind masks; a label for each token;
or nothing that is known, so that only a function of the reader's own can be computed."""

Padding = Literal["padded", "equal", "single"]
"""What is put together: any examples, those of one length, or none."""

TOKENS = 4096
"""Tokens in a batch at most: over a vocabulary of 50,000 their logits take 0.8 GB."""

SAME = 1e-4
"""How far a padded example may be off, relative to its largest logit."""


@dataclass(frozen=True, eq=False)
class Item:
    """One example, ready to be run.

    Attributes
    ----------
    inputs : mapping of str to object
        What the forward is called with, ``[1, ...]``.
    wanted : sequence of int
        The class; or for each row the id of the token that it is to predict, `UNREAD` for none.
    given : mapping
        The example as it was given.
    rows : int or None
        How many rows the model returns for it; None where it returns something else.
    reference : str or None
        The answer as a text.
    """

    inputs: Mapping[str, Any]
    wanted: Sequence[int]
    given: Mapping[str, Any]
    rows: int | None = None
    reference: str | None = None

    @property
    def shapes(self) -> tuple[Any, ...]:
        """What has to be equal for examples to be put together as they are."""
        return tuple(
            (name, tuple(value.shape) if isinstance(value, Tensor) else repr(value))
            for name, value in sorted(self.inputs.items())
        )

    @property
    def size(self) -> int:
        """The number of its tokens on the longer side."""
        return max((v.shape[1] for v in self.inputs.values() if isinstance(v, Tensor)), default=1)


class Places(NamedTuple):
    """Where a batch is scored: of each place its example, its row, its number in the example, what is wanted.

    Each is ``[places]``; `counts` ``[batch]`` is how many places each example has, `most` the largest.
    """

    example: Tensor
    row: Tensor
    number: Tensor
    wanted: Tensor
    counts: Tensor
    most: int


@dataclass(frozen=True, eq=False)
class Batch:
    """Some examples, put together.

    Attributes
    ----------
    indices : tuple of int
        Their numbers in the data set.
    items : tuple of Item
        The examples themselves.
    kwargs : mapping
        What the forward is called with.
    kind : str
        What is scored.
    tokenizer : object or None
        Turns what is written into text.
    writes : str or None
        The argument that takes the tokens written, of an encoder-decoder.
    tokenize : str
        How sacrebleu cuts the answers of the whole data set.
    """

    indices: tuple[int, ...]
    items: tuple[Item, ...]
    kwargs: Mapping[str, Any]
    kind: Kind
    tokenizer: Any = None
    writes: str | None = None
    tokenize: str = "13a"

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.items)

    def run(self, model: nn.Module) -> Any:
        """Run a model, or modules of their own on its weights, and return what it returns."""
        return model(**self.kwargs)

    def write(self, model: nn.Module) -> list[str]:
        """Let an encoder-decoder answer each example, greedily."""
        reader = codec(self.tokenizer, "target")
        return [reader.decode(ids) for ids in self.write_ids(model)]

    def write_ids(self, model: nn.Module) -> list[list[int]]:
        """Return the ids of those answers, from the begin token on."""
        apart = {self.writes, "decoder_attention_mask"}
        read = {n: v for n, v in self.kwargs.items() if isinstance(v, Tensor) and n not in apart}
        alone = [{name: item.inputs[name].to(read[name].device) for name in read} for item in self.items]
        return written(model, self.tokenizer, read, alone)

    @cached_property
    def places(self) -> Places:
        """Where it is scored."""
        found = [
            (example, row, number, wanted)
            for example, item in enumerate(self.items)
            for number, (row, wanted) in enumerate(
                (row, wanted) for row, wanted in enumerate(item.wanted) if wanted != UNREAD
            )
        ]
        device = next((v.device for v in self.kwargs.values() if isinstance(v, Tensor)), None)
        columns = torch.tensor(found, dtype=torch.long, device=device).reshape(-1, 4).unbind(1)
        counts = torch.bincount(columns[0], minlength=len(self))
        return Places(columns[0], columns[1], columns[2], columns[3], counts, int(counts.max()))

    def scored(self, output: Any) -> Tensor:
        """Return the logits ``[places, choices]`` at the places that are scored."""
        logits = first_logits(output)
        at = self.places
        return precise(logits[at.example] if logits.ndim == 2 else logits[at.example, at.row])

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the places of each example, ``[batch]``, of a number for each place."""
        at = self.places
        table = values.new_zeros(len(self), at.most)
        # Each place has a cell of its own, so that sums do not depend on the order of a GPU's threads.
        return table.index_put((at.example, at.number), values).sum(1) / at.counts

    def each(self, output: Any) -> Iterator[Tensor]:
        """Yield the logits of each example, ``[rows, vocabulary]`` without padding, or ``[classes]``."""
        for logits, item in zip(first_logits(output), self.items, strict=False):
            yield logits if item.rows is None else logits[: item.rows]


@dataclass(frozen=True, eq=False)
class Collator:
    """How the examples of one data set are put together.

    Attributes
    ----------
    kind, tokenizer, writes
        As in `Batch`.
    device : torch.device
        Where the model reads.
    pad : int
        The id of padding.
    padding : {"padded", "equal", "single"}
        Which examples may be put together.
    tokenize : str
        As in `Batch`.
    """

    kind: Kind
    tokenizer: Any
    writes: str | None
    device: torch.device
    pad: int
    padding: Padding = "padded"
    tokenize: str = "13a"

    def batch(self, items: Sequence[Item], indices: Sequence[int]) -> Batch:
        """Put these examples together, which are of the given numbers."""
        chosen = tuple(items[i] for i in indices)
        kwargs = {
            name: self._stacked(name, [item.inputs[name] for item in chosen]) for name in chosen[0].inputs
        }
        return Batch(tuple(indices), chosen, kwargs, self.kind, self.tokenizer, self.writes, self.tokenize)

    def batches(self, items: Sequence[Item], size: int) -> list[Batch]:
        """Put all examples together, those of about one length side by side."""
        order = sorted(range(len(items)), key=lambda i: (items[i].size, items[i].shapes))
        out: list[list[int]] = []
        for i in order:
            now = out[-1] if out else []
            goes_on = now and len(now) < size and (len(now) + 1) * items[i].size <= TOKENS
            if self.padding == "single" or (self.padding == "equal" and now and not _equal(items, now[0], i)):
                goes_on = False
            if goes_on:
                now.append(i)
            else:
                out.append([i])
        return [self.batch(items, indices) for indices in out]

    def _stacked(self, name: str, values: Sequence[Any]) -> Any:
        if not isinstance(values[0], Tensor):
            return values[0]
        longest = max(v.shape[1] for v in values) if values[0].ndim > 1 else 0
        is_ids = not any(part in name for part in ("mask", "type", "position"))
        fill = self.pad if is_ids and not values[0].is_floating_point() else 0
        # F.pad counts axes from the last one.
        before = (0, 0) * (values[0].ndim - 2)
        padded = [
            F.pad(v, (*before, 0, longest - v.shape[1]), value=fill) if v.shape[1:2] != (longest,) else v
            for v in values
        ]
        return torch.cat(padded).to(self.device)


def _equal(items: Sequence[Item], one: int, other: int) -> bool:
    return items[one].shapes == items[other].shapes


def padding_id(model: nn.Module) -> int:
    """Return the id that padding has; any will do where it is masked or comes last."""
    return max(0, setting(model, "pad_token_id", "pad") or 0)


def padding_that_works(model: nn.Module, collator: Collator, items: Sequence[Item]) -> Padding:
    """Return which examples can be put together without changing what the model says of each.

    Tried on the shortest and the longest, then on the shortest twice.
    """
    order = sorted(range(len(items)), key=lambda i: items[i].size)
    short = order[0]
    differs = (i for i in reversed(order) if not _equal(items, i, short))
    other = next(differs, order[-1])
    if _may_be_padded(model, collator, items) and _says_the_same(model, collator, items, short, other):
        return "padded"
    return "equal" if _says_the_same(model, collator, items, short, short) else "single"


def _may_be_padded(model: nn.Module, collator: Collator, items: Sequence[Item]) -> bool:
    """Return whether padding is nothing that the model is bound to see."""
    uneven = set()
    for item, following in itertools.pairwise(items):
        for name, value in item.inputs.items():
            other = following.inputs[name]
            if not isinstance(value, Tensor) or not isinstance(other, Tensor):
                if repr(value) != repr(other):
                    return False
            elif value.shape != other.shape:
                if value.ndim != other.ndim or value.shape[2:] != other.shape[2:]:
                    return False
                uneven.add(name)
    if not uneven:
        return True
    if collator.kind == "other":
        return False
    # What comes later is never seen by earlier rows.
    if collator.kind == "tokens" or uneven == {collator.writes}:
        return True
    has_own = not is_hugging_face(model) and any(
        isinstance(getattr(config(model), name, None), int) for name in ("pad", "pad_token_id")
    )
    return has_own or "attention_mask" in items[0].inputs


def _says_the_same(model: nn.Module, collator: Collator, items: Sequence[Item], one: int, other: int) -> bool:
    """Return whether an example says together with another what it says alone."""
    alone = collator.batch(items, [one])
    try:
        together = collator.batch(items, [one, other])
        found = _said(together, together.run(model), alone)
    except Exception:  # noqa: BLE001 - a model that takes no batch can say so in any way
        return False
    wanted = _said(alone, alone.run(model), alone)
    if found.shape != wanted.shape:
        return False
    kind = next((p.dtype for p in model.parameters() if p.is_floating_point()), found.dtype)
    # Half precision rounds otherwise in another batch.
    allowed = max(SAME, 8 * torch.finfo(kind).eps)
    return bool((found - wanted).abs().max() <= allowed * wanted.abs().max().clamp(min=1e-6))


def _said(batch: Batch, output: Any, alone: Batch) -> Tensor:
    """Return what is scored of the first example of a batch."""
    if not len(alone.places.wanted):
        return precise(first_logits(output)[:1])
    return batch.scored(output)[: len(alone.places.wanted)]
