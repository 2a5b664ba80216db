"""From a data set and a model to examples that can be run and scored many times.

Required: everything that is wrong with a data set is said before the model runs on it; what is not labelled
is scored against what the intact model says, and that is said in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jtviz.capture import HookedTransformer, JtvizError, TokenizerNotFoundError
from jtviz.capture.asfound import as_found
from jtviz.capture.inputs import decoder_argument
from jtviz.capture.part import is_int
from jtviz.capture.structure import device_of

from .answers import EVERY, OWN, Reader
from .bleu import tokenize_for
from .collate import Batch, Collator, Item, Kind, padding_id, padding_that_works
from .probe import Probe, probed, writes
from .rows import Row, of_example, rows_of

SIZE = 32
"""Examples in a batch."""

_PROBED = 8
"""Examples of which the longest is run first, to see what the model does."""


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of a data set, ready for one model.

    Attributes
    ----------
    items : tuple of Item
        In the order of the data set.
    kind : {"classes", "tokens", "translation", "masked", "labels", "other"}
        What is scored: the class of a text; the next tokens of a text or its continuation; those of an
        answer; those behind masks; a label for each token; or nothing but what a function says.
    notes : tuple of str
        What they are scored against, where no labels were given.
    collator : Collator
        Puts them together.
    """

    items: tuple[Item, ...]
    kind: Kind
    notes: tuple[str, ...]
    collator: Collator

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.items)

    def batches(self, size: int = SIZE) -> list[Batch]:
        """Return all examples in batches, those of about one length together.

        Parameters
        ----------
        size : int
            Examples in a batch at most; long ones are fewer.
        """
        if not is_int(size) or size < 1:
            raise JtvizError(f"size= is a number of examples, at least 1, not {size!r}.")
        return self.collator.batches(self.items, size)


def examples_of(hooked: HookedTransformer, dataset: Any) -> Examples:
    """Make a data set ready for a model.

    Parameters
    ----------
    hooked : HookedTransformer
        The model.
    dataset : list, data frame or iterable of mappings
        Texts; ``(text, label)``; a data frame or mappings with ``text`` (or ``source``) and ``label`` (or
        ``target``); or mappings of what the forward takes, ``[1, tokens]`` or ``[tokens]``, with ``labels``
        as in `transformers` (-100 is ignored). A label is the name or number of a class, the text that
        follows, the translation, or the token behind the mask.

    Raises
    ------
    JtvizError
        If the data set, or one of its examples, makes no sense for the model.

    Examples
    --------
    >>> import jtviz
    >>> found = examples_of(jtviz.demo.classifier(), [("Has a runny nose.", "can wait"), ("A seizure.", 1)])
    >>> found.kind, [len(batch) for batch in found.batches()]
    ('classes', [2])
    """
    rows = rows_of(dataset)
    model = hooked.model
    reader = Reader(model, _tokenizer(hooked, rows))
    with hooked.memory.lock, as_found(model, is_compiled=hooked.is_compiled):
        items = []
        for index, row in enumerate(rows):
            with of_example(index):
                items.append(reader.read(row))
        first = max(items[:_PROBED], key=lambda item: item.size)
        is_labelled = rows[0].label is not None
        probe = probed(model, reader.tokenizer, first.inputs, is_labelled=is_labelled)
        for index, row in enumerate(rows):
            with of_example(index):
                items[index] = reader.answered(items[index], row, probe)
        side = decoder_argument(model) if writes(model) else None
        collator = Collator(probe.kind, reader.tokenizer, side, device_of(model), padding_id(model))
        collator = replace(collator, padding=padding_that_works(model, collator, items))
        notes = tuple(_notes(rows, items, probe))
        if any(OWN in item.wanted for item in items):
            items = _by_the_model_itself(reader, collator, items)
        collator = replace(collator, tokenize=tokenize_for(item.reference or "" for item in items))
        return Examples(tuple(items), probe.kind, notes, collator)


def _tokenizer(hooked: HookedTransformer, rows: Sequence[Row]) -> Any:
    """Return the tokenizer, None where there is no text and none is at hand."""
    if rows[0].text is not None:
        return hooked.tokenizer
    try:
        return hooked.tokenizer if writes(hooked.model) else None
    except TokenizerNotFoundError:
        return None


def _by_the_model_itself(reader: Reader, collator: Collator, items: Sequence[Item]) -> list[Item]:
    """Return examples with what the model says of them as what is wanted."""
    out = list(items)
    for batch in collator.batches(items, SIZE):
        if collator.kind == "translation":
            for index, ids in zip(batch.indices, batch.write_ids(reader.model), strict=True):
                with of_example(index):
                    if len(ids) < 2:
                        raise JtvizError("the model writes nothing: give an answer as its label.")
                    out[index] = reader.translated(items[index], ids)
            continue
        said = batch.scored(batch.run(reader.model)).argmax(-1)
        at = batch.places
        for example, row, one in zip(at.example.tolist(), at.row.tolist(), said.tolist(), strict=True):
            index = batch.indices[example]
            wanted = list(out[index].wanted)
            wanted[row] = one
            out[index] = replace(out[index], wanted=tuple(wanted))
    return out


_OWN: dict[Kind, str] = {
    "classes": "no labels were given: each example is scored against the class the intact model gives it",
    "translation": "no references were given: each answer is scored against the one the intact model writes",
    "masked": "no labels were given: each mask is scored against the token the intact model puts there",
    "labels": "no labels were given: each token is scored against the label the intact model gives it",
}


def _notes(rows: Sequence[Row], items: Sequence[Item], probe: Probe) -> list[str]:
    if any(OWN in item.wanted for item in items):
        return [_OWN[probe.kind]]
    if probe.kind == "masked" and rows[0].text is not None and rows[0].label is None:
        return [f"every {EVERY}th token was masked: each is scored against the token that stood there"]
    if probe.kind == "tokens" and rows[0].label is None:
        return ["no labels were given: each text is scored by its own next tokens"]
    return []


__all__ = ["SIZE", "Examples", "examples_of"]
