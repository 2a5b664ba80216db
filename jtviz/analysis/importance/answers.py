"""From a row of a data set to an example that can be run and scored.

Required: what is wrong with an example is said before the model has run on the data set, with its number;
labels mean what they mean in `transformers` (-100 is ignored).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.capture.generation import decoder_begin
from jtviz.capture.inputs import (
    UNREAD,
    Text,
    answer_ids,
    decoder_argument,
    encode,
    forward_arguments,
    prepare_inputs,
    prepare_text,
)
from jtviz.capture.part import is_int, plain
from jtviz.capture.structure import accepts, device_of, is_hugging_face, parameters
from jtviz.tokens import codec, find_token

from .collate import Item
from .probe import Probe, writes
from .rows import Row

OWN = -1
"""Stands where the intact model itself is to say what is wanted."""

EVERY = 7
"""Of a text without masks every so many tokens one is masked: about the 15% of Devlin et al. 2019 (BERT)."""


@dataclass(frozen=True)
class Reader:
    """Reads rows for one model.

    Attributes
    ----------
    model : nn.Module
        The model.
    tokenizer : object or None
        Its tokenizer, where there are texts.
    """

    model: nn.Module
    tokenizer: Any

    def read(self, row: Row) -> Item:
        """Return what the forward takes for a row, without its label; what is wanted is not known yet."""
        if row.text is None:
            inputs = self._given(row)
        else:
            tokens = encode(self.model, self.tokenizer, row.text, "encoder")
            inputs = forward_arguments(self.model, self.tokenizer, row.text, tokens)
        if writes(self.model) and decoder_argument(self.model) not in inputs:
            begin = [decoder_begin(self.model, self.tokenizer)]
            inputs |= {decoder_argument(self.model): torch.tensor([begin])}
        return Item(self._placed(inputs), (), row.given)

    def _placed(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        device = device_of(self.model)
        placed = {n: v.to(device) if isinstance(v, Tensor) else v for n, v in inputs.items()}
        if is_hugging_face(self.model):
            ids = placed.get("input_ids")
            if isinstance(ids, Tensor) and accepts(self.model, "attention_mask"):
                placed.setdefault("attention_mask", torch.ones_like(ids))
            if accepts(self.model, "use_cache"):
                placed["use_cache"] = False
        return placed

    def _given(self, row: Row) -> dict[str, Any]:
        inputs = dict(row.inputs or {})
        for name in inputs:
            if not accepts(self.model, name):
                raise JtvizError(f"{type(self.model).__name__} takes no {name!r}: leave it out.")
        kind = next((p.dtype for p in self.model.parameters() if p.is_floating_point()), None)
        inputs = {
            n: v.to(kind) if isinstance(v, Tensor) and v.is_floating_point() else v for n, v in inputs.items()
        }
        if writes(self.model) and row.label is not None:
            labels = _listed(row.label)
            shift = getattr(self.model, "prepare_decoder_input_ids_from_labels", None)
            if decoder_argument(self.model) not in inputs and shift is not None:
                inputs[decoder_argument(self.model)] = shift(torch.tensor([labels]))
        return inputs

    def answered(self, item: Item, row: Row, probe: Probe) -> Item:
        """Return an example with what is wanted of it; `OWN` where the model itself is to say.

        Raises
        ------
        JtvizError
            If its label is none for this model.
        """
        item = replace(item, rows=None if probe.read is None else item.inputs[probe.read].shape[1])
        if probe.kind == "other":
            return item
        if probe.kind == "classes":
            return replace(item, wanted=(_class(row.label, probe),))
        found = (self._of_text if row.text is not None else self._of_inputs)(item, row, probe)
        if all(i == UNREAD for i in found.wanted):
            raise JtvizError("there is nothing to score: give at least two tokens, or one label that counts.")
        if row.text is not None:
            _in_vocabulary([i for i in found.wanted if i != OWN], probe.choices)
        return found

    def _of_inputs(self, item: Item, row: Row, probe: Probe) -> Item:
        wanted = _listed(row.label)
        rows = item.rows
        if wanted is not None:
            if len(wanted) != rows:
                raise JtvizError(f"there are {len(wanted)} labels for {rows} tokens: give one for each.")
            _in_vocabulary(wanted, probe.choices)
            # A decoder predicts the token after the one that it reads, as in transformers.
            return self._referred(
                replace(item, wanted=wanted[1:] if probe.kind == "tokens" else wanted), probe
            )
        if probe.kind == "masked":
            raise JtvizError(
                "a model of masked tokens needs labels: give 'labels', -100 where nothing is masked."
            )
        if probe.kind == "labels":
            return replace(item, wanted=(OWN,) * (rows or 0))
        if probe.kind == "translation" and decoder_argument(self.model) not in (row.inputs or {}):
            return replace(item, wanted=(OWN,))
        following = prepare_inputs(self.model, None, item.inputs, None).following_ids
        return self._referred(replace(item, wanted=following or ()), probe)

    def _referred(self, item: Item, probe: Probe) -> Item:
        """Return an example with its answer as a text, where that can be read."""
        if probe.kind != "translation" or self.tokenizer is None:
            return item
        ids = [i for i in item.wanted if i != UNREAD]
        return replace(item, reference=codec(self.tokenizer, "target").decode(ids))

    def _of_text(self, item: Item, row: Row, probe: Probe) -> Item:
        label, text = row.label, row.text
        if label is not None and not isinstance(label, str):
            raise JtvizError(f"this model predicts tokens, and {label!r} is none: give a text as its label.")
        if probe.kind == "labels":
            if label is not None:
                raise JtvizError("labels of tokens go with inputs: give mappings with 'labels', one a token.")
            return replace(item, wanted=(OWN,) * (item.rows or 0))
        if probe.kind == "masked":
            return self._masked(item, label)
        if label is not None and not label.strip():
            raise JtvizError("the label is empty: give the text that is wanted.")
        if probe.kind == "translation":
            return replace(item, wanted=(OWN,)) if label is None else self.translated(item, label)
        return self._continued(item, text or "", label)

    def _continued(self, item: Item, text: Text, label: str | None) -> Item:
        if label is None:
            return replace(item, wanted=tuple(item.inputs[self._ids].tolist()[0][1:]))
        prepared = prepare_text(self.model, self.tokenizer, text, label, None)
        inputs = self._placed(prepared.kwargs)
        first = prepared.answer or 0
        wanted = tuple(UNREAD if row < first else i for row, i in enumerate(prepared.following_ids or ()))
        return replace(item, inputs=inputs, wanted=wanted, rows=inputs[self._ids].shape[1])

    @property
    def _ids(self) -> str:
        return "input_ids" if is_hugging_face(self.model) else next(iter(parameters(self.model)))

    def translated(self, item: Item, answer: str | Sequence[int]) -> Item:
        """Return an example with an answer, read teacher-forced: a text, or ids from the begin token on."""
        ids = answer_ids(self.model, self.tokenizer, answer) if isinstance(answer, str) else list(answer)
        read = torch.tensor([ids[:-1]], device=device_of(self.model))
        text = answer if isinstance(answer, str) else None
        if text is None and self.tokenizer is not None:
            text = codec(self.tokenizer, "target").decode(ids)
        return replace(
            item,
            inputs={**item.inputs, decoder_argument(self.model): read},
            wanted=tuple(ids[1:]),
            rows=len(ids) - 1,
            reference=text,
        )

    def _masked(self, item: Item, label: str | None) -> Item:
        ids: Tensor = item.inputs[self._ids]
        listed = [int(i) for i in ids[0]]
        mask = self._mask()
        rows = [row for row, i in enumerate(listed) if i == mask]
        if rows:
            if label is not None and len(rows) != 1:
                raise JtvizError(
                    f"there are {len(rows)} masks for one label: mask one token, or leave labels out."
                )
            said = OWN if label is None else find_token(self.tokenizer, label)
            return replace(item, wanted=tuple(said if row in rows else UNREAD for row in range(len(listed))))
        if label is not None:
            raise JtvizError("a label is the token behind a mask: write the tokenizer's mask into the text.")
        special = codec(self.tokenizer).special
        plain_rows = [row for row, i in enumerate(listed) if i not in special]
        hidden = set(plain_rows[EVERY // 2 :: EVERY] or plain_rows[-1:])
        changed = ids.clone()
        changed[0, sorted(hidden)] = mask
        wanted = tuple(i if row in hidden else UNREAD for row, i in enumerate(listed))
        return replace(item, inputs={**item.inputs, self._ids: changed}, wanted=wanted)

    def _mask(self) -> int:
        reader = codec(self.tokenizer)
        known = getattr(self.tokenizer, "mask_token_id", None)
        named = (reader.number(piece) for piece in ("[MASK]", "<mask>"))
        found = known if isinstance(known, int) else next((n for n in named if n is not None), None)
        if found is None:
            raise JtvizError(
                "the tokenizer has no mask: give mappings with what the forward takes and 'labels'."
            )
        return found


def _class(label: Any, probe: Probe) -> int:
    """Return the number of a class."""
    while isinstance(label, list | tuple) and len(label) == 1:
        label = label[0]
    if label is None:
        return OWN
    if isinstance(label, str) and label in probe.names:
        return probe.names.index(label)
    if is_int(label) and 0 <= label < probe.choices:
        return int(label)
    named = ", ".join(map(repr, probe.names)) or f"0 to {probe.choices - 1}"
    raise OutOfRangeError(f"there is no class {label!r}: choose from {named}.")


def _listed(label: Any) -> tuple[int, ...] | None:
    """Return the labels of tokens."""
    if label is None:
        return None
    listed = plain(label)
    while isinstance(listed, list | tuple) and len(listed) == 1 and isinstance(listed[0], list | tuple):
        listed = listed[0]
    if not isinstance(listed, list | tuple) or not all(map(is_int, listed)):
        raise JtvizError("'labels' are token ids, one for each token, -100 for those that do not count.")
    return tuple(int(i) for i in listed)


def _in_vocabulary(wanted: Sequence[int], choices: int) -> None:
    wrong = next((i for i in wanted if i != UNREAD and not 0 <= i < choices), None)
    if wrong is not None:
        raise OutOfRangeError(f"{wrong} is not predicted by this model: it says 0 to {choices - 1}.")
