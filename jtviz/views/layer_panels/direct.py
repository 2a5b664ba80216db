"""The panel of direct logits: what each part of the model adds to a logit. Twin: js/src/layers/direct.ts.

Required: the bars sum to the logit of what is named; which row, token and class that is, is said.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import torch
import traitlets as t

from jtviz.analysis.layers.direct import DirectLogit, direct_logit_attribution
from jtviz.analysis.layers.waterfall import MANY, Step, unit_waterfall, waterfall
from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.capture.classes import class_names
from jtviz.capture.inputs import UNREAD, Prepared, last_read
from jtviz.capture.part import is_int
from jtviz.capture.reading import Reading
from jtviz.tokens import codec, find_token, label

from .panel import Answer, Message, Panel

DETAILS = ("layer", "head")
FEW = 5
"""Likeliest tokens of a row to choose from."""
MOST_CLASSES = 12
MOST_NAMED = 512
"""Rows of a masked model whose likeliest token is named."""
KEPT = 16
"""Logits whose parts are kept, the newest."""

_ID = re.compile(r"<(\d+)>")


class DirectPanel(Panel):
    """The tab "direct logits"."""

    detail = t.Enum(DETAILS, "layer").tag(sync=True, echo_update=False)
    """Whether heads are taken together by layer, ``"layer"``, or stand alone, ``"head"``."""

    answer: Any = t.Unicode(None, allow_none=True).tag(sync=True, echo_update=False)
    """The token (or class) whose logit is taken apart; None is what the row in focus predicts.

    As it is read, as the vocabulary spells it, or its number, ``"<123>"``.
    """

    against: Any = t.Unicode(None, allow_none=True).tag(sync=True, echo_update=False)
    """A second token or class: its logit is subtracted, so that bars say why this rather than that."""

    @property
    def direct(self) -> DirectLogit:
        """What is shown, with every term.

        Raises
        ------
        JtvizError
            If the model cannot be taken apart, or there is no such token; the sentence says why.
        """
        return self._direct(self._pinned_row, self.answer, self.against)

    @property
    def waterfall(self) -> tuple[Step, ...]:
        """The bars that are shown, each from where the one before ended."""
        return waterfall(self.direct, self.detail)

    @property
    def _direct_is_there(self) -> bool:
        """Whether what is shown was computed."""
        return ("direct", self._pinned_row, self.answer, self.against) in self._once_kept

    @property
    def _predicting(self) -> str:
        """The side whose rows predict."""
        return "decoder" if "decoder" in self.trace.tokens else "encoder"

    @property
    def _pinned_row(self) -> int | None:
        """The pinned token of the side that predicts."""
        return self.pinned_on(self._predicting)

    @property
    def _reading(self) -> Reading:
        reading: Reading | None = self.trace.reading
        if reading is None:
            raise JtvizError("this trace has no model to run: trace it anew.")
        return reading

    @property
    def _of_classes(self) -> bool:
        return self.trace.logits is not None and self.trace.logits.ndim == 1

    def _direct(self, pinned: int | None, answer: str | None, against: str | None) -> DirectLogit:
        """Return a logit's parts, those of the newest few kept."""

        def compute() -> DirectLogit:
            target, other = self._target(pinned, answer, against)
            with torch.enable_grad():
                found = direct_logit_attribution(self.trace, target, other)
            if found.against is not None and found.against.index == found.target.index:
                raise JtvizError(f"both are {found.target.name}: compare two that differ.")
            return found

        with self._computing:
            found = self._once(("direct", pinned, answer, against), compute)
            kept = [key for key in self._once_kept if isinstance(key, tuple) and key[0] == "direct"]
            for key in kept[:-KEPT]:
                del self._once_kept[key]
            return found

    def _target(self, pinned: int | None, answer: str | None, against: str | None) -> tuple[Any, Any]:
        """Return what is taken apart, and what is subtracted, as `direct_logit_attribution` wants them."""
        own = self.trace.target
        own = own if own is not None and own.index is not None else None
        if self._of_classes:
            return (own.index if answer is None and own is not None else answer), against
        row, token = pinned, None
        if answer is None and row is None and own is not None and own.row is not None:
            row, token = own.row, own.index
        if answer is not None:
            token = self._token(answer, row)
            row = self._row_of(token) if row is None else row
        row = self._default_row() if row is None else row
        other = None if against is None else self._token(against, row)
        return {"row": row} | ({} if token is None else {"token": token}), other

    def _default_row(self) -> int:
        """Return the row of the trace's target; else the last, or the first mask of a masked model."""
        trace, prepared = self.trace, self._reading.prepared
        if trace.target is not None and trace.target.row is not None:
            return int(trace.target.row)
        side = self._predicting
        tokens = trace.tokens[side]
        if side == "decoder":
            return last_read(prepared.read, len(tokens))
        masks = _masks(self._reading)
        plain = [i for i, is_special in enumerate(tokens.special) if not is_special]
        return (masks or plain or [0])[0]

    def _row_of(self, token: int) -> int | None:
        """Return the one row of the answer that this token follows."""
        following = _following(self._reading.prepared)
        first = self._reading.prepared.answer
        rows = [] if first is None else [i for i in range(first, len(following)) if following[i] == token]
        return rows[0] if len(rows) == 1 else None

    def _token(self, word: str, row: int | None) -> int:
        """Return the id of a token in words; one that the row is likely to predict is meant first."""
        tokenizer = self._reading.tokenizer
        number = _ID.fullmatch(word.strip())
        if tokenizer is None and number is None:
            raise OutOfRangeError(f"{word!r}: without a tokenizer, name a token by its number, <123>.")
        try:
            if tokenizer is not None:
                return find_token(tokenizer, word, self._vocabulary, self._likely(row))
        except OutOfRangeError:
            if number is None:
                raise
        return int(number[1]) if number else UNREAD

    @property
    def _vocabulary(self) -> Any:
        return "target" if len(self.trace.tokens) > 1 else "source"

    def _likely(self, row: int | None) -> list[int]:
        """Return the ids of what a row predicts: the token that follows, and the likeliest."""
        following = _following(self._reading.prepared)
        if row is None:
            answer = following[self._reading.prepared.answer or 0 :]
            return [i for i in answer if i != UNREAD]
        logits = self.trace.logits
        known = [i for i in following[row : row + 1] if i != UNREAD]
        if logits is None:
            return known
        best = logits[row].float().topk(min(FEW, logits.shape[-1])).indices.tolist()
        return [*dict.fromkeys([*best, *known])]

    def _candidates(self, row: int | None) -> list[tuple[str, str, float]]:
        """Return what may be asked for: the words that ask for it, its name and its logit, highest first."""
        logits = self.trace.logits
        if logits is None:
            return []
        if self._of_classes:
            names = class_names(self._reading.model) or ()
            pairs = sorted(zip(names, logits.tolist(), strict=True), key=lambda pair: -pair[1])
            return [(name, name, value) for name, value in pairs[:MOST_CLASSES]]
        if row is None:
            return []
        likely = self._likely(row)
        names = tuple(map(self._name, likely))
        chosen = [
            (name if names.count(name) == 1 and self._reads(name, i, row) else f"<{i}>", name, i)
            for name, i in zip(names, likely, strict=True)
        ]
        return [(word, name, float(logits[row, i])) for word, name, i in chosen[:FEW]]

    def _reads(self, name: str, token: int, row: int) -> bool:
        try:
            return self._token(name, row) == token
        except OutOfRangeError:
            return False

    def _name(self, token: int) -> str:
        tokenizer = self._reading.tokenizer
        return f"<{token}>" if tokenizer is None else label(tokenizer, token, self._vocabulary)

    def _answer_direct(self, message: Message) -> Answer:
        """Answer a page that shows the waterfall: of which row, of what, by what, and whether all of it."""
        asked = self._asked(message)
        found = self._direct(*asked)
        most = None if message.get("whole") is True else MANY
        by = "head" if message.get("by") == "head" else "layer"
        steps = waterfall(found, by, most)
        row = found.target.row
        reply = {
            "row": row,
            "name": found.target.name,
            "against": None if found.against is None else found.against.name,
            "value": found.value,
            "rest": found.rest,
            "notes": list(found.notes),
            "steps": [asdict(step) for step in steps],
            "count": len(waterfall(found, by, None)),
            "candidates": self._candidates(row),
            "predicts": self._predicts(),
        }
        return reply, []

    def _answer_direct_units(self, message: Message) -> Answer:
        """Answer a page that unfolds a feed-forward layer."""
        found = self._direct(*self._asked(message))
        stage: Any = message.get("stage")
        layer: Any = message.get("layer")
        if not isinstance(stage, str) or not is_int(layer):
            raise JtvizError("a feed-forward layer is named by its stage and its number.")
        return {"steps": [asdict(step) for step in unit_waterfall(found, (stage, int(layer)))]}, []

    def _asked(self, message: Message) -> tuple[int | None, str | None, str | None]:
        row = message.get("row")
        if row is not None:
            row = self._number(message, "row", len(self.trace.tokens[self._predicting]))
        answer, against = (message.get(name) for name in ("answer", "against"))
        for word in (answer, against):
            if word is not None and not isinstance(word, str):
                raise JtvizError(f"a token is asked for in words, not as {word!r}.")
        return row, answer, against

    def _predicts(self) -> list[str] | None:
        """Return the likeliest token of each row of a masked model; of a decoder the page has them."""
        logits = self.trace.logits
        if self._predicting == "decoder" or logits is None or logits.ndim != 2 or len(logits) > MOST_NAMED:
            return None
        return self._once("direct predicts", lambda: [self._name(i) for i in logits.argmax(-1).tolist()])


def _following(prepared: Prepared) -> tuple[int, ...]:
    return tuple(prepared.following_ids or ())


def _masks(reading: Reading) -> list[int]:
    """Return the rows of the tokens that are masked."""
    tokenizer = reading.tokenizer
    if tokenizer is None:
        return []
    known = getattr(tokenizer, "mask_token_id", None)
    if not isinstance(known, int):
        spelled = map(codec(tokenizer).number, ("[MASK]", "<mask>"))
        known = next((number for number in spelled if number is not None), None)
    ids = reading.prepared.ids.get("source")
    return [] if known is None or ids is None else (ids[0] == known).nonzero().flatten().tolist()
