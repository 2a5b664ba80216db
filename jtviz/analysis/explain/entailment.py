"""Classes that a model was never trained on, by entailment: whether a text says “This example is sports.”.

Yin et al. 2019. Required: the class that means entailment is found by its name, never by its number; every
label is a pair of texts of its own, and has an explanation of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.capture.classes import class_names
from jtviz.capture.score import first_logits

from ..attribution.session import Session
from .choice import Found, chance
from .request import Request


def entailment_of(model: nn.Module) -> str:
    """Return the class that means entailment.

    Raises
    ------
    JtvizError
        If no class, or more than one, is called so.
    """
    names = class_names(model) or ()
    found = [name for name in names if name.lower().startswith("entail")]
    if len(found) != 1:
        raise JtvizError(
            f"zero-shot needs a model of entailment with one class called 'entailment' in config.id2label, "
            f"and the classes of {type(model).__name__} are {', '.join(map(repr, names)) or 'not named'}."
        )
    return found[0]


def wanted_labels(request: Request) -> list[str]:
    """Return the labels to explain: those of target=, else all."""
    labels = list(request.labels or ())
    if not labels:
        raise JtvizError("zero-shot needs labels=, a list of classes to choose from.")
    chosen = labels if request.target is None else request.targets
    for label in chosen:
        if label not in labels:
            raise OutOfRangeError(f"target {label!r} is none of the labels: choose from {', '.join(labels)}.")
    return chosen


def of_label(session: Session, request: Request, label: str) -> Found:
    """Explain why a text entails, or does not entail, one label."""
    entailment = entailment_of(session.forward.model)
    score = session.score(entailment, request.output, request.against)
    target = replace(score.target, name=f"{entailment} of “{label}”")
    return Found((label,), (replace(score, target=target),), "")


def logit_of(session: Session) -> float:
    """Return the logit of entailment, which labels are compared by."""
    names = class_names(session.forward.model) or ()
    index = names.index(entailment_of(session.forward.model))
    return float(first_logits(session.forward.output)[0, index])


def likeliest(labels: Sequence[str], logits: Sequence[float]) -> str:
    """Return the label that is entailed most, with its share among the labels.

    Examples
    --------
    >>> likeliest(["sports", "politics"], [2.0, 2.0 - 1.0986123])
    'sports (75.0%)'
    """
    shares = torch.tensor(logits, dtype=torch.float64).softmax(0)
    best = int(shares.argmax())
    return f"{labels[best]}{chance(float(shares[best]))}"
