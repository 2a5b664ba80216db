"""The numbers that a view shows, as an array or a data frame.

Required: exactly what is chosen in the view, at full precision, whatever the browser was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jtviz.capture import JtvizError, Trace

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MOST = 1 << 26
"""Weights at most: a quarter of a GiB as float32."""


def array(trace: Trace, stage: str, layer: int, heads: Sequence[int]) -> np.ndarray:
    """Return ``[heads, queries, keys]``, float32.

    Raises
    ------
    JtvizError
        If there are more than `MOST` weights.
    """
    site = trace.site(stage, layer)
    _not_too_many(len(heads) * site.queries * site.keys)
    weights: np.ndarray = trace.attention(stage, layer=layer, head=list(heads)).cpu().numpy()
    return weights


def frame(
    trace: Trace, stage: str, layer: int, heads: Sequence[int], pinned: Mapping[str, int | None]
) -> pd.DataFrame:
    """Return one row a weight: head, query and key with their tokens, and the weight.

    A pinned query or key leaves only its weights.

    Raises
    ------
    JtvizError
        If there are more than `MOST` weights.
    """
    import pandas as pd

    site = trace.site(stage, layer)
    rows, cols = _those(pinned.get("query"), site.queries), _those(pinned.get("key"), site.keys)
    _not_too_many(len(heads) * len(rows) * len(cols))
    weights = trace.attention(stage, layer=layer, head=list(heads), rows=rows, cols=cols)
    index = pd.MultiIndex.from_product([list(heads), rows, cols], names=["head", "query", "key"])
    table = pd.DataFrame({"weight": weights.cpu().numpy().ravel()}, index=index).reset_index()
    queries, keys = trace.tokens[trace.query_side(stage)], trace.tokens[trace.key_side(stage)]
    table.insert(2, "query token", [queries[i] for i in table["query"]])
    table.insert(4, "key token", [keys[i] for i in table["key"]])
    return table


def _those(pin: int | None, count: int) -> list[int]:
    return list(range(count)) if pin is None else [pin]


def _not_too_many(count: int) -> None:
    if count > MOST:
        raise JtvizError(
            f"the view stands for {count:,} weights, too many for one table: pin a token, choose one "
            f"head, or ask view.trace.attention(...) for rows and columns."
        )
