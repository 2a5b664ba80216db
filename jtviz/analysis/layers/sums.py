"""What linear CKA is made of, summed up over texts.

Required: exact in double precision; memory does not grow with the number of tokens once there are more of
them than dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jtviz.capture import JtvizError

LIMIT = 1 << 30
"""Bytes that vectors or sums may take."""

_ROWS = 256
_FLAT = 1e-16
"""A variance that is so small beside the square of the mean is rounding, in numbers of single precision."""


class Sums:
    """Vectors of several layers, token by token.

    They are kept as they are while they are fewer than all dimensions of all layers together; from then on
    their products are summed, ``8 * (sum of widths) ** 2`` bytes.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self._kept: list[Tensor] = []
        self._rows = 0
        self._widths: list[int] = []
        self._origin = torch.empty(0)
        self._sum = torch.empty(0)
        self._products: Tensor | None = None

    def add(self, vectors: Sequence[Tensor]) -> None:
        """Add the tokens of a text: for each layer ``[tokens, width]``.

        Raises
        ------
        JtvizError
            If the sums would not fit.
        """
        widths = [one.shape[1] for one in vectors]
        if self._widths and widths != self._widths:
            raise JtvizError(
                "these are traces of different models, whose layers cannot be put together: give one model's "
                "traces, and the other's as other=."
            )
        rows = torch.cat([one.float() for one in vectors], 1)
        if not bool(rows.isfinite().all()):
            raise JtvizError(
                "the residual stream holds numbers that are not finite: check the model's weights."
            )
        self._widths = widths
        self._kept.append(rows)
        self._rows += len(rows)
        self.tokens += len(rows)
        total = rows.shape[1]
        if self._products is None and (self._rows < total or 8 * total**2 > LIMIT):
            if 4 * self._rows * total > LIMIT:
                raise JtvizError(
                    f"{self.tokens} tokens of {len(vectors)} layers do not fit in {LIMIT >> 30} GiB: choose "
                    f"some layers, layers=[0, 4, 8]."
                )
        elif self._products is None or self._rows >= _ROWS:
            self._sum_up()

    def _sum_up(self) -> None:
        rows = torch.cat(self._kept).double()
        self._kept, self._rows = [], 0
        if self._products is None:
            # Sums of what is far from zero lose digits: count from the mean of the first tokens.
            self._origin = rows.mean(0)
            self._sum = torch.zeros_like(self._origin)
            self._products = rows.new_zeros(rows.shape[1], rows.shape[1])
        rows -= self._origin
        self._sum += rows.sum(0)
        self._products.addmm_(rows.T, rows)

    def alignment(self) -> Tensor:
        """Return linear CKA of each pair of layers, float64 ``[layers, layers]``."""
        if self._products is None:
            return _by_tokens(torch.cat(self._kept).split_with_sizes(self._widths, 1))
        if self._kept:
            self._sum_up()
        centred = self._products - torch.outer(self._sum, self._sum) / self.tokens
        count = len(self._widths)
        found = torch.empty(count, count, dtype=torch.float64)
        for i, block in enumerate(centred.split_with_sizes(self._widths, 0)):
            for j, part in enumerate(block.split_with_sizes(self._widths, 1)):
                found[i, j] = part.square().sum()
        spread = [float(own.sum()) for own in centred.diagonal().split_with_sizes(self._widths)]
        means = (self._origin + self._sum / self.tokens).split_with_sizes(self._widths)
        return _normalised(found, spread, means, self.tokens)


def _by_tokens(layers: Sequence[Tensor]) -> Tensor:
    """Return the same from vectors, ``||Y^T X||^2 = <X X^T, Y Y^T>``, whichever is smaller."""
    count = len(layers)
    found = torch.empty(count, count, dtype=torch.float64)
    means = [one.double().mean(0) for one in layers]
    centred = [one.double() - mean for one, mean in zip(layers, means, strict=True)]
    few = len(layers[0]) <= min(one.shape[1] for one in layers)
    grams = [one @ one.T for one in centred] if few else []
    for i in range(count):
        for j in range(i, count):
            value = (grams[i] * grams[j]).sum() if few else (centred[i].T @ centred[j]).square().sum()
            found[i, j] = found[j, i] = value
    spread = [float(one.square().sum()) for one in centred]
    return _normalised(found, spread, means, len(layers[0]))


def _normalised(found: Tensor, spread: Sequence[float], means: Sequence[Tensor], tokens: int) -> Tensor:
    scale = found.diagonal().sqrt()
    flat = [
        one <= _FLAT * tokens * float(mean.square().sum()) for one, mean in zip(spread, means, strict=True)
    ]
    scale[torch.tensor(flat)] = torch.nan
    return found / torch.outer(scale, scale)
