"""Attention that a model writes out itself: which softmax is a pattern, and how its axes lie.

Required: a softmax counts when its result is multiplied by values along the axis it was normalised
over, by whatever spelling (``@``, ``matmul``, ``bmm``, ``einsum``), also after dropout, casting,
masking, reshaping or dropping a sink column. What is kept is what really multiplied the values.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import JtvizError

_SOFTMAX = {F.softmax, torch.softmax, torch.special.softmax, Tensor.softmax}
_SAME_PATTERN = {
    F.dropout, torch.dropout, torch.dropout_, torch.nan_to_num, torch.where, torch.clone, torch.mul,
    torch.masked_fill, torch.reshape, Tensor.to, Tensor.type, Tensor.type_as, Tensor.float, Tensor.half,
    Tensor.bfloat16, Tensor.double, Tensor.contiguous, Tensor.clone, Tensor.masked_fill, Tensor.mul,
    Tensor.__mul__, Tensor.nan_to_num, Tensor.view, Tensor.reshape, Tensor.flatten, Tensor.unflatten,
    torch.flatten, Tensor.__getitem__, Tensor.where, Tensor.detach,
}  # fmt: skip
_PRODUCT = {torch.matmul, torch.bmm, Tensor.matmul, Tensor.__matmul__, Tensor.bmm}
_WATCHED = _SOFTMAX | _SAME_PATTERN | _PRODUCT | {torch.einsum}
_BATCHED = 3


@dataclass(frozen=True)
class Pattern:
    """A pattern the moment it is used: ``weights`` times ``value`` is ``output``.

    All three are as the model has them, axes named by one letter each as in ``einsum``.
    """

    weights: Tensor
    value: Tensor
    output: Tensor
    equation: tuple[str, str, str]

    def of_example(self, example: int, heads: int | None, batch: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return weights ``[heads, queries, keys]``, values ``[heads, keys, d]`` and the output.

        Parameters
        ----------
        example : int
            Which example of the batch.
        heads : int or None
            Number of heads where it is known and the leading axis is batch times heads.
        batch : int or None
            Size of the batch, where it is known.
        """
        weights, value, output = (
            self._arranged(x, own, example, heads, batch)
            for x, own in zip((self.weights, self.value, self.output), self.equation, strict=True)
        )
        shown = weights.numel() * weights.element_size()
        if weights.untyped_storage().nbytes() > 1.15 * shown or weights.is_inference():
            weights = weights.clone()
        return weights, value, output

    def arranged_output(self, x: Tensor, example: int, heads: int | None, batch: int | None) -> Tensor:
        """Return a tensor of the shape of the output as ``[heads, queries, d]``."""
        return self._arranged(x, self.equation[2], example, heads, batch)

    def lay(self, x: Tensor, *, is_mixed: bool) -> Tensor:
        """Return ``[batch or 1, heads, 1, d or 1]`` as it lies beside the output.

        Parameters
        ----------
        x : Tensor
            What the output is to be multiplied with.
        is_mixed : bool
            Whether examples, then heads, are known to be in one axis.

        Raises
        ------
        JtvizError
            If examples and heads are in one axis in an order that is not known.
        """
        weights, value, output = self.equation
        shared = [c for c in value if c in weights and c in output]
        sizes = [self.output.shape[output.index(c)] for c in shared]
        heads = x.shape[1]
        batch, rest = divmod(math.prod(sizes), heads)
        if rest or len(x) not in {1, batch} or (len(shared) == 1 and batch > 1 and not is_mixed):
            raise JtvizError(
                "examples and heads are in one axis of this model, and which is which cannot be told: run "
                "one example at a time."
            )
        x = x.expand(batch, *x.shape[1:])
        if len(shared) > 1 and sizes[0] != batch and sizes[1] == batch:
            x = x.transpose(0, 1)
        x = x.reshape(*sizes, *x.shape[2:])
        (query,) = (c for c in weights if c in output and c not in value)
        (width,) = (c for c in output if c in value and c not in weights)
        order = [*shared, query, width]
        return x.permute([order.index(c) for c in output])

    def _arranged(self, x: Tensor, own: str, example: int, heads: int | None, batch: int | None) -> Tensor:
        """Return a tensor with the axes `own` as ``[heads, ..]`` of one example."""
        weights, value, output = self.equation
        # In the order of the values: they have examples before heads where weights may not.
        shared = [c for c in value if c in weights and c in output]
        rest = (
            [c for c in weights if c in output and c not in value]  # queries
            + [c for c in weights if c in value and c not in output]  # keys
            + [c for c in value if c in output and c not in weights]  # width
        )
        x = x.detach().permute([own.index(c) for c in shared + [c for c in rest if c in own]])
        if len(shared) > 1:
            # [batch, heads, ..] or, with grouped queries, [batch, key heads, group, ..]
            if batch is not None and x.shape[0] != batch and x.shape[1] == batch:
                x = x.transpose(0, 1)
            return x.flatten(1, len(shared) - 1)[example if len(x) > 1 else 0]
        return x if heads is None else x[example * heads : (example + 1) * heads]


class Patterns:
    """Follow softmax results through a forward pass until they are used."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._followed: dict[int, weakref.ref[Tensor]] = {}

    def follow(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> Pattern | None:
        """Take note of one torch function; return a pattern if this was where it was used.

        Raises
        ------
        JtvizError
            If the patterns of this forward would take more memory than the limit.
        """
        if func not in _WATCHED:
            return None
        if func in _SOFTMAX:
            if result.ndim >= _BATCHED and _dim(args, kwargs, result.ndim) == result.ndim - 1:
                self._remember(result)
        elif func in _SAME_PATTERN:
            source = next((a for a in args if isinstance(a, Tensor) and self._is_followed(a)), None)
            if source is not None and _looks_like(source, result):
                self._remember(result)
        elif func in _PRODUCT:
            return self._used(args[0], args[1] if len(args) > 1 else next(iter(kwargs.values())), result)
        elif func is torch.einsum:
            return self._used_in_einsum(args, result)
        return None

    def _remember(self, tensor: Tensor) -> None:
        self._followed[id(tensor)] = weakref.ref(tensor)

    def _is_followed(self, tensor: Any) -> bool:
        found = self._followed.get(id(tensor))
        return found is not None and found() is tensor

    def _used(self, left: Any, right: Any, result: Tensor) -> Pattern | None:
        if not self._is_followed(left) or not isinstance(right, Tensor) or left.ndim != right.ndim:
            return None
        lead = "abcdefgh"[: left.ndim - 2]
        # One pattern for all examples, or one head's values for all heads.
        if left.shape[:-2] != right.shape[:-2]:
            left, right = (x.expand(*result.shape[:-2], *x.shape[-2:]) for x in (left, right))
        return self._found(Pattern(left, right, result, (lead + "qk", lead + "kv", lead + "qv")))

    def _used_in_einsum(self, args: Sequence[Any], result: Tensor) -> Pattern | None:
        operands = list(args[1]) if len(args) > 1 and isinstance(args[1], list | tuple) else list(args[1:])
        if not isinstance(args[0], str) or len(operands) != 2 or "->" not in args[0] or "." in args[0]:
            return None
        inputs, output = args[0].replace(" ", "").split("->")
        names = inputs.split(",")
        for i in (0, 1):
            weights, value = operands[i], operands[1 - i]
            own, other = names[i], names[1 - i]
            if self._is_followed(weights) and own[-1] in other and own[-1] not in output:
                queries = [c for c in own if c in output and c not in other]
                if len(queries) == 1 and len(own) >= _BATCHED:
                    return self._found(Pattern(weights, value, result, (own, other, output)))
        return None

    def _found(self, pattern: Pattern) -> Pattern:
        self._held += pattern.weights.numel() * pattern.weights.element_size()
        if self._held > self._limit:
            rows, cols = pattern.weights.shape[-2:]
            raise JtvizError(
                f"this model writes its attention out, so its patterns ({rows} x {cols} for each head) "
                f"have to be kept, and they exceed the limit of {self._limit / 2**30:.1f} GiB: shorten the "
                f"text, let the model use scaled_dot_product_attention, or raise `pattern_limit` of the "
                f"hooked model."
            )
        return pattern


def _dim(args: Sequence[Any], kwargs: Mapping[str, Any], ndim: int) -> int:
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return dim % ndim if isinstance(dim, int) else -1


def _looks_like(source: Tensor, result: Any) -> bool:
    """Whether a result still has the pattern's queries and keys (less a sink column)."""
    return (
        isinstance(result, Tensor)
        and result.ndim >= _BATCHED
        and result.shape[-2] == source.shape[-2]
        and source.shape[-1] - 1 <= result.shape[-1] <= source.shape[-1]
    )
