"""What a classifier says: the names of its classes and their probabilities.

Required: told from the configuration and the output alone; a hidden state is never taken for logits,
nor a number that is no score of a class for a probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .errors import JtvizError
from .flow import tensors
from .structure import config


def class_names(model: nn.Module) -> tuple[str, ...] | None:
    """Return the names of the classes, in order; None if the configuration has none.

    They are ``config.id2label`` in Hugging Face models, ``config.labels`` elsewhere.
    """
    named = getattr(config(model), "id2label", None)
    if isinstance(named, dict) and named:
        return tuple(str(named[key]) for key in sorted(named))
    labels = getattr(config(model), "labels", None)
    return tuple(map(str, labels)) if isinstance(labels, list | tuple) and labels else None


def checked_classes(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the classes.

    Raises
    ------
    JtvizError
        If there are fewer than two, two share a name, or the model predicts numbers instead.
    """
    names = class_names(model) or ()
    if len(names) < 2 or getattr(config(model), "problem_type", None) == "regression":
        raise JtvizError(
            f"{type(model).__name__} tells no classes apart: a classifier has the names of at least two in "
            f"config.id2label (or config.labels)."
        )
    if len(set(names)) < len(names):
        raise JtvizError(
            f"two classes of {type(model).__name__} have the same name: rename them in its config."
        )
    return names


def class_logits(model: nn.Module, output: Any, *, example: int = 0, detach: bool = True) -> Tensor | None:
    """Return the logits ``[classes]`` of one example, None if the output is not a classifier's."""
    names = class_names(model)
    found = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if found is None and not isinstance(output, Mapping):
        found = next(tensors(output), None)
    if names is None or not isinstance(found, Tensor) or found.ndim != 2 or found.shape[1] != len(names):
        return None
    own = found[example]
    return own.detach() if detach else own


def probabilities(model: nn.Module, output: Any) -> dict[str, float]:
    """Return the probability of each class of the first example, by its name.

    They sum to one, except where classes do not exclude each other
    (``config.problem_type == "multi_label_classification"``).

    Raises
    ------
    JtvizError
        If the output is not a classifier's.
    """
    names, logits = checked_classes(model), class_logits(model, output)
    if logits is None:
        raise JtvizError(
            f"{type(model).__name__} tells no classes apart: its output is not [batch, {len(names)} classes]."
        )
    independent = getattr(config(model), "problem_type", None) == "multi_label_classification"
    shares = logits.float().sigmoid() if independent else logits.float().softmax(-1)
    return dict(zip(names, shares.tolist(), strict=True))
