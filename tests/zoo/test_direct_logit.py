"""Direct logit attribution is exact in every family that it does not refuse.

The references are the model's own logit, which the terms sum to, and (where the model has a norm before its
unembedding and nothing else) the head's output times projection, norm and unembedding, all called by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jtviz.analysis.layers import direct_logit_attribution
from jtviz.capture import JtvizError, hook

from .test_lens import PREDICTING

TOLERANCE = 1e-4  # relative to the logit
ROW, TOKEN = 3, 7
# Mixtures of experts have no last linear layer; ALBERT's head has an activation that is written out.
REFUSED = ("ALBERT", "Mixtral", "DeepSeek-V3", "gpt-oss")
CASES = [
    (name, way)
    for name, family in PREDICTING.items()
    if name not in REFUSED
    for way in family.implementations
]


def built(name: str, way: str = "sdpa") -> Any:
    model = PREDICTING[name].build(way)
    with torch.no_grad():
        # Biases that no term can leave out unseen.
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
    return model


@pytest.mark.parametrize(("name", "way"), CASES)
def test_the_terms_sum_to_the_models_logit(name: str, way: str) -> None:
    model = built(name, way)
    inputs = PREDICTING[name].inputs(1, "none")
    with torch.no_grad():
        wanted = float(model(**inputs).logits[0, ROW, TOKEN])
    trace = hook(model).trace(inputs=inputs)
    found = direct_logit_attribution(trace, {"row": ROW, "token": TOKEN})
    # Without the last term, which is what is left over.
    total = sum(term.value for term in found.terms[:-1])
    largest = max(abs(wanted), *(abs(term.value) for term in found.terms))
    assert total == pytest.approx(wanted, abs=TOLERANCE * largest)
    stages = [stage for stage in trace.stages if trace.query_side(stage) == found.terms[3].stage]
    assert {stage for stage, _, _ in found.heads} >= set(stages)
    assert all(found.heads.values())
    assert len(found.feed_forward) == trace.layers("decoder" if "decoder" in trace.stages else "encoder")


NORMS: dict[str, Callable[[Any], Any]] = {
    "GPT-2": lambda m: m.transformer.ln_f,
    "OPT": lambda m: m.model.decoder.final_layer_norm,
    "Llama": lambda m: m.model.norm,
    "mBART": lambda m: m.model.decoder.layer_norm,
}


def through_norm(norm: Any, added: Tensor, stream: Tensor) -> Tensor:
    """Return what a norm makes of a part of the stream, divided by what it divides the whole by."""
    if isinstance(norm, nn.LayerNorm):
        centred: Tensor = (added - added.mean()) / (stream.var(correction=0) + norm.eps).sqrt() * norm.weight
        return centred
    scaled: Tensor = added / (stream.square().mean() + norm.variance_epsilon).sqrt() * norm.weight
    return scaled


@pytest.mark.parametrize("name", NORMS)
def test_a_head_adds_what_its_values_become_in_the_vocabulary(name: str) -> None:
    model = built(name)
    trace = hook(model).trace(inputs=PREDICTING[name].inputs(1, "none"))
    found = direct_logit_attribution(trace, {"row": ROW, "token": TOKEN})
    stream = trace.hidden("decoder")[-1, ROW]
    with torch.no_grad():
        for (stage, layer, head), value in found.heads.items():
            site = trace.site(stage, layer)
            values = site.value[head // site.group]
            read = trace.attention(stage, layer=layer, head=head, rows=ROW) @ values
            added = read @ trace.output_projection(stage, layer)[head]
            wanted = through_norm(NORMS[name](model), added, stream) @ trace.unembedding()[:, TOKEN]
            assert value == pytest.approx(float(wanted), abs=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_apart_is_refused_by_name(name: str) -> None:
    model = built(name, PREDICTING[name].implementations[0])
    trace = hook(model).trace(inputs=PREDICTING[name].inputs(1, "none"))
    with pytest.raises(JtvizError, match=f"logits of {type(model).__name__} cannot be taken apart"):
        direct_logit_attribution(trace, {"row": ROW, "token": TOKEN})
