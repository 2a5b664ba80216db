"""What is explained: one number of the output, named in the reader's words.

Required: the reader's words are checked before any gradient is computed, and what they were taken to mean
can be read afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..tokens import find_token, label
from .classes import class_logits, class_names
from .errors import JtvizError, OutOfRangeError
from .inputs import UNREAD, last_read
from .part import is_int, plain

OUTPUTS = ("logit", "log_prob", "prob", "loss")

TargetLike = SupportsIndex | str | Mapping[str, SupportsIndex | str] | Callable[[Any], Tensor] | None


@dataclass(frozen=True)
class Target:
    """The number that was differentiated.

    Attributes
    ----------
    name : str
        The class or token, in words; ``"all"`` for the mean loss over a text or answer.
    index : int or None
        Number of the class or id of the token.
    row : int or None
        The row that predicts the token, None for a class.
    output : str
        The scale: ``"logit"``, ``"log_prob"``, ``"prob"``, ``"loss"`` (the negative log-probability), or
        ``"function"``.
    value : float
        The number itself.
    """

    name: str
    index: int | None
    row: int | None
    output: str
    value: float


@dataclass(frozen=True)
class Outcome:
    """What a forward pass returned, as far as targets need it.

    Attributes
    ----------
    model : nn.Module
        Names its classes.
    output : object
        What the forward returned.
    logits : Tensor or None
        ``[rows, vocabulary]``, where it predicts tokens.
    following : sequence of int or None
        Ids of the tokens that the rows predict, as far as known.
    read : sequence of bool or None
        Whether each row reads a token, not padding; None where all do.
    tokenizer : object or None
        Knows the ids of tokens.
    side : {"source", "target"}
        Whose vocabulary it predicts.
    is_decoder : bool
        Whether a row predicts the token after it.
    answer : int or None
        The first row that predicts a token of an answer (a translation, what was generated or given);
        None where a text was only read.
    example : int
        Which example of the batch.
    """

    model: nn.Module
    output: Any
    logits: Tensor | None
    following: Sequence[int] | None
    read: Sequence[bool] | None
    tokenizer: Any
    side: Any
    is_decoder: bool
    answer: int | None
    example: int

    def score(self, target: TargetLike, output: str) -> tuple[Target, Tensor]:
        """Return what is meant, and the number to differentiate.

        Raises
        ------
        JtvizError
            If the model predicts nothing of this kind.
        OutOfRangeError
            If there is no such class, row or token.
        """
        if callable(target):
            number: object = target(self.output)
            if not isinstance(number, Tensor) or number.numel() != 1:
                raise JtvizError("target= as a function takes the model's output and returns one number.")
            if not number.requires_grad:
                raise JtvizError(
                    "target= as a function returned a number that cannot be differentiated: compute it from "
                    "the output without argmax, item() or detach()."
                )
            name = getattr(target, "__name__", "function")
            return Target(name, None, None, "function", number.item()), number.reshape(())
        target = _in_plain_types(target)
        classes = (
            None
            if self.logits is not None
            else class_logits(self.model, self.output, example=self.example, detach=False)
        )
        if classes is not None:
            return self._of_class(classes, target, output)
        if self.logits is None:
            raise JtvizError(
                f"{type(self.model).__name__} returns neither the logits of classes nor of tokens: pass "
                f"target= as a function that takes its output and returns one number."
            )
        if target is None and output == "loss":
            return self._whole_loss(self.logits)
        return self._of_token(self.logits, target, output)

    def _of_class(self, logits: Tensor, target: Any, output: str) -> tuple[Target, Tensor]:
        names = class_names(self.model) or ()
        if target is None:
            index = int(logits.argmax())
        elif isinstance(target, str):
            if target not in names:
                raise OutOfRangeError(f"class {target!r} is not there: choose from {', '.join(names)}.")
            index = names.index(target)
        elif is_int(target):
            if not 0 <= target < len(logits):
                raise OutOfRangeError(f"class {target} is not there: classes are 0 to {len(logits) - 1}.")
            index = target
        else:
            raise JtvizError("target= is the name or number of a class for a classifier.")
        number = _scaled(logits, index, output)
        return Target(names[index], index, None, output, number.item()), number

    def _of_token(self, logits: Tensor, target: Any, output: str) -> tuple[Target, Tensor]:
        given = dict(target) if isinstance(target, Mapping) else {}
        if unknown := set(given) - {"row", "token"}:
            raise JtvizError(
                f"target= as a mapping has a 'row' and a 'token', not {min(unknown, key=str)!r}."
            )
        if isinstance(target, str):
            given["token"] = target
        elif is_int(target):
            given["row"] = target
        elif target is not None and not isinstance(target, Mapping):
            raise JtvizError("target= is a token, the number of a row, or {'row': ..., 'token': ...}.")
        token = given.get("token")
        # An encoder predicts each token in its place, not the one after it.
        following = (self.following or ()) if self.is_decoder else ()
        likely = [i for i in following[self.answer or 0 :] if i != UNREAD]
        if "row" in given:
            row = self._row(given["row"], len(logits))
            likely = [i for i in following[row : row + 1] if i != UNREAD]
        wanted = None if token is None else self._id(token, logits.shape[1], likely)
        if "row" in given or wanted is None or self.answer is None:
            row = self._row(given.get("row"), len(logits))
        else:
            row = self._row_that_predicts(wanted, self.answer)
        if wanted is None:
            known = row < len(following) and following[row] != UNREAD
            index = following[row] if known else int(logits[row].argmax())
        else:
            index = wanted
        number = _scaled(logits[row], index, output)
        return Target(self._name(index), index, row, output, number.item()), number

    def _row_that_predicts(self, token: int, first: int) -> int:
        following = self.following or ()
        rows = [row for row in range(first, len(following)) if following[row] == token]
        if len(rows) != 1:
            found = f"{len(rows)} times, predicted by rows {rows}" if rows else "not"
            raise JtvizError(
                f"{self._name(token)!r} is {found} in the answer: name the row, "
                f"target={{'row': ..., 'token': ...}}."
            )
        return rows[0]

    def _row(self, row: Any, rows: int) -> int:
        if row is None:
            if not self.is_decoder:
                raise JtvizError(
                    "name the row to explain, target={'row': ...}: this model predicts a token in every row."
                )
            return last_read(self.read, rows)
        if not is_int(row) or not -rows <= row < rows:
            raise OutOfRangeError(f"row {row!r} is not there: rows are 0 to {rows - 1}.")
        return int(row) % rows

    def _id(self, token: Any, size: int, likely: Sequence[int]) -> int:
        if is_int(token):
            if not 0 <= token < size:
                raise OutOfRangeError(f"token {token} is not there: ids are 0 to {size - 1}.")
            return int(token)
        if not isinstance(token, str):
            raise JtvizError(f"a token of target= is a word or an id, not {token!r}.")
        if self.tokenizer is None:
            raise JtvizError("a token in words needs a tokenizer: pass its id, target={'token': id}.")
        found = find_token(self.tokenizer, token, self.side, likely)
        if found >= size:
            raise OutOfRangeError(f"{token!r} is token {found}, and the model's ids are 0 to {size - 1}.")
        return found

    def _name(self, index: int) -> str:
        return f"<{index}>" if self.tokenizer is None else label(self.tokenizer, index, self.side)

    def _whole_loss(self, logits: Tensor) -> tuple[Target, Tensor]:
        first = self.answer or 0
        known = list(self.following or ())[first : len(logits)] if self.is_decoder else []
        if all(i == UNREAD for i in known):
            raise JtvizError("output='loss' without target= needs a text whose tokens follow each other.")
        wanted = torch.tensor(known, device=logits.device)
        number = F.cross_entropy(precise(logits[first : first + len(known)]), wanted, ignore_index=UNREAD)
        return Target("all", None, None, "loss", number.item()), number


def _in_plain_types(target: Any) -> Any:
    """Return a target in Python's own types: NumPy's and torch's numbers are welcome too."""
    if isinstance(target, Mapping):
        return {name: plain(value) for name, value in target.items()}
    return plain(target)


def checked_output(output: str | None) -> str | None:
    """Return the scale, or raise if it is none."""
    if output is not None and output not in OUTPUTS:
        raise JtvizError(f"output= is one of {', '.join(map(repr, OUTPUTS))}, not {output!r}.")
    return output


def checked_scale(output: str) -> str:
    """Return the scale of what is explained, which there has to be."""
    if output is None:
        raise JtvizError(f"output= is one of {', '.join(map(repr, OUTPUTS))}, not None.")
    checked_output(output)
    return output


def precise(values: Tensor) -> Tensor:
    """Return numbers in single precision, or in double where they are: rounding hides what a sum is off."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _scaled(logits: Tensor, index: int, output: str) -> Tensor:
    """Return one number of ``[classes]`` or ``[vocabulary]`` logits on a scale."""
    if output == "logit":
        return precise(logits[index])
    log_prob = precise(logits).log_softmax(-1)[index]
    return {"log_prob": log_prob, "prob": log_prob.exp(), "loss": -log_prob}[output]
