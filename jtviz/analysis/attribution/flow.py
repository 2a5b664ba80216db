"""The greatest flow through a graph of layers (Abnar & Zuidema 2020, section 3, attention flow).

Required: maximum flow is SciPy's; capacities are rounded to one part in 2^30, which is what it counts in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from jtviz.capture import JtvizError

_UNIT = 1 << 30


def greatest_flows(mixes: Sequence[Tensor], top: int) -> Tensor:
    """Return for each token of the input how much can flow from it to one token of the top.

    Parameters
    ----------
    mixes : sequence of Tensor
        ``[tokens, tokens]`` of each layer, lowest first: row *i* is what token *i* is mixed from.
    top : int
        The token that is looked from.

    Returns
    -------
    Tensor
        Float32 ``[tokens]``, each at most 1.

    Raises
    ------
    JtvizError
        If SciPy is not installed.
    """
    try:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_flow
    except ModuleNotFoundError:
        raise JtvizError(
            "attention flow is computed by SciPy: install it with `pip install jtviz[explain]`."
        ) from None
    count = len(mixes[0])
    froms, tos, sizes = [], [], []
    for level, mix in enumerate(mixes):
        rows, cols = np.nonzero(mix.cpu().numpy())
        # Level 0 is the input; an edge leads from a token down to what it is mixed from.
        froms.append((level + 1) * count + rows)
        tos.append(level * count + cols)
        sizes.append(np.rint(mix.cpu().double().numpy()[rows, cols] * _UNIT).astype(np.int32))
    nodes = (len(mixes) + 1) * count
    edges = (np.concatenate(sizes), (np.concatenate(froms), np.concatenate(tos)))
    graph = csr_array(edges, shape=(nodes, nodes), dtype=np.int32)
    source = len(mixes) * count + top
    flows = [maximum_flow(graph, source, token).flow_value for token in range(count)]
    return torch.tensor(flows, dtype=torch.float64).div_(_UNIT).float()
