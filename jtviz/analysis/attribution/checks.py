"""What a model may return that nothing can be attributed to: no number, or none that has a gradient.

Required: one sentence that says what to do; NaN and infinity are never shown as scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from torch import nn

from jtviz.capture import JtvizError
from jtviz.capture.score import Score

from .cost import Cost
from .methods import Method


def is_quantized(model: nn.Module) -> bool:
    """Return whether torch quantized a part: gradients go round it, and would be of the rest only."""
    return any(".quantized" in type(module).__module__ for module in model.modules())


def checked_finite(wanted: Score) -> None:
    """Raise if what is explained is no number: nothing could be attributed to it."""
    found = [wanted.value, *([] if wanted.probability is None else [wanted.probability])]
    if not all(map(math.isfinite, found)):
        raise JtvizError(
            f"the output of the model has NaN or infinity ({wanted.words} is {wanted.value:.4g}): look for "
            f"them in its weights or its input."
        )


def checked_baseline(wanted: Score, name: str, value: float) -> None:
    """Raise if what is explained is no number for a baseline."""
    if not math.isfinite(value):
        raise JtvizError(
            f"{wanted.words} is {value:.4g} for the baseline {name!r}: choose another, baseline=."
        )


def checked_gradient(model: nn.Module, cost: Cost, method: Method) -> None:
    """Raise if no gradient reaches the tokens."""
    if not cost.has_gradient:
        raise JtvizError(
            f"{method.label} needs gradients, and none reach the tokens through {type(model).__name__}, "
            f"which is quantized, detached or run under no_grad: choose a method without, such as "
            f"'feature_ablation'."
        )


def checked_scores(wanted: Score, method: Method, scores: Mapping[str, np.ndarray]) -> None:
    """Raise if a score is no number, though what is explained is one."""
    if not all(np.isfinite(rows).all() for rows in scores.values()):
        raise JtvizError(
            f"{method.label} is NaN or infinite here, although {wanted.words} is not: choose a method "
            f"without gradients, such as 'feature_ablation'."
        )
