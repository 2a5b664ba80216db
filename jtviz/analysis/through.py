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


def relevance(trace: Trace) -> Relevance:
    """Follow what a target rests on through self and cross attention (Chefer et al. 2021).

    Each layer adds the positive part of attention times its gradient, averaged over heads (equation 5): to
    the relevance of its own side (6) and of the other side through it (7), and in cross attention to that
    of the other side with both made to sum to one beside the residual stream (8, 9, 10). No side attends
    back from the encoder, so that equation 11 adds nothing.

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
    return gradient.mul_(trace.attention(stage, layer=layer)).clamp_(min=0).mean(0)


def _evened(relevance: Tensor) -> Tensor:
    """Return a relevance whose part beside the identity sums to one in each row (equations 8 and 9)."""
    identity = torch.eye(len(relevance), device=relevance.device)
    beside = relevance - identity
    total = beside.sum(-1, keepdim=True)
    return beside / total.masked_fill(total == 0, 1.0) + identity
