"""What is put on top of raw attention: by what a head moves, and by what a target would gain.

Required: a part equals the same part of the whole and costs only itself, at any length; what the trace
cannot say (no values kept, no gradients) is refused with what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jtviz.capture import OutOfRangeError, Trace
from jtviz.capture.errors import JtvizError
from jtviz.capture.part import chosen, is_int, plain, take

if TYPE_CHECKING:
    from jtviz.capture.part import Index

WEIGHTINGS = {
    "raw": "how much of its attention a query gives to a key",
    "value": "attention times the length of the value vector: how much a head moves from a key",
    "output": "attention times the length of the value after the output projection: how much a head adds to "
    "the residual stream from a key",
    "gradient": "attention times its gradient: how much the target rests on a query looking at a key, to "
    "first order",
}
"""Each way of weighing attention, in plain words."""


def weighted(
    trace: Trace,
    weighting: str,
    stage: str,
    *,
    layer: int,
    head: Index = None,
    rows: Index = None,
    cols: Index = None,
) -> Tensor:
    """Return attention, weighed by what it does.

    Parameters
    ----------
    trace : Trace
        Of any model.
    weighting : {"raw", "value", "output", "gradient"}
        ``A``; ``A |v|`` and ``A |v W_O|`` (Kobayashi et al. 2020, equations 4 and 5, without biases);
        ``A * dL/dA`` of a trace with a target. `WEIGHTINGS` says each in plain words.
    stage, layer, head, rows, cols
        As in `Trace.attention`.

    Returns
    -------
    Tensor
        Float32 ``[heads, rows, cols]``, less the axes given as an int. Only the gradient's can be negative.

    Raises
    ------
    JtvizError
        If there is no such stage, or the trace has no values, output projection or gradients.
    OutOfRangeError
        If there is no such weighting, layer, head, row or column.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.hook(jtviz.demo.translator()).trace("I like tea.")
    >>> weighted(trace, "output", "cross", layer=1, head=0).shape
    torch.Size([6, 5])
    """
    if weighting not in WEIGHTINGS:
        raise OutOfRangeError(
            f"attention is weighed by {', '.join(map(repr, WEIGHTINGS))}, not {weighting!r}."
        )
    weights = trace.attention(stage, layer=layer, head=head, rows=rows, cols=cols)
    if weighting == "raw":
        return weights
    if weighting == "gradient":
        return weights * trace.gradient(stage, layer=layer, head=head, rows=rows, cols=cols)
    lengths = value_lengths(trace, weighting, stage, layer)[:, None]
    # The axes of the weights: one for each of heads, rows and columns that is not a single number.
    for dim, index in ((2, cols), (1, None), (0, head)):
        lengths = take(lengths, chosen(index, lengths.shape[dim], "", "", lengths.device), dim)
    for dim, index in ((2, cols), (1, rows), (0, head)):
        lengths = lengths.squeeze(dim) if is_int(plain(index)) else lengths
    return weights * lengths


def value_lengths(trace: Trace, weighting: str, stage: str, layer: int) -> Tensor:
    """Return the length of each value, as it is (``"value"``) or projected (``"output"``), ``[heads, keys]``.

    Raises
    ------
    JtvizError
        If the trace has no values, or no output projection.
    """
    site = trace.site(stage, layer)
    site.unchanged()
    if not site.value.numel():
        raise JtvizError(
            "this trace kept no values, since its model wrote attention out: trace with target=, or under "
            "sdpa."
        )
    group = site.heads // len(site.value)
    if weighting == "value":
        lengths: Tensor = torch.linalg.vector_norm(site.value.float(), dim=-1)
        return lengths.repeat_interleave(group, 0)
    projection = trace.output_projection(stage, layer)
    out = torch.empty(site.heads, site.keys, device=site.value.device)
    for head, weight in enumerate(projection):
        # With W^T = Q R, |v W| = |v R^T|: vectors of width d, not of the residual stream's.
        triangle = torch.linalg.qr(weight.T, mode="r").R
        out[head] = torch.linalg.vector_norm(site.value[head // group].float() @ triangle.T, dim=-1)
    return out
