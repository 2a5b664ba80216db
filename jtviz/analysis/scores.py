"""What a head does with a repeated text: scores of previous-token, duplicate-token and induction heads.

Required: each score is a mean of attention weights, so it lies between 0 and 1 and can be checked by
hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jtviz.capture import Trace
from jtviz.capture.errors import JtvizError


@dataclass(frozen=True)
class RepeatScores:
    """How much each head looks where the name of a score says; each ``[layers, heads]``.

    Attributes
    ----------
    previous_token : Tensor
        Mean weight of the token before: the diagonal at -1.
    duplicate_token : Tensor
        Mean weight of the same token one repeat earlier: the diagonal at -n.
    induction : Tensor
        Mean weight of the token that followed then: the diagonal at -(n - 1).
    """

    previous_token: Tensor
    duplicate_token: Tensor
    induction: Tensor


def repeat_scores(trace: Trace, period: int, stage: str = "decoder") -> RepeatScores:
    """Score the heads of a trace of a text that repeats itself (Olsson et al. 2022, section 3.1).

    Parameters
    ----------
    trace : Trace
        Of a text in which token *i* equals token *i - period*.
    period : int
        Length *n* of the repeat, in tokens: at least 2, less than the text has tokens.
    stage : str
        A stage in which the text looks at itself, with the same number of heads in every layer.

    Returns
    -------
    RepeatScores
        Tensors ``[layers, heads]``, float32, between 0 and 1. Where the text repeats itself more than
        once, a head that looks at all earlier copies has its weight spread over them.

    Raises
    ------
    JtvizError
        If the stage is ``"cross"`` or absent, its layers differ in heads, or the text does not repeat
        itself with this period.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.demo.induction().trace("k7Qm2xRt k7Qm2xRt")
    >>> scores = repeat_scores(trace, period=8)
    >>> scores.induction.shape
    torch.Size([2, 4])
    """
    if trace.query_side(stage) != trace.key_side(stage):
        raise JtvizError("a repeat is scored where a text looks at itself: in the decoder or the encoder.")
    tokens = trace.site(stage, 0).queries
    if period not in range(2, tokens):
        raise JtvizError(
            f"period must be a whole number between 2 and {tokens - 1} for {tokens} tokens, not {period!r}."
        )
    heads = {trace.heads(stage, layer) for layer in range(trace.layers(stage))}
    if len(heads) > 1:
        raise JtvizError(f"layers of the {stage} differ in their number of heads: score them one by one.")
    ids = trace.tokens[trace.query_side(stage)].ids
    if ids is not None and not any(a == b for a, b in zip(ids, ids[period:], strict=False)):
        raise JtvizError(f"no token of the text is the same {period} tokens later: give its real period.")
    offsets = (1, period, period - 1)
    means = [
        [trace.attention(stage, layer=layer).diagonal(-k, dim1=-2, dim2=-1).mean(-1) for k in offsets]
        for layer in range(trace.layers(stage))
    ]
    return RepeatScores(*(torch.stack([layer[i] for layer in means]) for i in range(3)))
