"""Every head of a layer as a small picture.

Required: what is not looked at is said; each head has its own scale, since heads are compared by shape.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .source import Source

LOOKED_AT = 1 << 24
"""Weights of a layer looked at for its pictures, at most: beyond, some queries stand for the others."""


def thumbnails(
    source: Source, weighting: str, stage: str, layer: int, size: int
) -> tuple[Tensor, int | None]:
    """Return a picture of each head, ``[heads, size, size]`` at most, uint8, and how many queries it is of.

    Parameters
    ----------
    source : Source
        Where weights come from.
    weighting, stage, layer
        Which patterns.
    size : int
        Pixels, down and across.

    Returns
    -------
    Tensor
        The largest weight of each block (by size, where some are negative), 255 for the head's largest.
    int or None
        How many queries were looked at, if not all.
    """
    site = source.trace.site(stage, layer)
    heads = source.heads(weighting, stage, layer)
    down, across = min(size, site.queries), min(size, site.keys)
    block = math.ceil(site.queries / down)
    each = min(block, max(1, LOOKED_AT // (heads * site.keys * down)))
    if each == block:
        rows = list(range(site.queries))
    else:
        wanted = (i * block + j * block // each for i in range(down) for j in range(each))
        rows = [row for row in wanted if row < site.queries]
    out = torch.zeros(heads, down, across)
    step = max(1, (1 << 22) // (heads * site.keys))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        tile = source.tile(weighting, stage, layer, range(heads), rows=some).abs().cpu()
        pooled = F.adaptive_max_pool1d(tile, across)
        place = torch.tensor([min(down - 1, row * down // site.queries) for row in some])
        out.scatter_reduce_(1, place[None, :, None].expand_as(pooled), pooled, "amax")
    most = out.amax((1, 2), keepdim=True)
    picture = (out * (255 / most.masked_fill(most == 0, 1.0))).round().to(torch.uint8)
    return picture, None if each == block else len(rows)
