"""How far the attention of each head moved between two traces of the same tokens.

Required: a distance between 0 and 1 whatever the length; of long texts some queries, evenly spread.
"""

from __future__ import annotations

import numpy as np
import torch

from jtviz.capture import Trace

QUERIES = 64


def moved(one: Trace, other: Trace) -> dict[str, np.ndarray]:
    """Return for each stage how far each head's attention moved, ``[layers, heads]``.

    The total variation distance of a query's attention, ``sum |p - q| / 2``, mean over queries: 0 where it is
    the same, 1 where it is all elsewhere. NaN where a layer has fewer heads than another.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.demo.induction().trace("abcabc")
    >>> float(moved(trace, trace)["decoder"].max())
    0.0
    """
    found: dict[str, np.ndarray] = {}
    for stage in one.stages:
        layers = one.layers(stage)
        most = max(one.heads(stage, layer) for layer in range(layers))
        out = np.full((layers, most), np.nan)
        for layer in range(layers):
            queries = one.site(stage, layer).queries
            rows = torch.linspace(0, queries - 1, min(queries, QUERIES)).round().long().tolist()
            for head in range(one.heads(stage, layer)):
                p, q = (trace.attention(stage, layer=layer, head=head, rows=rows) for trace in (one, other))
                out[layer, head] = float((p - q).abs().sum(-1).mean()) / 2
        found[stage] = out
    return found
