"""The measures of all heads of a stage, in a size that a view can wait for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jtviz.analysis import LEAST, MEASURES, head_measures
from jtviz.capture import Trace

LOOKED_AT = 1 << 26
"""Weights of a stage looked at, at most: beyond, of some queries."""

ABOUT = {
    "entropy": "how spread out a row is, in nats: 0 looks at one token",
    "distance": "how many tokens away a query looks, on average",
    "first_token": "weight on the first token, where heads with nothing to do look (a sink)",
    "diagonal": "weight on the query's own token",
    "previous_token": "weight on the token before",
    "duplicate_token": "weight on earlier copies of the same token",
    "induction": "weight on what followed earlier copies of the token: heads that copy",
    "same_word": "weight on the other tokens of the query's word",
    "gradient": "what switching the head off changes, to first order, in units of the target",
}
"""Each measure in plain words."""


def measured(trace: Trace, stage: str) -> tuple[Tensor, dict[str, Any]]:
    """Return ``[measures, layers, heads]``, NaN where one does not apply, and what the view says of them."""
    site = trace.site(stage, 0)
    cost = sum(trace.heads(stage, layer) for layer in range(trace.layers(stage))) * site.queries * site.keys
    rows = max(1, site.queries * LOOKED_AT // cost) if cost > LOOKED_AT else None
    found = head_measures(trace, stage, sample=rows)
    values = torch.stack([getattr(found, name) for name in MEASURES])
    info: dict[str, Any] = {"names": MEASURES, "least": LEAST, "about": ABOUT}
    return values, info if rows is None else {**info, "sampled": rows}
