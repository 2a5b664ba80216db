"""The lens reads each layer through the model's own language-model head, in every family that has one.

The references are the model's own logits (last layer), and its head called by name on the hidden states that
`transformers` returns (the layers before).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from jtviz.analysis.layers import logit_lens
from jtviz.capture import hook

from .families import FAMILIES, Family

TOLERANCE = 1e-5  # relative to the largest logit
MASKED = {
    "BERT": "BertForMaskedLM",
    "RoBERTa": "RobertaForMaskedLM",
    "DistilBERT": "DistilBertForMaskedLM",
    "ALBERT": "AlbertForMaskedLM",
    "ELECTRA": "ElectraForMaskedLM",
    "DeBERTa-v2": "DebertaV2ForMaskedLM",
    "ModernBERT": "ModernBertForMaskedLM",
    "XLNet": "XLNetLMHeadModel",
}


def with_a_head(name: str, family: Family) -> Family:
    return replace(family, model=MASKED.get(name, family.model))


PREDICTING = {
    name: with_a_head(name, family)
    for name, family in FAMILIES.items()
    if family.refused is None and family.kind != "image" and not name.startswith("CLIP")
}
CASES = [(name, way) for name, family in PREDICTING.items() for way in family.implementations]

HEADS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "GPT-2": lambda m, x: m.lm_head(m.transformer.ln_f(x)),
    "GPT-NeoX": lambda m, x: m.get_output_embeddings()(m.gpt_neox.final_layer_norm(x)),
    "GPT-J": lambda m, x: m.lm_head(m.transformer.ln_f(x)),
    "OPT": lambda m, x: m.lm_head(m.model.decoder.final_layer_norm(x)),
    "Llama": lambda m, x: m.lm_head(m.model.norm(x)),
    "Gemma 2": lambda m, x: 30 * torch.tanh(m.lm_head(m.model.norm(x)) / 30),
    "BERT": lambda m, x: m.cls(x),
    "DistilBERT": lambda m, x: m.vocab_projector(
        m.vocab_layer_norm(torch.nn.functional.gelu(m.vocab_transform(x)))
    ),
    "ALBERT": lambda m, x: m.predictions(x),
    "T5": lambda m, x: m.lm_head(m.decoder.final_layer_norm(x) * 32**-0.5),
    "BART": lambda m, x: m.lm_head(x) + m.final_logits_bias,
    "mBART": lambda m, x: m.lm_head(m.model.decoder.layer_norm(x)) + m.final_logits_bias,
    "Marian": lambda m, x: m.lm_head(x) + m.final_logits_bias,
}


def largest_difference(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize(("name", "way"), CASES)
def test_the_last_layer_of_the_lens_says_what_the_model_says(name: str, way: str) -> None:
    family = PREDICTING[name]
    model = family.build(way)
    inputs = family.inputs(1, "none")
    with torch.no_grad():
        wanted = model(**inputs).logits[0]
    lens = logit_lens(hook(model).trace(inputs=inputs), top=3)
    assert largest_difference(lens.logits(-1), wanted) <= TOLERANCE
    torch.testing.assert_close(lens.probability[-1], wanted.softmax(-1).topk(3).values)
    assert bool((lens.rank[-1] == 1).all())
    assert not bool(lens.divergence[-1].any())
    # What is read in other layers is another stream.
    assert largest_difference(lens.logits(0), wanted) > 1e-3


@pytest.mark.parametrize("name", HEADS)
def test_each_layer_is_read_by_the_whole_head(name: str) -> None:
    family = PREDICTING[name]
    model = family.build(family.implementations[0])
    with torch.no_grad():
        # Weights and biases that no head can leave out unseen.
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
    inputs = family.inputs(1, "none")
    with torch.no_grad():
        # First: it leaves hooks on the model.
        output = model(**inputs, output_hidden_states=True)
        states = output.decoder_hidden_states if family.kind == "two sides" else output.hidden_states
        lens = logit_lens(hook(model).trace(inputs=inputs))
        for layer in range(lens.layers - 1):
            wanted = HEADS[name](model, states[layer])[0]
            assert largest_difference(lens.logits(layer), wanted) <= TOLERANCE


@pytest.mark.parametrize("name", ["GPT-2", "Llama", "XLNet", "BART"])
def test_an_example_of_a_batch_is_read_as_it_is_alone(name: str) -> None:
    family = PREDICTING[name]
    model = family.build("sdpa" if "sdpa" in family.implementations else "eager")
    batch = family.inputs(3, "none")
    lens = logit_lens(hook(model).trace(inputs=batch, example=2))
    alone = logit_lens(hook(model).trace(inputs={k: v[2:] for k, v in batch.items()}))
    for layer in range(lens.layers):
        assert largest_difference(lens.logits(layer), alone.logits(layer)) <= TOLERANCE
