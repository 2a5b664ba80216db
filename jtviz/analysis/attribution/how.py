"""How to attribute: a method with its baseline, points and memory, and how much work that is.

Required: a number that makes no sense is refused before any work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jtviz.capture import JtvizError, Trace
from jtviz.capture.part import is_int

from .baselines import BASELINES
from .cost import MEMORY
from .methods import Method
from .units import Unit, checked_unit

BY_STEPS = ("integrated_gradients", "layer_conductance", "layer_integrated_gradients")
BY_SAMPLES = ("smooth_grad", "gradient_shap", "shapley_sampling")
"""Methods by points on a path, and by random samples."""


@dataclass(frozen=True)
class How:
    """How to attribute; see `attribute`, which says what each means."""

    method: Method
    baseline: str | None = None
    n_steps: int = 50
    n_samples: int = 25
    window: int = 3
    noise: float = 0.1
    unit: Unit = "token"
    memory: int = MEMORY
    seed: int = 0
    raise_steps: bool = True


def checked_how(how: How) -> None:
    """Raise if a number makes no sense."""
    for name in ("n_steps", "n_samples", "window", "memory"):
        value = getattr(how, name)
        if not is_int(value) or value < 1:
            raise JtvizError(f"{name}= is a number, at least 1, not {value!r}.")
    if not is_int(how.seed) or how.seed < 0:
        raise JtvizError(f"seed= is a number, at least 0, not {how.seed!r}.")
    checked_unit(how.unit)
    noise: Any = how.noise
    if not isinstance(noise, int | float) or not 0 <= noise < float("inf"):
        raise JtvizError(f"noise= is a share of the range of the vectors, at least 0, not {noise!r}.")
    baseline: Any = how.baseline
    if baseline is not None and not isinstance(baseline, str):
        raise JtvizError(f"baseline= is one of {', '.join(map(repr, BASELINES))} or a text.")


def examples(how: How, trace: Trace) -> int:
    """Return how many examples a method evaluates; by layer, for one layer."""
    tokens = sum(map(len, trace.tokens.values()))
    if how.method.name in BY_STEPS:
        return how.n_steps
    if how.method.name == "shapley_sampling":
        return how.n_samples * tokens + 1
    if how.method.name in BY_SAMPLES:
        return how.n_samples
    if how.method.name == "deep_lift":
        return 2
    return tokens + 1 if how.method.kind == "perturbation" else 1
