"""A plain PyTorch encoder with a classification head: the architecture of the embedded classifier.

Required: nothing in here knows about jtviz. It is `torch.nn.TransformerEncoder` with embeddings; the
class is read off the first token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class NoteClassifierConfig:
    """Sizes of a `NoteClassifier`, and what its classes are called; stored beside its weights."""

    vocab_size: int
    labels: tuple[str, ...]
    width: int = 64
    heads: int = 4
    layers: int = 2
    feed_forward: int = 128
    dropout: float = 0.1
    max_positions: int = 128
    pad: int = 0


class NoteClassifier(nn.Module):
    """Tell the class of a text with `torch.nn.TransformerEncoder` (pre-norm, learned positions).

    Devlin et al. 2019, *BERT*, in small.

    Parameters
    ----------
    config : NoteClassifierConfig
        Sizes and class names.

    Examples
    --------
    >>> model = NoteClassifier(NoteClassifierConfig(vocab_size=9, labels=("can wait", "urgent")))
    >>> model(torch.tensor([[1, 4, 5]])).shape
    torch.Size([1, 2])
    """

    def __init__(self, config: NoteClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width, config.pad)
        self.positions = nn.Embedding(config.max_positions, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                config.width,
                config.heads,
                config.feed_forward,
                config.dropout,
                batch_first=True,
                norm_first=True,
            ),
            config.layers,
            nn.LayerNorm(config.width),
            # Packing padding away does not go with norm_first, and PyTorch warns when asked to.
            enable_nested_tensor=False,
        )
        self.classify = nn.Linear(config.width, len(config.labels))
        for embedding in (self.embedding, self.positions):
            nn.init.normal_(embedding.weight, std=0.1)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return logits ``[batch, classes]`` of token ids ``[batch, tokens]``, padded on the right."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        stream = self.dropout(self.embedding(input_ids) + self.positions(places))
        padding = input_ids.eq(self.config.pad)
        read = self.encoder(stream, src_key_padding_mask=padding if bool(padding.any()) else None)
        logits: Tensor = self.classify(read[:, 0])
        return logits
