"""A picture as the tokens that a vision Transformer makes of it: patches of pixels, row by row.

Required: cutting and joining are each other's inverse, so that pixels can be attributed to patches; the size
of a patch is told from the module tree, and a picture that does not divide into the tokens seen is left
alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from ..tokens import Tokens
from .flow import tensors

_MOST_BEFORE = 8


@dataclass(frozen=True)
class Patches:
    """How a picture is cut into tokens.

    Attributes
    ----------
    rows, columns : int
        Patches down and across.
    height, width : int
        Pixels of one patch.
    before : int
        Tokens in front that are no patches: the one that a class is read from, registers.
    """

    rows: int
    columns: int
    height: int
    width: int
    before: int

    def cut(self, picture: Tensor) -> Tensor:
        """Return the pixels of each token, ``[batch, tokens, channels * height * width]``.

        Those of ``[batch, channels, rows, columns]`` numbers; tokens that are no patches have zeros.

        Examples
        --------
        >>> import torch
        >>> patches = Patches(2, 3, 4, 4, before=1)
        >>> picture = torch.randn(1, 3, 8, 12)
        >>> patches.cut(picture).shape, torch.equal(patches.joined(patches.cut(picture)), picture)
        (torch.Size([1, 7, 48]), True)
        """
        split = picture.reshape(*picture.shape[:2], self.rows, self.height, self.columns, self.width)
        own = split.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        out = own.new_zeros(len(own), self.before + own.shape[1], own.shape[2])
        out[:, self.before :] = own
        return out

    def joined(self, vectors: Tensor) -> Tensor:
        """Return the picture ``[batch, channels, rows, columns]`` of what `cut` returned."""
        own = vectors[:, self.before :]
        split = own.reshape(len(own), self.rows, self.columns, -1, self.height, self.width)
        return split.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)

    def names(self) -> Tokens:
        """Name the tokens: ``[CLS]``, then ``row,column`` of each patch."""
        cells = [f"{row},{column}" for row in range(self.rows) for column in range(self.columns)]
        found = Tokens.from_strings(["[CLS]"] * self.before + cells)
        return replace(found, special=tuple(i < self.before for i in range(len(found))))


def patches_of(model: nn.Module, arguments: Any, tokens: int) -> Patches | None:
    """Return how the picture among the arguments was cut into this many tokens; None if there is none.

    A patch is what the first convolution takes in at a time, if it moves by its own size (Dosovitskiy et al.
    2021, equation 1).
    """
    pictures = [t for t in tensors(arguments) if t.ndim == 4 and t.is_floating_point()]
    if len(pictures) != 1:
        return None
    convolutions = (module for module in model.modules() if isinstance(module, nn.Conv2d))
    first = next((c for c in convolutions if tuple(c.stride) == tuple(c.kernel_size)), None)
    if first is None or first.in_channels != pictures[0].shape[1]:
        return None
    height, width = (int(size) for size in first.kernel_size)
    down, across = pictures[0].shape[2:]
    rows, columns = down // height, across // width
    before = tokens - rows * columns
    if (rows * height, columns * width) != (down, across) or not 0 <= before <= _MOST_BEFORE:
        return None
    return Patches(rows, columns, height, width, before)
