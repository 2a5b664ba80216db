"""What the front end is told of ablations. Twin: js/src/pruning/types.ts.

Required: everything that JSON has, and no number that it has not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from jtviz.analysis.ablation import Again, Effect, Said, Together, pieces
from jtviz.capture import Trace
from jtviz.capture.intervention.ablation import Mask

from .masks import state_of

SIZE = 64
"""Rows and columns of a small picture, at most."""
KL_WORDS = "how far its predictions are from the intact model's, mean over what is predicted"


def outcome_of(effect: Effect, version: int = 0) -> dict[str, Any]:
    """Return what switching parts off changed."""
    intact, ablated = pieces(effect.intact.text, effect.ablated.text)
    asked = effect.asked
    kind = {"states": "text"}.get(asked.kind, asked.kind)
    return {
        "state": state_of(effect.mask),
        "ablation": effect.mode,
        "kind": kind,
        "score_words": asked.words,
        "intact": _said(effect.intact, intact),
        "pruned": _said(effect.ablated, ablated),
        "kl": _finite(effect.kl) if effect.divergence else None,
        "kl_words": KL_WORDS,
        "rows": [[name, _finite(kl)] for name, kl in zip(asked.names, effect.divergence, strict=False)]
        if len(effect.divergence) > 1
        else [],
        "moved": [[*one] for one in effect.strongest_moved()],
        "notes": list(effect.notes),
        "seconds": effect.seconds,
        "version": version,
    }


def _said(said: Said, cut: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "value": _finite(said.value),
        "text": said.text,
        "pieces": [list(piece) for piece in cut],
        "top": [[name, _finite(share)] for name, share in said.top],
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def scores_of(found: dict[str, np.ndarray]) -> dict[str, list[list[float | None]]]:
    """Return scores of heads, layers by heads; None where there is no such head."""
    return {stage: [[_finite(x) for x in row] for row in values.tolist()] for stage, values in found.items()}


def interaction_of(mask: Mask, found: Together) -> dict[str, Any]:
    """Return how parts back each other up."""
    names = [part.name for part in found.parts]
    return {
        "state": state_of(mask),
        "words": found.words,
        "alone": [[name, value] for name, value in zip(names, found.alone, strict=False)],
        "sum": sum(found.alone),
        "joint": found.joint,
        "pairs": sorted(
            (
                [names[i], names[j], joint, found.interaction(i, j)]
                for (i, j), joint in found.pairs.items()
                if found.alone
            ),
            key=lambda pair: -abs(pair[3]),
        ),
    }


def explained_of(found: Again) -> dict[str, Any]:
    """Return two explanations."""
    return {
        "state": state_of(found.mask),
        "words": f"{found.intact.score.words}, by {found.intact.method.label}",
        "sides": [
            [side, list(text), intact.tolist(), ablated.tolist()]
            for side, (text, intact, ablated) in found.sides.items()
        ],
        "correlation": found.correlation,
    }


def pattern_of(one: Trace, other: Trace, stage: str, layer: int, head: int) -> tuple[dict[str, Any], bytes]:
    """Return a head's attention in two traces, small: shape, largest weight, and bytes of both."""
    site = one.site(stage, layer)
    rows = torch.linspace(0, site.queries - 1, min(site.queries, 4 * SIZE)).round().long().tolist()
    both = torch.stack([t.attention(stage, layer=layer, head=head, rows=rows) for t in (one, other)])
    shape = [min(SIZE, size) for size in both.shape[1:]]
    small = F.adaptive_max_pool2d(both, shape)
    # In a long text the first rows have all on a few keys: theirs is not the scale of the others.
    is_long = min(shape) == SIZE
    most = float(small.flatten().quantile(0.98) if is_long else small.max()) or float(small.max()) or 1.0
    data = (small / most * 255).clamp_(max=255).round().to(torch.uint8).cpu().numpy().tobytes()
    return {"shape": [2, *shape], "max": most}, data
