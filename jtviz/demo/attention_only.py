"""A decoder of attention layers alone: the architecture in which induction heads were found.

Required: nothing in here knows about jtviz. Embeddings, attention and an output layer, with no
feed-forward layers between, so that whatever the model does, its heads do (Elhage et al. 2021, *A
mathematical framework for transformer circuits*).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class AttentionOnlyConfig:
    """Sizes of an `AttentionOnlyTransformer`; stored beside its weights."""

    vocab_size: int
    width: int = 64
    heads: int = 4
    layers: int = 2
    max_positions: int = 64


class AttentionOnlyTransformer(nn.Module):
    """Predict the next token with causal attention layers and nothing else.

    Parameters
    ----------
    config : AttentionOnlyConfig
        Sizes.

    Examples
    --------
    >>> model = AttentionOnlyTransformer(AttentionOnlyConfig(vocab_size=9))
    >>> model(torch.tensor([[3, 4, 5]])).shape
    torch.Size([1, 3, 9])
    """

    def __init__(self, config: AttentionOnlyConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.max_positions, config.width)
        self.layers = nn.ModuleList(AttentionLayer(config.width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, config.vocab_size, bias=False)
        for embedding in (self.embedding, self.positions):
            # Small, so that what the heads add is not drowned: induction forms in a third of the steps.
            nn.init.normal_(embedding.weight, std=0.1)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return logits ``[batch, tokens, vocabulary]`` of token ids ``[batch, tokens]``."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        stream = self.embedding(input_ids) + self.positions(places)
        for layer in self.layers:
            stream = layer(stream)
        logits: Tensor = self.project(self.norm(stream))
        return logits


class AttentionLayer(nn.Module):
    """Add to the residual stream what causal heads read from it (layer norm first, no biases)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value, self.output = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )

    def forward(self, stream: Tensor) -> Tensor:
        """Return the residual stream ``[batch, tokens, width]`` after this layer."""
        normed = self.norm(stream)
        queries, keys, values = (
            layer(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        read = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        added: Tensor = self.output(read.transpose(1, 2).flatten(2))
        return stream + added
