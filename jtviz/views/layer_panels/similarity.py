"""How alike tokens are in a layer, a token is to itself across layers, and layers are over this text.

Required: what is sent are the numbers of `jtviz.analysis.similarity` and `cka`; memory is that of one
picture, whatever was looked at before. Twin: js/src/layers/similarity.ts.
"""

from __future__ import annotations

import torch
import traitlets as t
from torch import Tensor

from jtviz.analysis.layers.similarity import Cka, Similarity, cka, directions, similarity
from jtviz.capture import JtvizError

from ..blocks import asked_block
from ..cka import few_tokens
from .panel import Answer, Message, Panel

COMPARED = ("tokens", "itself", "layers")

LONGEST = 4096
"""Tokens of a text whose pairs are drawn, at most: their picture takes ``4 * LONGEST ** 2`` bytes, 64 MiB."""

NEAREST = 5
"""Tokens most like one, that are listed."""


class SimilarityPanel(Panel):
    """The tab "similarity"."""

    compared = t.Enum(COMPARED, "tokens").tag(sync=True, echo_update=False)
    """The tokens of a layer, a token with itself across layers, or layers."""

    centred = t.Bool(default_value=False).tag(sync=True, echo_update=False)
    """Whether the mean vector of a layer is subtracted before its tokens are compared."""

    _pairs: tuple[tuple[str, int, bool], Tensor] | None = None
    """The picture that was last drawn, and of what it is."""

    @property
    def similarity(self) -> Similarity:
        """What `jtviz.analysis.similarity` finds of the side, layer and centring that are shown."""
        layer: int = self.hidden_layer  # type: ignore[attr-defined]
        return similarity(self.trace, self.side, layer, centred=self.centred)

    @property
    def cka(self) -> Cka:
        """What `jtviz.analysis.cka` finds between the layers of the side that is shown, over this text."""
        return self._cka(self.side)

    def _cka(self, side: str) -> Cka:
        def compute() -> Cka:
            with self._doing("comparing layers"):
                return cka(self.trace, side=side)

        return self._once(("cka", side), compute)

    def _answer_similar(self, message: Message) -> Answer:
        """Return a block of the pairs of tokens in a layer, and their mean."""
        side, centred = self._side(message), bool(message.get("centred"))
        layer = self._number(message, "layer", self.trace.hidden_shape(side)[0])
        about, data = asked_block(message, self._of_pairs(side, layer, centred=centred))
        return about, [data]

    def _of_pairs(self, side: str, layer: int, *, centred: bool) -> Tensor:
        name = (side, layer, centred)
        if self._pairs is None or self._pairs[0] != name:
            self._pairs = None  # not two at once
            count = len(self.trace.tokens[side])
            if count > LONGEST:
                raise JtvizError(
                    f"{count:,} tokens have {count**2:,} pairs, too many for a picture (at most {LONGEST:,} "
                    "tokens); tokens most like one are listed all the same."
                )
            own = directions(self.trace.hidden(side)[layer].cpu(), centred=centred)
            self._pairs = name, (own @ own.T).clamp_(-1, 1)
        return self._pairs[1]

    def _answer_nearest(self, message: Message) -> Answer:
        """Return the tokens most like one in a layer, and how alike all of them are in the mean."""
        side, centred = self._side(message), bool(message.get("centred"))
        hidden = self.trace.hidden(side)
        layer = self._number(message, "layer", len(hidden))
        token = self._number(message, "token", hidden.shape[1])
        own = directions(hidden[layer].cpu(), centred=centred)
        count = len(own)
        if not bool(own.isfinite().all()):
            raise JtvizError(
                "the residual stream holds numbers that are not finite: check the model's weights."
            )
        values = (own @ own[token]).clamp_(-1, 1)
        values[token] = -torch.inf
        best = values.topk(min(NEAREST, count - 1))
        pairs = count * (count - 1)
        # The sum of all products is the square of the sum.
        squared = float(own.sum(0).double().square().sum()) - float(own.square().sum())
        mean = squared / pairs if pairs else 0.0
        return {"tokens": best.indices.tolist(), "values": best.values.tolist(), "mean": mean}, []

    def _answer_itself(self, message: Message) -> Answer:
        """Return a block of the similarities of one token to itself across layers."""
        side, centred = self._side(message), bool(message.get("centred"))
        hidden = self.trace.hidden(side)
        token = self._number(message, "token", hidden.shape[1])

        def compute() -> Tensor:
            if not centred:
                own = directions(hidden[:, token].cpu())
            else:
                own = directions(hidden.cpu(), centred=True)[:, token]
            return (own @ own.T).clamp_(-1, 1)

        about, data = asked_block(message, self._once(("itself", side, token, centred), compute))
        return about, [data]

    def _answer_aligned(self, message: Message) -> Answer:
        """Return a block of the alignment of layers, and what the number of tokens makes of it."""
        found = self._cka(self._side(message))
        about, data = asked_block(message, found.values)
        return about | {"tokens": found.tokens, "few": few_tokens(found)}, [data]
