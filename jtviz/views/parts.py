"""What the front end is told of attributions. Twin: js/src/attribution/types.ts.

Required: how far the scores are from the sum that they promise goes with them, always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jtviz.analysis.attribution import Attribution


def described(part: Attribution) -> dict[str, Any]:
    """Return a part in words and numbers that JSON has, but for its scores."""
    score = part.score
    stacked = part.by_layer or {}
    return {
        "name": score.target.name if score.against is None else f"{score.target.name} − {score.against.name}",
        "words": score.words,
        "value": _finite(score.value),
        "probability": _finite(score.probability),
        "row": score.target.row,
        "method": part.method.name,
        "baseline": part.baseline,
        "baseline_value": _finite(part.baseline_value),
        "n_steps": part.n_steps,
        "delta": _finite(part.delta),
        "relative_delta": _finite(part.relative_delta),
        "is_complete": part.is_complete,
        "is_signed": part.method.is_signed,
        "notes": list(part.notes),
        "layers": [len(stacked[side]) if side in stacked else 0 for side in part.tokens],
    }


def layers_of(part: Attribution) -> int:
    """Return how many layers the scores have; 0 where they are of none."""
    return max(map(len, (part.by_layer or {}).values()), default=0)


def _finite(value: float | None) -> float | None:
    """Return a number that JSON has."""
    return None if value is None or not np.isfinite(value) else float(value)


def written(parts: Sequence[Attribution]) -> bytes:
    """Return the scores as float32: part by part each side's, layer by layer where there are layers."""
    rows = []
    for part in parts:
        for side in part.tokens:
            by_layer = (part.by_layer or {}).get(side)
            rows.append(part.scores[side] if by_layer is None or not len(by_layer) else by_layer.ravel())
    return np.concatenate(rows).astype("<f4").tobytes()
