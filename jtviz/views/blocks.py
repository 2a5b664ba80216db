"""Part of a matrix for a page: as it is where it is small, else pooled. Twin: js/src/layers/heatmap.ts.

Required: a number arrives within 2 ** -11 of itself, however large others of its block are; of several that
share a cell the one of largest magnitude is told, with its sign.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from jtviz.capture import JtvizError
from jtviz.capture.part import is_int

MOST = 400_000
"""Cells of a block, at most: 512 tokens of 768 dimensions are fewer."""

LARGEST = 15
"""The largest magnitude of a block is scaled to at most 2 ** 15; float16 goes up to 65,504."""


def block(
    matrix: Tensor, rows: tuple[int, int], columns: tuple[int, int], most: tuple[int, int]
) -> tuple[dict[str, Any], bytes]:
    """Return part of a matrix in at most so many cells.

    Parameters
    ----------
    matrix : Tensor
        ``[rows, columns]``.
    rows, columns : (int, int)
        The first, and the one after the last.
    most : (int, int)
        Cells down and across, at most. Where the part has more, neighbours share a cell: that of largest
        magnitude stands for them, with its sign.

    Returns
    -------
    dict
        ``rows`` and ``columns`` as asked; ``pool``: how many rows and columns share a cell; ``shape``: cells
        down and across; ``unit``: what a number of one stands for, a power of two.
    bytes
        Float16 in row order: each number over the unit.

    Examples
    --------
    >>> about, data = block(torch.tensor([[1.0, -3.0, 0.5]]), (0, 1), (0, 3), (1, 2))
    >>> about["shape"], about["pool"], len(data)
    ([1, 2], [1, 2], 4)
    """
    part = matrix[slice(*rows), slice(*columns)].to(torch.float32)
    pools = [max(1, math.ceil(size / room)) for size, room in zip(part.shape, most, strict=True)]
    for axis, pool in enumerate(pools):
        part = _pooled(part, axis, pool)
    sizes = part.abs()
    largest = float(torch.where(sizes.isfinite(), sizes, 0).max()) if part.numel() else 0.0
    exponent = math.frexp(largest)[1] - LARGEST if largest > 0 else 0
    about = {
        "rows": list(rows), "columns": list(columns), "pool": pools, "shape": list(part.shape),
        "unit": 2.0**exponent,
    }  # fmt: skip
    # In two steps: a power that brings the smallest up may be beyond float32.
    scaled = part.mul(2.0 ** -(exponent // 2)).mul(2.0 ** -(exponent - exponent // 2))
    return about, scaled.to(torch.float16).contiguous().numpy().tobytes()


def asked_block(message: Any, matrix: Tensor, order: Tensor | None = None) -> tuple[dict[str, Any], bytes]:
    """Return the part that a question of a page names: ``rows``, ``columns`` and ``most``, or ``exact``.

    Parameters
    ----------
    message : mapping
        The question. With ``exact`` the part is not pooled, and float32.
    matrix : Tensor
        ``[rows, columns]``.
    order : Tensor, optional
        Of the columns; as they are, if left out.

    Raises
    ------
    JtvizError
        If there is no such part, or it has more than `MOST` cells.
    """
    rows, columns = (
        _range(message.get(name), name, size)
        for name, size in zip(("rows", "columns"), matrix.shape, strict=True)
    )
    size = (rows[1] - rows[0], columns[1] - columns[0])
    most = size if message.get("exact") else message.get("most")
    if not isinstance(most, list | tuple) or len(most) != 2 or not all(is_int(m) and m > 0 for m in most):
        raise JtvizError(f"most is how many cells down and across, not {most!r}.")
    cells = min(most[0], size[0]), min(most[1], size[1])
    if cells[0] * cells[1] > MOST:
        raise JtvizError(f"a block has at most {MOST:,} cells, not {cells[0]:,} x {cells[1]:,}.")
    part = matrix[slice(*rows)]
    part = part[:, slice(*columns)] if order is None else part[:, order[slice(*columns)]]
    if message.get("exact"):
        about = {"pool": [1, 1], "shape": list(size), "unit": 1.0}
        data = part.to(torch.float32).contiguous().numpy().tobytes()
    else:
        about, data = block(part, (0, size[0]), (0, size[1]), (most[0], most[1]))
    return about | {"rows": list(rows), "columns": list(columns)}, data


def _pooled(part: Tensor, axis: int, pool: int) -> Tensor:
    """Keep of each `pool` neighbours the one of largest magnitude."""
    if pool == 1:
        return part
    missing = -part.shape[axis] % pool
    # Zero is nobody's largest.
    part = pad(part, (0, 0, 0, missing) if axis == 0 else (0, missing))
    size = list(part.shape)
    groups = part.reshape(*size[:axis], -1, pool, *size[axis + 1 :])
    most, least = groups.amax(axis + 1), groups.amin(axis + 1)
    return torch.where(-least > most, least, most)


def _range(value: Any, name: str, size: int) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2 or not all(map(is_int, value)):
        raise JtvizError(f"{name} is a first number and one after the last, not {value!r}.")
    first, last = value
    if not 0 <= first < last <= size:
        raise JtvizError(f"{name} {first} to {last} are not there: choose from 0 to {size}.")
    return first, last


__all__ = ["MOST", "asked_block", "block"]
