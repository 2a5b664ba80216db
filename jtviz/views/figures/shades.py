"""From weights to strengths between -1 and 1, which colours and opacities are made of.

Required: zero is zero on every scale, and the sign stays. Twin: js/src/core/scale.ts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_RANGE = 1000.0  # of a logarithmic scale: three decades

Array = np.ndarray[Any, np.dtype[np.float32]]


def strengths(weights: Array, scale: str, full: float | Array) -> Array:
    """Return how strongly each weight is drawn; the sign is kept.

    Parameters
    ----------
    weights : array
        Any shape; for ``"rank"`` the last axis counts if `full` is an array, all of it if a number.
    scale : str
        ``"linear"``, ``"sqrt"``, ``"log"`` (three decades) or ``"rank"`` (the share of the weights that are
        not larger).
    full : float or array
        The weight drawn at full strength: of the picture, or of each row ``[..., 1]``.
    """
    size = np.abs(weights)
    if scale == "rank":
        found = _ranks(size) if isinstance(full, np.ndarray) else _ranks(size.reshape(1, -1))
        ranked: Array = np.sign(weights) * found.reshape(size.shape)
        return ranked
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(np.asarray(full) > 0, size / full, 0.0).clip(0, 1)
        if scale == "sqrt":
            share = np.sqrt(share)
        elif scale == "log":
            share = np.log1p((_RANGE - 1) * share) / np.log(_RANGE)
    signed: Array = (np.sign(weights) * share).astype(np.float32)
    return signed


def weight_at(strength: float, scale: str, full: float) -> float | None:
    """Return the weight drawn at a strength, None where the scale does not say."""
    if scale == "rank":
        return None
    if scale == "sqrt":
        return full * strength**2
    if scale == "log":
        return full * float(_RANGE**strength - 1) / (_RANGE - 1)
    return full * strength


def fullest(weights: Array, per: str) -> float | Array:
    """Return the weight that the full colour stands for: the picture's largest, or each row's."""
    if per == "row":
        return np.asarray(np.abs(weights).max(-1, keepdims=True, initial=0.0))
    return float(np.abs(weights).max(initial=0.0))


def _ranks(size: Array) -> Array:
    """Return the share of each row's weights above zero that are not larger; zero stays zero."""
    out = np.zeros_like(size)
    for row, ranks in zip(size.reshape(-1, size.shape[-1]), out.reshape(-1, size.shape[-1]), strict=True):
        there = np.sort(row[row > 0])
        if len(there):
            ranks[:] = np.where(row > 0, np.searchsorted(there, row, side="right") / len(there), 0.0)
    return out
