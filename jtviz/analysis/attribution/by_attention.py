"""Attribution by attention, from a trace: how much a prediction rests on each token of each side.

Required: the rules are those of the attention view (`jtviz.analysis.through`); where a text has two sides,
attention is followed from the decoder through cross attention into the encoder.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from jtviz.capture import JtvizError, Trace

from ..through import joint_rollout, relevance

Scores = Mapping[str, Tensor]

FLOW_LONGEST = 64
"""Tokens of all sides together that attention flow is computed for."""


def attention_x_gradient(trace: Trace, row: int | None) -> Scores:
    """Return attention times its gradient, summed over layers, heads and queries."""
    del row  # the gradient is of the target's row already
    found = {side: torch.zeros(len(tokens)) for side, tokens in trace.tokens.items()}
    for stage in trace.stages:
        for layer in range(trace.layers(stage)):
            gained = trace.gradient(stage, layer=layer).mul_(trace.attention(stage, layer=layer))
            found[trace.key_side(stage)] += gained.sum((0, 1)).cpu()
    return found


def rollout(trace: Trace, row: int | None) -> Scores:
    """Return the rollout row of the prediction (Abnar & Zuidema 2020), also through cross attention."""
    joint = joint_rollout(trace)
    return joint.split(joint.rolled[joint.place(_side(trace), _row(trace, row))])


def relevant(trace: Trace, row: int | None) -> Scores:
    """Return the relevance row of the prediction (Chefer et al. 2021), without what it is of itself."""
    found = relevance(trace)
    read = _row(trace, row)
    out = {}
    if found.decoder is not None:
        out["decoder"] = _beside_itself(found.decoder)[read]
    if found.cross is not None:
        out["encoder"] = found.cross[read]
    elif found.encoder is not None:
        out["encoder"] = _beside_itself(found.encoder)[read]
    return out


def _beside_itself(relevance: Tensor) -> Tensor:
    return relevance - torch.eye(len(relevance), device=relevance.device)


def attention_flow(trace: Trace, row: int | None) -> Scores:
    """Return the greatest flow from each token to the prediction, with attention as capacities.

    Abnar & Zuidema 2020, section 3: the layers are a graph whose edges carry ``(A + I) / 2``; the flow
    from one token of the input to the prediction is a maximum-flow problem of its own.
    """
    # Imported here: only this method needs it, and it takes a while to load.
    from .flow import greatest_flows

    count = sum(map(len, trace.tokens.values()))
    if count > FLOW_LONGEST:
        raise JtvizError(
            f"attention flow is computed for at most {FLOW_LONGEST} tokens, and this text has {count}: "
            f"choose rollout, which grows less with the length."
        )
    joint = joint_rollout(trace)
    return joint.split(greatest_flows(joint.mixes, joint.place(_side(trace), _row(trace, row))))


def _side(trace: Trace) -> str:
    return "decoder" if "decoder" in trace.tokens else "encoder"


def _row(trace: Trace, row: int | None) -> int:
    """Return the row that a prediction is read from: a class from the first of an encoder, the last else."""
    if row is not None:
        return row
    return 0 if _side(trace) == "encoder" else len(trace.tokens["decoder"]) - 1


RUN = {
    "attention_x_gradient": attention_x_gradient,
    "rollout": rollout,
    "relevance": relevant,
    "attention_flow": attention_flow,
}
NEED_GRADIENTS = ("attention_x_gradient", "relevance")
