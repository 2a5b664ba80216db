"""Attributions equal the same call of Captum written by hand, on every scale and against every target."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import jtviz
from jtviz.analysis.attribution import METHODS, Attribution, attribute, opened
from jtviz.capture import JtvizError
from tests.unit import attribution_by_hand as by_hand

TOLERANCE = 1e-6
BY_CAPTUM = [name for name, method in METHODS.items() if method.kind != "attention"]
HOW: dict[str, Any] = {"n_steps": by_hand.STEPS, "n_samples": by_hand.SAMPLES, "raise_steps": False}
NOTE = "Man, 60. Has crushing chest pain. Denies a sore throat."


def compare(found: Attribution, wanted: list[Any]) -> None:
    parts = found.by_layer or found.scores
    assert len(parts) == len(wanted)
    for part, reference in zip(parts.values(), wanted, strict=True):
        np.testing.assert_allclose(part, reference, atol=TOLERANCE, rtol=0)
    assert max(abs(reference).max() for reference in wanted) > 100 * TOLERANCE, "zero would prove nothing"


@pytest.mark.parametrize("method", BY_CAPTUM)
def test_of_a_class_it_is_what_captum_says(method: str) -> None:
    hooked = by_hand.double("classifier")
    trace = hooked.trace(NOTE)
    case = by_hand.of_class(hooked.model, trace.tokens["encoder"].ids, index=1)
    found = attribute(trace, method, target="urgent", output="log_prob", **HOW)
    compare(found, by_hand.asked(case, method))


@pytest.mark.parametrize("method", BY_CAPTUM)
def test_of_a_translated_token_it_is_what_captum_says_of_source_and_prefix(method: str) -> None:
    hooked = by_hand.double("translator")
    trace = hooked.trace("I like to drink tea.", target_text="我喜欢喝茶。")
    found = attribute(trace, method, target="茶", output="log_prob", **HOW)
    target, tokens = found.score.target, trace.tokens
    assert target.row is not None
    assert target.index is not None
    case = by_hand.of_token(
        hooked.model, tokens["encoder"].ids, tokens["decoder"].ids, tokens["encoder"].special,
        target.row, target.index,
    )  # fmt: skip
    compare(found, by_hand.asked(case, method))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("method", BY_CAPTUM)
def test_of_a_hugging_face_model_it_is_what_captum_says(method: str, implementation: str) -> None:
    model = by_hand.random_bert(implementation)
    ids = torch.randint(3, 60, (1, 8))
    trace = jtviz.hook(model).trace(inputs={"input_ids": ids})
    found = attribute(trace, method, target=2, baseline="zero", **HOW)
    compare(found, by_hand.asked(by_hand.of_bert(model, ids, 2), method))


@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient", "occlusion"])
def test_in_single_precision_it_is_the_same_to_rounding(method: str) -> None:
    trace = jtviz.demo.classifier().trace(NOTE)
    exact = by_hand.double("classifier").trace(NOTE)
    options: dict[str, Any] = {"target": "urgent", "output": "log_prob", **HOW}
    found, wanted = attribute(trace, method, **options), attribute(exact, method, **options)
    # Single precision keeps seven digits of logits of about ten.
    np.testing.assert_allclose(found.scores["encoder"], wanted.scores["encoder"], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("memory", [1, 1 << 22])
@pytest.mark.parametrize("method", ["integrated_gradients", "layer_conductance", "shapley_sampling"])
def test_how_much_memory_is_granted_changes_nothing_but_the_batches(method: str, memory: int) -> None:
    trace = by_hand.double("classifier").trace(NOTE)
    found, wanted = (attribute(trace, method, memory=size, **HOW) for size in (memory, 1 << 30))
    np.testing.assert_allclose(found.scores["encoder"], wanted.scores["encoder"], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("method", ["integrated_gradients", "shapley_sampling", "layer_conductance"])
def test_a_batch_has_as_many_examples_as_fit(method: str) -> None:
    hooked = by_hand.double("classifier")
    model = copy.deepcopy(hooked.model)
    batches: list[int] = []
    model.classify.register_forward_hook(lambda _, __, output: batches.append(len(output)))
    watched = jtviz.hook(model, hooked.tokenizer)
    trace = watched.trace(NOTE)
    with opened(trace) as session:
        taken = session.cost(session.score(1, "logit")).nbytes
    batches.clear()
    attribute(trace, method, memory=4 * taken, **HOW)
    assert max(batches) == 4
    assert taken > trace.hidden("encoder").nbytes


@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient", "feature_ablation"])
def test_against_another_it_is_the_difference_of_two(method: str) -> None:
    trace = by_hand.double("translator").trace("I like to drink tea.", target_text="我喜欢喝茶。")
    row = attribute(trace, method, target="茶", **HOW).score.target.row
    assert row is not None
    mine, other = (
        attribute(trace, method, target={"row": row, "token": token}, **HOW) for token in ("茶", "水")
    )
    both = attribute(trace, method, target="茶", against="水", **HOW)
    assert both.score.words == "logit of 茶 − logit of 水"
    assert abs(both.score.value - (mine.score.value - other.score.value)) < TOLERANCE
    for side, scores in both.scores.items():
        wanted = mine.scores[side] - other.scores[side]
        np.testing.assert_allclose(scores, wanted, atol=TOLERANCE, rtol=0)
    assert max(abs(scores).max() for scores in both.scores.values()) > 0.01


def scaled(logits: Tensor, index: int, output: str) -> Tensor:
    if output == "logit":
        return logits[index]
    if output == "prob":
        return logits.exp()[index] / logits.exp().sum()
    minus = logits.exp().sum().log() - logits[index]
    return minus if output == "loss" else -minus


@pytest.mark.parametrize("output", ["logit", "log_prob", "prob", "loss"])
def test_each_scale_is_differentiated_as_autograd_does(output: str) -> None:
    model = by_hand.random_bert()
    ids = torch.randint(3, 60, (1, 8))
    vectors = model.get_input_embeddings()(ids).detach().requires_grad_()
    number = scaled(model(inputs_embeds=vectors).logits[0], 1, output)
    (gradient,) = torch.autograd.grad(number, vectors)
    found = attribute(
        jtviz.hook(model).trace(inputs={"input_ids": ids}), "input_x_gradient", target=1, output=output
    )
    assert abs(found.score.value - number.item()) < TOLERANCE
    assert found.score.probability is not None
    chance = model(inputs_embeds=vectors).logits[0].softmax(-1)[1].item()
    assert abs(found.score.probability - chance) < TOLERANCE
    wanted = (gradient * vectors).sum(-1)[0].detach().numpy()
    np.testing.assert_allclose(found.scores["encoder"], wanted, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("method", ["saliency_l1", "saliency_l2", "input_x_gradient"])
def test_the_loss_against_a_reference_translation_is_differentiated_as_autograd_does(method: str) -> None:
    hooked = by_hand.double("translator")
    trace = hooked.trace("I like to drink tea.", target_text="我爱喝水。")
    found = attribute(trace, method, output="loss")
    model, tokens = hooked.model, trace.tokens
    source, written = (torch.tensor([tokens[side].ids]) for side in ("encoder", "decoder"))
    answer = torch.tensor([*written[0, 1:].tolist(), model.config.end])
    grown: list[Tensor] = []

    def keep(_: Any, __: Any, vectors: Tensor) -> Tensor:
        grown.append(vectors.detach().requires_grad_())
        return grown[-1]

    handles = [m.register_forward_hook(keep) for m in (model.source_embedding, model.target_embedding)]
    loss = F.cross_entropy(model(source, written)[0], answer)
    for handle in handles:
        handle.remove()
    gradients = torch.autograd.grad(loss, grown)
    assert abs(found.score.value - loss.item()) < TOLERANCE
    assert found.score.words == "loss of all"
    for side, gradient, vectors in zip(("encoder", "decoder"), gradients, grown, strict=True):
        wanted = {
            "saliency_l1": gradient.abs().sum(-1),
            "saliency_l2": gradient.square().sum(-1).sqrt(),
            "input_x_gradient": (gradient * vectors).sum(-1),
        }[method]
        np.testing.assert_allclose(found.scores[side], wanted[0].detach(), atol=TOLERANCE, rtol=0)
        assert wanted.abs().max() > 0.01


def test_a_readers_own_number_is_explained_too() -> None:
    model = by_hand.random_bert()
    ids = torch.randint(3, 60, (1, 8))
    trace = jtviz.hook(model).trace(inputs={"input_ids": ids})

    def margin(output: Any) -> Tensor:
        found: Tensor = output.logits[0, 2] - 0.5 * output.logits[0, 0]
        return found

    found = attribute(trace, target=margin, baseline="zero", **HOW)
    parts = [attribute(trace, target=index, baseline="zero", **HOW).scores["encoder"] for index in (2, 0)]
    np.testing.assert_allclose(found.scores["encoder"], parts[0] - 0.5 * parts[1], atol=TOLERANCE, rtol=0)


def test_what_cannot_be_explained_is_said_before_any_method_runs() -> None:
    trace = by_hand.double("translator").trace("I like tea.")
    with pytest.raises(JtvizError, match="cannot be differentiated"):
        attribute(trace, target=lambda output: output[0, 0].argmax().double())
    for more in ({"output": "loss"}, {"target": lambda output: output[0, 0, 0]}):
        options: dict[str, Any] = more
        with pytest.raises(JtvizError, match="against= is a second token or class"):
            attribute(trace, against="水", **options)
