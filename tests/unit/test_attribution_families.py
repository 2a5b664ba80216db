"""Attribution works on every family: it sums up, is Captum's on its own embedding, and leaves no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import captum.attr
import numpy as np
import pytest
import tokenizers
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from jtviz.analysis.attribution import METHODS, attribute
from jtviz.capture import JtvizError, hook
from tests.unit.test_capture_untouched import state
from tests.zoo.families import FAMILIES, WORDS

TOLERANCE = 1e-6
COMPLETE = 1e-3
# Gradients jump at a kink of ReLU (in T5, and in the head of DistilBERT): quadrature errs by 1 / steps.
STEPS = {"T5": 2000, "DistilBERT": 2000}
HEADS = {
    "BERT": "BertForSequenceClassification",
    "DistilBERT": "DistilBertForSequenceClassification",
    "RoBERTa": "RobertaForSequenceClassification",
    "DeBERTa-v2": "DebertaV2ForSequenceClassification",
    "ALBERT": "AlbertForSequenceClassification",
    "GPT-2": "GPT2LMHeadModel",
    "Llama": "LlamaForCausalLM",
    "Qwen3": "Qwen3ForCausalLM",
    "T5": "T5ForConditionalGeneration",
    "BART": "BartForConditionalGeneration",
    "Marian": "MarianMTModel",
    "ViT": "ViTForImageClassification",
}
CASES = [(name, i) for name in HEADS for i in FAMILIES[name].implementations]


def build(name: str, implementation: str) -> Any:
    """Return a model in double precision whose tokens matter: fresh weights are so even that none does."""
    family = FAMILIES[name]
    settings = copy.deepcopy(family.settings) | ({"num_labels": 3} if "Classification" in HEADS[name] else {})
    made: Any = getattr(transformers, HEADS[name])
    config = getattr(transformers, family.config)(**settings)
    torch.manual_seed(5)
    model = made._from_config(config, attn_implementation=implementation).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight) * (weight.ndim > 1))
    return model


def inputs(name: str) -> dict[str, Tensor]:
    given = FAMILIES[name].inputs(1, "none")
    return {key: value.double() if value.is_floating_point() else value for key, value in given.items()}


def words(name: str) -> Any:
    """Return a tokenizer whose padding is token 0."""
    if FAMILIES[name].kind == "image":
        return None
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, WORDS)}
    level = tokenizers.models.WordLevel(vocabulary, unk_token="<pad>")
    made: Any = transformers.PreTrainedTokenizerFast
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return made(tokenizer_object=tokenizers.Tokenizer(level), **names)


def by_hand(name: str, model: Any, number: Callable[[Any], Tensor]) -> list[Tensor]:
    """Return Captum's integrated gradients from padding (of pixels: from zero), summed over each vector."""
    given, steps = inputs(name), {"n_steps": STEPS.get(name, 50)}
    if FAMILIES[name].kind == "image":
        pixels = given["pixel_values"]
        of_pixels = captum.attr.IntegratedGradients(lambda x: number(model(pixel_values=x)))
        found = of_pixels.attribute(pixels, torch.zeros_like(pixels), **steps)
        # A patch has 4 x 4 pixels; the token that the class is read from has none.
        patches = F.avg_pool2d(found.sum(1), 4)[0].flatten() * 16
        return [F.pad(patches, (1, 0))]
    ids, mask = given["input_ids"], given["attention_mask"]
    table = model.get_input_embeddings()
    if FAMILIES[name].kind == "text":
        layer = captum.attr.LayerIntegratedGradients(
            lambda x, seen: number(model(input_ids=x, attention_mask=seen)), table
        )
        found = layer.attribute(ids, torch.zeros_like(ids), additional_forward_args=(mask,), **steps)
        return [found.sum(-1)[0]]
    written = given["decoder_input_ids"]
    starts = torch.zeros_like(written)
    starts[:, 0] = written[:, 0]

    def of_vectors(read: Tensor, start: Tensor) -> Tensor:
        seen = mask.expand(len(read), -1)
        return number(model(inputs_embeds=read, attention_mask=seen, decoder_inputs_embeds=start))

    # One module looks up both sides, so that a hook on it would not tell them apart.
    both = captum.attr.IntegratedGradients(of_vectors)
    vectors = tuple(table(x).detach() for x in (ids, written))
    absent = tuple(table(x).detach() for x in (torch.zeros_like(ids), starts))
    return [part.sum(-1)[0] for part in both.attribute(vectors, absent, **steps)]


@pytest.mark.parametrize(("name", "implementation"), CASES)
def test_integrated_gradients_of_every_family(name: str, implementation: str) -> None:
    model = build(name, implementation)
    model.train()
    next(model.parameters()).requires_grad_(requires_grad=False)
    trace = hook(model, words(name)).trace(inputs=inputs(name))
    before = state(model)
    found = attribute(trace, n_steps=STEPS.get(name, 50), raise_steps=False)
    assert state(model) == before
    assert found.baseline == ("zero" if name == "ViT" else "pad")
    assert found.relative_delta is not None
    assert found.relative_delta <= COMPLETE
    assert found.baseline_value is not None
    assert abs(found.score.value - found.baseline_value) > 0.01, "what does not change proves nothing"
    target = found.score.target

    def number(output: Any) -> Tensor:
        logits: Tensor = output.logits if target.row is None else output.logits[:, target.row]
        return logits[:, target.index]

    wanted = by_hand(name, model.eval(), number)
    for scores, reference in zip(found.scores.values(), wanted, strict=True):
        np.testing.assert_allclose(scores, reference.detach(), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", list(HEADS))
def test_every_method_runs_on_every_family_and_leaves_the_model_as_found(name: str) -> None:
    model = build(name, FAMILIES[name].implementations[0])
    trace = hook(model, words(name)).trace(inputs=inputs(name))
    before = state(model)
    for method in METHODS.values():
        if name == "ALBERT" and method.kind == "layer":
            # One module is all layers: refused, see below.
            continue
        found = attribute(trace, method.name, n_steps=4, n_samples=2, raise_steps=False)
        for side, scores in found.scores.items():
            assert np.isfinite(scores).all()
            assert scores.shape == (len(trace.tokens[side]),)
        if found.by_layer is not None:
            assert [len(rows) for rows in found.by_layer.values()] == [
                trace.layers("encoder" if side == "encoder" else "decoder") for side in trace.tokens
            ]
        assert any(abs(scores).max() > 0 for scores in found.scores.values())
    assert state(model) == before


def test_layers_that_are_one_module_are_refused() -> None:
    model = build("ALBERT", "sdpa")
    trace = hook(model).trace(inputs=inputs("ALBERT"))
    with pytest.raises(JtvizError, match="runs one block as several layers"):
        attribute(trace, "layer_conductance")


@pytest.mark.parametrize("name", ["Llama", "Qwen3", "GPT-2", "BERT"])
def test_without_padding_the_default_baseline_is_one_that_the_scores_can_sum_to(name: str) -> None:
    model = build(name, "sdpa")
    trace = hook(model).trace(inputs=inputs(name))
    found = attribute(trace, raise_steps=False)
    assert found.baseline == "mean"
    assert found.relative_delta is not None
    assert found.relative_delta <= COMPLETE
