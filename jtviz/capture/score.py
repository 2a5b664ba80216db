"""What is explained, as a number for each example of a batch.

Required: for one example it is the number that a trace differentiates (`jtviz.capture.target`); a
difference of two tokens or classes is taken on the same scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import JtvizError
from .flow import tensors
from .inputs import UNREAD
from .target import Outcome, Target, TargetLike, precise

Pick = Callable[[Any], Tensor]
"""Takes what a model returned to the logits ``[batch, choices]`` that a target is one of."""


def gone(_: Any) -> Tensor:
    """Stand in for a function of the model's output, which cannot be saved.

    Raises
    ------
    JtvizError
        Always.
    """
    raise JtvizError("this attribution was loaded without its model: attribute anew to compute with it.")


@dataclass(frozen=True)
class Score:
    """One number of the output; it is saved without its functions.

    Attributes
    ----------
    target : Target
        What it is of.
    against : Target or None
        What is subtracted: "why this rather than that".
    probability : float or None
        Of the target, whatever the scale; None where it is no choice among several.
    of : callable
        Takes what the model returned for a batch to ``[batch]``.
    chance : callable or None
        The same for the probability; of a difference the share of the target in the two. None where there
        is none, or `of` says as much on another scale.
    """

    target: Target
    against: Target | None
    probability: float | None
    of: Callable[[Any], Tensor]
    chance: Callable[[Any], Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what can be saved: functions of a model's output are of no use without it."""
        return vars(self) | {"of": gone, "chance": None if self.chance is None else gone}

    def __copy__(self) -> Score:
        """Return itself, with its functions: it never changes."""
        return self

    def __deepcopy__(self, _: Any) -> Score:
        """Return itself, with its functions: it never changes."""
        return self

    @property
    def is_gone(self) -> bool:
        """Whether it was loaded, and computes nothing."""
        return self.of is gone

    @property
    def value(self) -> float:
        """The number for the text itself."""
        return self.target.value - (0.0 if self.against is None else self.against.value)

    @property
    def words(self) -> str:
        """The number in words, ``log_prob of 茶 − log_prob of 咖啡``."""
        name = {"log_prob": "log-probability", "prob": "probability"}.get(
            self.target.output, self.target.output
        )
        mine = f"{name} of {self.target.name}"
        return mine if self.against is None else f"{mine} − {name} of {self.against.name}"


def score(outcome: Outcome, target: TargetLike, output: str, against: TargetLike = None) -> Score:
    """Turn the reader's words into a number for each example of a batch.

    Parameters
    ----------
    outcome : Outcome
        What the model returned for the text itself.
    target, output
        As in `HookedTransformer.trace`.
    against : optional
        A second target: the token or class that the first is compared with, in the same row.

    Raises
    ------
    JtvizError
        If the model predicts nothing of this kind, or there is nothing that `against` could be compared with.
    OutOfRangeError
        If there is no such class, row or token.
    """
    named, _ = outcome.score(target, output)
    if against is not None and named.index is None:
        raise JtvizError("against= is a second token or class: name the first with target=.")
    if named.output == "function":
        return Score(named, None, None, _each(target))
    if named.index is None:
        return Score(named, None, None, _whole_loss(outcome))
    other = None
    if against is not None:
        same_row: Any = against if named.row is None else {"row": named.row, "token": against}
        other, _ = outcome.score(same_row, output)
    pick = _row(named.row)
    probability = outcome.score(_again(named), "prob")[0].value
    second = None if other is None else other.index
    return Score(
        named,
        other,
        probability,
        chosen(pick, named.index, output, second),
        share(pick, named.index, second),
    )


def chosen(
    pick: Pick, index: int, output: str, against: int | None = None, *, independent: bool = False
) -> Callable[[Any], Tensor]:
    """Return the function that takes a model's output to one choice's number, ``[batch]``.

    Parameters
    ----------
    pick : callable
        Takes the output to the logits ``[batch, choices]``.
    index, against : int
        Which choice, and which is subtracted.
    output : {"logit", "log_prob", "prob", "loss"}
        The scale.
    independent : bool
        Whether choices do not exclude each other, so that each has a probability of its own.
    """

    def of(output_of_model: Any) -> Tensor:
        scaled = scale(precise(pick(output_of_model)), output, independent=independent)
        return scaled[:, index] if against is None else scaled[:, index] - scaled[:, against]

    return of


def share(
    pick: Pick, index: int, against: int | None = None, *, independent: bool = False
) -> Callable[[Any], Tensor]:
    """Return the function that takes a model's output to one choice's probability, ``[batch]``.

    Against another choice it is the share in the two, ``p / (p + q)``: a probability too, which rises and
    falls with the difference of the two logits.
    """
    if against is None:
        return chosen(pick, index, "prob", independent=independent)
    difference = chosen(pick, index, "log_prob", against, independent=independent)
    return lambda output: difference(output).sigmoid()


def scale(logits: Tensor, output: str, *, independent: bool = False) -> Tensor:
    """Take logits ``[..., choices]`` to a scale."""
    if output == "logit":
        return logits
    log_prob = F.logsigmoid(logits) if independent else logits.log_softmax(-1)
    return {"log_prob": log_prob, "prob": log_prob.exp(), "loss": -log_prob}[output]


def first_logits(output: Any) -> Tensor:
    """Return the logits in what a model returned, ``[batch, ...]``."""
    return next(tensors(getattr(output, "logits", output)))


def _row(row: int | None) -> Pick:
    return first_logits if row is None else lambda output: first_logits(output)[:, row]


def _again(target: Target) -> Any:
    return target.index if target.row is None else {"row": target.row, "token": target.index}


def _each(function: Any) -> Callable[[Any], Tensor]:
    """Return a reader's own function, which takes the output of one example: callers run them one by one."""
    return lambda output: torch.as_tensor(function(output)).reshape(1)


def _whole_loss(outcome: Outcome) -> Callable[[Any], Tensor]:
    first = outcome.answer or 0
    known: Sequence[int] = list(outcome.following or ())[first:]

    def of(output: Any) -> Tensor:
        logits = precise(first_logits(output)[:, first : first + len(known)])
        ids = torch.tensor(known[: logits.shape[1]], device=logits.device).expand(len(logits), -1)
        losses = F.cross_entropy(logits.transpose(1, 2), ids, ignore_index=UNREAD, reduction="none")
        return losses.sum(1) / ids.ne(UNREAD).sum(1)

    return of
