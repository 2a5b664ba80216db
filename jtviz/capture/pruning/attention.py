"""Attention with fewer heads than `torch.nn.MultiheadAttention` can have.

Required: called and answering as that is, inside `torch.nn.Transformer` and its layers too; what it computes
is what the heads that are left computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PrunedAttention(nn.Module):
    """Multi-head attention whose heads are as wide as they were, however few of them are left.

    `torch.nn.MultiheadAttention` divides its width among its heads (Vaswani et al. 2017, section 3.2.2); this
    one has projections to as many as there are.

    Parameters
    ----------
    embed_dim, head_dim : int
        Width of what is read and returned, and of one head.
    kept : sequence of int
        The heads that are left, by their number among the original ones.
    of : int
        How many there were: a mask for each head and example has so many.
    kdim, vdim : int, optional
        Width of keys and values as they are given; `embed_dim` if left out.
    dropout : float
        Of the attention weights, while training.
    bias : bool
        Whether projections have a bias.
    batch_first : bool
        Whether inputs are ``[batch, tokens, width]``, not ``[tokens, batch, width]``.

    Examples
    --------
    >>> attention = PrunedAttention(8, 2, kept=[0, 3], of=4, batch_first=True)
    >>> x = torch.randn(1, 5, 8)
    >>> output, weights = attention(x, x, x, average_attn_weights=False)
    >>> output.shape, weights.shape
    (torch.Size([1, 5, 8]), torch.Size([1, 2, 5, 5]))
    """

    # The layers of torch.nn read these: without fused weights they do not take their fast path.
    in_proj_weight: None = None
    in_proj_bias: None = None
    bias_k: None = None
    bias_v: None = None
    add_zero_attn = False
    _qkv_same_embed_dim = False

    def __init__(
        self,
        embed_dim: int,
        head_dim: int,
        *,
        kept: Sequence[int],
        of: int,
        kdim: int | None = None,
        vdim: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.embed_dim, self.head_dim, self.num_heads = embed_dim, head_dim, len(kept)
        self.kept, self.of = tuple(kept), of
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.dropout, self.batch_first = dropout, batch_first
        total = self.num_heads * head_dim

        made: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.q_proj, self.k_proj, self.v_proj = (
            nn.Linear(given, total, **made) for given in (embed_dim, self.kdim, self.vdim)
        )
        self.out_proj = nn.Linear(total, embed_dim, **made)

    @classmethod
    def of_attention(cls, attention: nn.MultiheadAttention, kept: Sequence[int]) -> Self:
        """Return the heads that are kept of a module, with their weights.

        Parameters
        ----------
        attention : nn.MultiheadAttention
            Without ``add_bias_kv`` and ``add_zero_attn``.
        kept : sequence of int
            Heads, in ascending order.
        """
        out, width = attention.out_proj, attention.head_dim
        pruned = cls(
            attention.embed_dim, width, kept=kept, of=attention.num_heads, kdim=attention.kdim,
            vdim=attention.vdim, dropout=attention.dropout, bias=out.bias is not None,
            batch_first=attention.batch_first, device=out.weight.device, dtype=out.weight.dtype,
        )  # fmt: skip
        rows = torch.tensor([h * width + i for h in kept for i in range(width)], device=out.weight.device)
        fused: Tensor | None = attention.in_proj_weight
        biases: Tensor | None = attention.in_proj_bias
        held: Any = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
        held = held if fused is None else fused.chunk(3)
        _fill(pruned.out_proj.weight, out.weight[:, rows], out.weight)
        if out.bias is not None:
            _fill(pruned.out_proj.bias, out.bias, out.bias)
        for number, layer in enumerate((pruned.q_proj, pruned.k_proj, pruned.v_proj)):
            _fill(layer.weight, held[number][rows], held[number] if fused is None else fused)
            if biases is not None:
                _fill(layer.bias, biases.chunk(3)[number][rows], biases)
        return pruned.train(attention.training)

    def extra_repr(self) -> str:
        """Say how many heads are left."""
        return f"{self.num_heads} of {self.of} heads, {self.head_dim} wide"

    def forward(  # noqa: PLR0917 - the arguments of torch.nn.MultiheadAttention
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return what `torch.nn.MultiheadAttention` returns.

        Parameters
        ----------
        query, key, value : Tensor
            ``[batch, tokens, width]`` or, without ``batch_first``, ``[tokens, batch, width]``; or of one
            example ``[tokens, width]``.
        key_padding_mask : Tensor, optional
            ``[batch, keys]``: True where a key is not looked at, or what is added to its scores.
        need_weights : bool
            Whether the weights are returned too.
        attn_mask : Tensor, optional
            ``[queries, keys]``, or ``[batch * heads, queries, keys]`` with one for each original head: True
            where a query does not look, or what is added.
        average_attn_weights : bool
            Whether weights are returned as their mean over the heads that are left.
        is_causal : bool
            A hint that `attn_mask` is causal; without a mask, that it is to be.

        Returns
        -------
        output : Tensor
            As `query`.
        weights : Tensor or None
            ``[batch, queries, keys]``, or with an axis of heads after the first.
        """
        is_batched = query.dim() == 3
        if not is_batched:
            query, key, value = query[None], key[None], value[None]
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = (
            layer(x).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
            for layer, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        mask = self._mask(attn_mask, key_padding_mask, q, key.shape[1], is_causal=is_causal)
        read, weights = self._attend(q, k, v, mask, need_weights=need_weights)
        output: Tensor = self.out_proj(read.transpose(1, 2).flatten(2))
        if not is_batched:
            output = output[0]
        elif not self.batch_first:
            output = output.transpose(0, 1)
        if weights is None:
            return output, None
        weights = weights.mean(1) if average_attn_weights else weights
        return output, weights if is_batched else weights[0]

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        dropout = self.dropout if self.training else 0.0
        if not need_weights:
            return F.scaled_dot_product_attention(q, k, v, mask, dropout), None
        scores = q @ k.mT / math.sqrt(self.head_dim)
        weights = F.dropout((scores if mask is None else scores + mask).softmax(-1), dropout)
        return weights @ v, weights

    def _mask(
        self, attn_mask: Tensor | None, padding: Tensor | None, q: Tensor, keys: int, *, is_causal: bool
    ) -> Tensor | None:
        """Return what is added to scores, None if nothing is."""
        batch, _, length, _ = q.shape
        if attn_mask is None and is_causal:
            attn_mask = torch.ones(length, keys, dtype=torch.bool, device=q.device).triu(1)
        if attn_mask is not None and attn_mask.dim() == 3:
            of_each = attn_mask.view(batch, -1, length, keys)
            attn_mask = of_each[:, list(self.kept)] if of_each.shape[1] == self.of else of_each
        if padding is not None:
            padding = padding.view(batch, 1, 1, keys)
        added = [_added(mask, q.dtype) for mask in (attn_mask, padding) if mask is not None]
        return sum(added[1:], added[0]) if added else None


def _fill(parameter: Tensor, values: Tensor, like: Tensor) -> None:
    parameter.data.copy_(values.detach())
    parameter.requires_grad_(like.requires_grad)


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype is torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, -torch.inf)
    return mask.to(dtype)
