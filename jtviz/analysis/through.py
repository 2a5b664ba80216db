"""Attention followed through the layers: rollout, and relevance to a target.

Required: each is the published rule, computed from the same numbers that the view shows; texts that would
take too long are refused before any work.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jtviz.capture import JtvizError, OutOfRangeError, Trace
from jtviz.capture.part import is_int

LONGEST = 2048
"""Tokens of a side, at most: time grows with the cube of the length, and a layer's patterns are held."""


@dataclass(frozen=True, eq=False)
class Relevance:
    """How much a target rests on each token, as seen from each token of the last layer.

    Attributes
    ----------
    encoder, decoder : Tensor or None
        ``[tokens, tokens]`` of a side: row *i* is what the last layer's token *i* rests on.
    cross : Tensor or None
        ``[decoder tokens, encoder tokens]``; None where there is one side.
    """

    encoder: Tensor | None
    decoder: Tensor | None
    cross: Tensor | None


def rollout(trace: Trace, stage: str, layer: int = -1) -> Tensor:
    """Follow attention down to the input (Abnar & Zuidema 2020, section 3, attention rollout).

    Each layer mixes what the one below it mixed: the product of ``(A + I) / 2``, with ``A`` the mean over
    heads and the identity for the residual stream.

    Parameters
    ----------
    trace : Trace
        Of any model.
    stage : str
        ``"encoder"`` or ``"decoder"``.
    layer : int
        The layer to start from; the last if left out.

    Returns
    -------
    Tensor
        Float32 ``[tokens, tokens]``: row *i* is how much of token *i* of the layer comes from each token of
        the input. Rows sum to one.

    Raises
    ------
    JtvizError
        If there is no such stage, it is cross attention, or the text is longer than `LONGEST` tokens.
    OutOfRangeError
        If there is no such layer.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.hook(jtviz.demo.translator()).trace("I like tea.")
    >>> rollout(trace, "encoder").sum(-1)
    tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000])
    """
    if trace.query_side(stage) != trace.key_side(stage):
        raise JtvizError("rollout follows one text: ask for the encoder or the decoder.")
    _not_too_long(trace)
    layers = trace.layers(stage)
    if not is_int(layer) or layer not in range(-layers, layers):
        raise OutOfRangeError(f"layer {layer!r} of the {stage} is not there: layers are 0 to {layers - 1}.")
    identity = rolled = _identity(trace, stage)
    for number in range(layer % layers + 1):
        mixed = trace.attention(stage, layer=number).mean(0) + identity
        rolled = mixed.div_(mixed.sum(-1, keepdim=True)) @ rolled
    return rolled


@dataclass(frozen=True, eq=False)
class Joint:
    """All sides of a text as one, and how each layer mixes them.

    Attributes
    ----------
    sides : dict of str to (int, int)
        Where the tokens of a side are among all tokens.
    mixes : tuple of Tensor
        ``[tokens, tokens]`` of each layer, lowest first; a decoder layer with cross attention is two.
    rolled : Tensor
        Their product: row *i* is what token *i* of the top comes from. Rows sum to one.
    """

    sides: dict[str, tuple[int, int]]
    mixes: tuple[Tensor, ...]
    rolled: Tensor

    def place(self, side: str, index: int) -> int:
        """Return where a token of a side is among all."""
        return self.sides[side][0] + index

    def split(self, row: Tensor) -> dict[str, Tensor]:
        """Cut one number a token into sides."""
        return {side: row[start:stop] for side, (start, stop) in self.sides.items()}


def joint_rollout(trace: Trace) -> Joint:
    """Follow attention down to the input, from the decoder through cross attention into the encoder.

    Abnar & Zuidema 2020, section 3, for two sides: a layer of cross attention mixes half of what the
    decoder has (the residual stream) with half of what it looks at in the encoder.

    Parameters
    ----------
    trace : Trace
        Of any model.

    Returns
    -------
    Joint
        For a model of one side, ``rolled`` is `rollout` of its last layer.

    Raises
    ------
    JtvizError
        If the text is longer than `LONGEST` tokens.

    Examples
    --------
    >>> import jtviz
    >>> joint = joint_rollout(jtviz.hook(jtviz.demo.translator()).trace("I like tea."))
    >>> joint.rolled.sum(-1).min() > 0.9999
    tensor(True)
    """
    _not_too_long(trace)
    sides: dict[str, tuple[int, int]] = {}
    count = 0
    for side, tokens in trace.tokens.items():
        sides[side] = (count, count + len(tokens))
        count += len(tokens)
    identity = torch.eye(count, device=trace.sites[0].kept[0].device)

    def mix(stage: str, layer: int) -> Tensor:
        rows, cols = slice(*sides[trace.query_side(stage)]), slice(*sides[trace.key_side(stage)])
        mixed = identity.clone()
        mixed[rows, cols] += trace.attention(stage, layer=layer).mean(0)
        return mixed / mixed.sum(-1, keepdim=True)

    order = [("encoder", layer) for layer in range(trace.layers("encoder") if "encoder" in sides else 0)]
    for layer in range(trace.layers("decoder") if "decoder" in trace.stages else 0):
        order.append(("decoder", layer))
        if "cross" in trace.stages and layer < trace.layers("cross"):
            order.append(("cross", layer))
    mixes = tuple(mix(stage, layer) for stage, layer in order)
    rolled = identity
    for mixed in mixes:
        rolled = mixed @ rolled
    return Joint(sides, mixes, rolled)


def relevance(trace: Trace) -> Relevance:
    """Follow what a target rests on through self and cross attention (Chefer et al. 2021).

    Each layer adds the positive part of attention times its gradient, averaged over heads (equation 5): to
    the relevance of its own side (6) and of the other side through it (7), and in cross attention to that
    of the other side with both made to sum to one beside the residual stream (8, 9, 10). No side attends
    back from the encoder, so that equation 11 adds nothing. Of a loss, the gradient is that of minus the
    loss, so that what is positive supports the target on every scale.

    Parameters
    ----------
    trace : Trace
        With gradients (``target=`` or ``output=``), of an encoder, a decoder or both.

    Returns
    -------
    Relevance
        Float32 matrices. A classifier's target rests on the row of the token that it reads (often the
        first); a predicted token's on row ``trace.target.row``.

    Raises
    ------
    JtvizError
        If the trace has no gradients, or a side is longer than `LONGEST` tokens.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.hook(jtviz.demo.translator()).trace("I like tea.", target="茶")
    >>> found = relevance(trace)
    >>> list(trace.tokens["encoder"])[found.cross[trace.target.row].argmax()]
    'tea'
    """
    _not_too_long(trace)
    encoder = decoder = cross = None
    if "encoder" in trace.stages:
        encoder = _identity(trace, "encoder")
        for layer in range(trace.layers("encoder")):
            encoder = encoder + _gain(trace, "encoder", layer) @ encoder
    if "decoder" in trace.stages:
        decoder = _identity(trace, "decoder")
        if "cross" in trace.stages and encoder is not None:
            cross = torch.zeros(len(decoder), len(encoder), device=decoder.device)
        for layer in range(trace.layers("decoder")):
            gain = _gain(trace, "decoder", layer)
            decoder = decoder + gain @ decoder
            if cross is not None and encoder is not None:
                cross = cross + gain @ cross
                if layer < trace.layers("cross"):
                    through = _gain(trace, "cross", layer)
                    cross = cross + _evened(decoder).T @ through @ _evened(encoder)
    return Relevance(encoder, decoder, cross)


def _not_too_long(trace: Trace) -> None:
    longest = max(map(len, trace.tokens.values()))
    if longest > LONGEST:
        raise JtvizError(
            f"attention is followed through the layers of texts of at most {LONGEST:,} tokens, and this one "
            f"has {longest:,}: trace a part of it."
        )


def _identity(trace: Trace, stage: str) -> Tensor:
    site = trace.site(stage, 0)
    return torch.eye(site.queries, device=site.kept[0].device)


def _gain(trace: Trace, stage: str, layer: int) -> Tensor:
    """Return what a layer adds, ``[queries, keys]`` (equation 5)."""
    gradient = trace.gradient(stage, layer=layer)
    if trace.target is not None and trace.target.output == "loss":
        # What raises a loss speaks against the target, and is not what the prediction rests on.
        gradient = gradient.neg_()
    return gradient.mul_(trace.attention(stage, layer=layer)).clamp_(min=0).mean(0)


def _evened(relevance: Tensor) -> Tensor:
    """Return a relevance whose part beside the identity sums to one in each row (equations 8 and 9)."""
    identity = torch.eye(len(relevance), device=relevance.device)
    beside = relevance - identity
    total = beside.sum(-1, keepdim=True)
    return beside / total.masked_fill(total == 0, 1.0) + identity
