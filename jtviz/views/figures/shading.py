"""Tokens shaded by attention: by what the token in focus looks at, or by who looks at it.

With no focus, keys are shaded by what they receive. Twin: js/src/parts/shading.ts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .colour import Rgb, shade
from .look import Look
from .shades import Array, strengths
from .words import heads_together


@dataclass(frozen=True, eq=False)
class Shading:
    """Weights of the tokens of one side, and what the full colour stands for."""

    look: Look
    role: str
    start: int
    strength: Array
    full: float
    least: float
    words: str

    def of(self, role: str, index: int) -> Rgb | None:
        """Return the colour behind a token; None where it is not shaded."""
        if role != self.role or not 0 <= index - self.start < len(self.strength):
            return None
        value = float(self.strength[index - self.start])
        return shade(self.look.ramp_against if value < 0 else self.look.ramp, abs(value))


def shaded(look: Look, rows: slice, cols: slice) -> Shading:
    """Return the shading of what is in focus."""
    query, key = look.focus("query"), look.focus("key")
    role, part, sampled = "key", cols, 0
    if query is not None:
        weights = look.combined(slice(query, query + 1), cols)[0]
        what = "what the query in focus looks at"
    elif key is not None:
        role, part = "query", rows
        weights = look.combined(rows, slice(key, key + 1))[:, 0]
        what = "how much each query looks at the key in focus"
    else:
        weights, sampled = received(look, cols)
        what = "how much each key is looked at, mean over all queries"
        if sampled:
            what = f"how much each key is looked at, mean over {sampled:,} queries"
    full = float(np.abs(weights).max(initial=0.0))
    strength = strengths(weights, look.settings["scale"], full)
    words = f"shaded by {what}{heads_together(look)}"
    return Shading(look, role, part.start, strength, full, float(weights.min(initial=0.0)), words)


def received(look: Look, cols: slice) -> tuple[Array, int]:
    """Return what keys receive, mean over the queries shown, and of how many if not of all."""
    rows, limit = look.rows, look.limits.looked_at
    count = rows.stop - rows.start
    many = max(1, min(count, limit // look.row_cost))
    total = np.zeros(cols.stop - cols.start, np.float64)
    if many == count:
        step = max(1, (1 << 22) // look.row_cost)
        for start in range(rows.start, rows.stop, step):
            total += look.combined(slice(start, min(start + step, rows.stop)), cols).sum(0)
        return (total / count).astype(np.float32), 0
    many = min(many, 64)
    for i in range(many):
        row = rows.start + (2 * i + 1) * count // (2 * many)
        total += look.combined(slice(row, row + 1), cols)[0]
    return (total / many).astype(np.float32), many
