"""A plain PyTorch encoder-decoder: the architecture of the embedded translator.

Required: nothing in here knows about jtviz. It is `torch.nn.Transformer` with embeddings, so that
what the views show is what PyTorch's own attention computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Seq2SeqConfig:
    """Sizes of a `Seq2SeqTransformer`; stored beside its weights."""

    source_vocabulary: int
    target_vocabulary: int
    width: int = 192
    heads: int = 4
    encoder_layers: int = 2
    decoder_layers: int = 2
    feed_forward: int = 512
    dropout: float = 0.3
    max_positions: int = 256
    pad: int = 0
    begin: int = 1
    end: int = 2


class Seq2SeqTransformer(nn.Module):
    """Translate token ids to token ids with `torch.nn.Transformer` (pre-norm, sinusoidal positions).

    Vaswani et al. 2017, *Attention Is All You Need*; layer norm first, as in Xiong et al. 2020.

    Parameters
    ----------
    config : Seq2SeqConfig
        Sizes and special token ids.

    Examples
    --------
    >>> model = Seq2SeqTransformer(Seq2SeqConfig(source_vocabulary=9, target_vocabulary=7))
    >>> model(torch.tensor([[3, 4]]), torch.tensor([[1, 5, 6]])).shape
    torch.Size([1, 3, 7])
    """

    positions: Tensor

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.source_embedding = nn.Embedding(config.source_vocabulary, config.width, config.pad)
        self.target_embedding = nn.Embedding(config.target_vocabulary, config.width, config.pad)
        layer: dict[str, Any] = {
            "d_model": config.width,
            "nhead": config.heads,
            "dim_feedforward": config.feed_forward,
            "dropout": config.dropout,
            "batch_first": True,
            "norm_first": True,
        }
        encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(**layer),
            config.encoder_layers,
            nn.LayerNorm(config.width),
            # Packing padding away does not go with norm_first, and PyTorch warns when asked to.
            enable_nested_tensor=False,
        )
        self.transformer = nn.Transformer(
            **layer, num_decoder_layers=config.decoder_layers, custom_encoder=encoder
        )
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Linear(config.width, config.target_vocabulary)
        self.register_buffer("positions", _sinusoids(config.max_positions, config.width), persistent=False)
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=config.width**-0.5)
            with torch.no_grad():
                embedding.weight[config.pad].zero_()
        # Tied output (Press & Wolf 2017): halves the largest matrix and helps on little data.
        self.project.weight = self.target_embedding.weight

    def _embed(self, embedding: nn.Embedding, ids: Tensor) -> Tensor:
        scaled = embedding(ids) * math.sqrt(self.config.width)
        embedded: Tensor = self.dropout(scaled + self.positions[: ids.shape[1]])
        return embedded

    def encode(self, source: Tensor) -> Tensor:
        """Return the encoder output ``[batch, source, width]`` of token ids ``[batch, source]``."""
        padding = source.eq(self.config.pad)
        memory: Tensor = self.transformer.encoder(
            self._embed(self.source_embedding, source),
            src_key_padding_mask=padding if bool(padding.any()) else None,
        )
        return memory

    def decode(self, target: Tensor, memory: Tensor, source: Tensor) -> Tensor:
        """Return the decoder output ``[batch, target, width]``; row *i* predicts token *i + 1*."""
        padding = source.eq(self.config.pad)
        causal = nn.Transformer.generate_square_subsequent_mask(
            target.shape[1], device=target.device, dtype=memory.dtype
        )
        decoded: Tensor = self.transformer.decoder(
            self._embed(self.target_embedding, target),
            memory,
            tgt_mask=causal,
            tgt_is_causal=True,
            memory_key_padding_mask=padding if bool(padding.any()) else None,
        )
        return decoded

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return logits ``[batch, target, vocabulary]`` for teacher-forced target ids."""
        logits: Tensor = self.project(self.decode(target, self.encode(source), source))
        return logits

    @torch.no_grad()
    def generate(self, source: Tensor, max_new_tokens: int = 60, num_beams: int = 1) -> Tensor:
        """Translate, taking the likeliest token at each step, or keeping several translations in play.

        Parameters
        ----------
        source : Tensor
            Token ids ``[batch, source]``, padded on the right.
        max_new_tokens : int
            Stop after this many tokens even without an end token.
        num_beams : int
            How many unfinished translations to keep; the one with the highest mean log-probability a
            token wins. One is greedy decoding.

        Returns
        -------
        Tensor
            Token ids ``[batch, target]`` from the begin token to the end token, then padding.
        """
        count = min(max_new_tokens, self.config.max_positions - 1)
        if num_beams == 1:
            return self._greedy(source, count)
        best = [self._beam(row[row.ne(self.config.pad)][None], count, num_beams) for row in source]
        return nn.utils.rnn.pad_sequence(best, batch_first=True, padding_value=self.config.pad)

    def _greedy(self, source: Tensor, count: int) -> Tensor:
        config = self.config
        memory = self.encode(source)
        target = torch.full((len(source), 1), config.begin, device=source.device)
        done = torch.zeros(len(source), dtype=torch.bool, device=source.device)
        for _ in range(count):
            logits = self.project(self.decode(target, memory, source)[:, -1])
            following = logits.argmax(-1).masked_fill(done, config.pad)
            target = torch.cat([target, following[:, None]], dim=1)
            done |= following.eq(config.end)
            if bool(done.all()):
                break
        return target

    def _beam(self, source: Tensor, count: int, beams: int) -> Tensor:
        """Return the best translation ``[target]`` of one sentence ``[1, source]``."""
        memory = self.encode(source)
        unfinished = torch.full((1, 1), self.config.begin, device=source.device)
        scores = torch.zeros(1, device=source.device)
        finished: list[tuple[float, Tensor]] = []
        for length in range(1, count + 1):
            rows = len(unfinished)
            decoded = self.decode(unfinished, memory.expand(rows, -1, -1), source.expand(rows, -1))
            totals = scores[:, None] + self.project(decoded[:, -1]).log_softmax(-1)
            # Of twice as many candidates at most half can end here: enough go on.
            best, flat = totals.flatten().topk(min(2 * beams, totals.numel()))
            candidates = torch.cat(
                [unfinished[flat // totals.shape[1]], (flat % totals.shape[1])[:, None]], dim=1
            )
            ended = candidates[:, -1].eq(self.config.end)
            finished += [
                (float(score) / length, row)
                for score, row in zip(best[ended], candidates[ended], strict=True)
            ]
            unfinished, scores = candidates[~ended][:beams], best[~ended][:beams]
            if len(finished) >= beams:
                break
        # Cut off in the middle: the best so far is all there is.
        finished = finished or [(0.0, unfinished[0])]
        return max(finished, key=lambda pair: pair[0])[1]


def _sinusoids(length: int, width: int) -> Tensor:
    position = torch.arange(length)[:, None]
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table
