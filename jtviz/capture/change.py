"""Notice that a tensor was changed in place.

Required: cheap enough for every tensor of a model. PyTorch counts in-place operations on each tensor;
a change made through ``.data`` is not counted, and tensors made in inference mode have no count.
"""

from __future__ import annotations

from torch import Tensor


def version(tensor: Tensor) -> int:
    """Return how often the tensor was changed in place; 0 where that is not counted."""
    return 0 if tensor.is_inference() else tensor._version  # noqa: SLF001 - torch has no public name for it
