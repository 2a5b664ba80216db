"""What the training scripts of the embedded models share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR


def pad(rows: Sequence[Sequence[int]], value: int = 0) -> Tensor:
    """Stack rows of ids into ``[rows, longest]``, padded on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])


def schedule(optimizer: torch.optim.Optimizer, warmup: int, total: int) -> LambdaLR:
    """Return a schedule of the learning rate: linear warm-up, then a cosine down to two per cent."""

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, total - warmup))
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, share)
