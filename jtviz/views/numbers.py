"""The numbers that a view shows, as an array or a data frame.

Required: exactly what is chosen in the view, at full precision, whatever the browser was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jtviz.capture import JtvizError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from .shown import Shown

MOST = 1 << 26
"""Weights at most: a quarter of a GiB as float32."""


def array(shown: Shown) -> np.ndarray:
    """Return ``[heads, queries, keys]``, float32.

    Raises
    ------
    JtvizError
        If there are more than `MOST` weights.
    """
    _not_too_many(len(shown.members) * len(shown.query) * len(shown.key))
    weights: np.ndarray = shown.weights().cpu().numpy()
    return weights


def frame(shown: Shown, pinned: Mapping[str, int | None]) -> pd.DataFrame:
    """Return one row a weight: layer, head, query and key with their names, and the weight.

    A pinned query or key leaves only its weights.

    Raises
    ------
    JtvizError
        If there are more than `MOST` weights.
    """
    import pandas as pd

    rows, cols = (
        _those(axis.at(pinned.get(role)), len(axis))
        for role, axis in (("query", shown.query), ("key", shown.key))
    )
    members = shown.members
    _not_too_many(len(members) * len(rows) * len(cols))
    weights = shown.weights(slice(rows.start, rows.stop), slice(cols.start, cols.stop))
    names = ["layer", "head", "query", "key"]
    index = pd.MultiIndex.from_product([members, rows, cols], names=["member", "query", "key"])
    table = pd.DataFrame({"weight": weights.cpu().numpy().ravel()}, index=index).reset_index()
    table.insert(0, "layer", [layer for layer, _ in table["member"]])
    table.insert(1, "head", [head for _, head in table["member"]])
    table = table[[*names, "weight"]]
    table.insert(3, "query token", [shown.query.labels[i] for i in table["query"]])
    table.insert(5, "key token", [shown.key.labels[i] for i in table["key"]])
    return table


def _those(pin: int | None, count: int) -> range:
    return range(count) if pin is None else range(pin, pin + 1)


def _not_too_many(count: int) -> None:
    if count > MOST:
        raise JtvizError(
            f"the view stands for {count:,} weights, too many for one table: pin a token, choose one "
            f"head, or ask view.trace.attention(...) for rows and columns."
        )
