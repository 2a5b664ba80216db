"""Gradients at the sites equal what autograd finds through the model's own eager attention."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

import jtviz
from jtviz.capture import JtvizError, OutOfRangeError, Trace, hook, load
from tests.zoo.families import FAMILIES

TOLERANCE = 1e-5
GENERATIVE = ["GPT-2", "GPT-Neo", "Llama", "Mistral", "Gemma 2", "DeepSeek-V3", "gpt-oss", "T5", "BART"]


def reference(name: str, row: int, token: int) -> tuple[float, dict[str, list[Tensor]]]:
    """Return a log-probability and its gradient with respect to each eager pattern, stage by stage."""
    family = FAMILIES[name]
    model = family.build("eager")
    output = model(**family.inputs(1, "none"), output_attentions=True)
    if model.config.is_encoder_decoder:
        layers = {stage: getattr(output, f"{stage}_attentions") for stage in ("encoder", "decoder", "cross")}
    else:
        layers = {"decoder": output.attentions}
    number = output.logits[0, row].log_softmax(-1)[token]
    flat = [pattern for patterns in layers.values() for pattern in patterns]
    found = iter(torch.autograd.grad(number, flat, allow_unused=True, materialize_grads=True))
    return float(number.detach()), {stage: [next(found)[0] for _ in layers[stage]] for stage in layers}


CASES = [(name, i) for name in GENERATIVE for i in FAMILIES[name].implementations]


@pytest.mark.parametrize(("name", "implementation"), CASES)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_gradient_is_that_of_autograd_through_eager(
    name: str, implementation: str, *, frozen: bool
) -> None:
    family = FAMILIES[name]
    model = family.build(implementation).requires_grad_(not frozen)
    trace = hook(model).trace(
        inputs=family.inputs(1, "none"), target={"row": 5, "token": 7}, output="log_prob"
    )
    value, wanted = reference(name, 5, 7)
    assert trace.target is not None
    assert (trace.target.row, trace.target.index, trace.target.output) == (5, 7, "log_prob")
    assert abs(trace.target.value - value) < TOLERANCE
    largest = 0.0
    for stage, layers in wanted.items():
        for layer, gradient in enumerate(layers):
            found = trace.gradient(stage, layer=layer)
            # Where a pair is masked, eager differentiates a weight that is always zero; so do we.
            torch.testing.assert_close(found, gradient, atol=TOLERANCE, rtol=1e-4)
            part = trace.gradient(stage, layer=layer, head=[1, 0], rows=slice(2, 6), cols=[3])
            torch.testing.assert_close(part, gradient[[1, 0], 2:6, 3:4], atol=TOLERANCE, rtol=1e-4)
            largest = max(largest, float(gradient.abs().max()))
    assert largest > 10 * TOLERANCE, "a gradient of zero would prove nothing"
    assert all(p.grad is None and p.requires_grad is not frozen for p in model.parameters())
    assert not trace.gradient(trace.stages[0], layer=0).requires_grad


@pytest.mark.parametrize("need_weights", [False, True])
def test_the_torch_layer_in_both_its_ways(*, need_weights: bool) -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.attention(x, x, x, need_weights=need_weights, average_attn_weights=False)[0]
            return out

    model, x = Layer().eval(), torch.randn(1, 5, 16)
    trace = hook(model).trace(inputs=(x,), target=lambda output: output[0, 2].square().sum())
    q, k, v = (
        part.view(5, 4, 4).transpose(0, 1)
        for part in nn.functional.linear(
            x[0], model.attention.in_proj_weight, model.attention.in_proj_bias
        ).chunk(3, -1)
    )
    pattern = (q @ k.mT / 2).softmax(-1).requires_grad_()
    number = model.attention.out_proj((pattern @ v).transpose(0, 1).flatten(1))[2].square().sum()
    (wanted,) = torch.autograd.grad(number, pattern)
    torch.testing.assert_close(trace.gradient("encoder", layer=0), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_of_a_batch_the_chosen_example_is_explained(implementation: str) -> None:
    family = FAMILIES["Llama"]
    batch = {"input_ids": family.inputs(3, "none")["input_ids"]}
    alone = {"input_ids": batch["input_ids"][1:2]}
    model = family.build(implementation)
    wanted = hook(model).trace(inputs=alone, target=5)
    found = hook(model).trace(inputs=batch, target=5, example=1)
    assert found.target is not None
    assert wanted.target is not None
    assert found.target.index == wanted.target.index
    for layer in range(2):
        gradients = [trace.gradient("decoder", layer=layer) for trace in (found, wanted)]
        torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.hidden("decoder"), wanted.hidden("decoder"), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.probabilities(), wanted.probabilities(), atol=1e-5, rtol=1e-4)


class InPlace(nn.Module):
    """A model that changes the output of its attention in place, as libraries do to save memory."""

    def forward(self, x: Tensor) -> Tensor:
        out = scaled_dot_product_attention(x, x, x)
        out.mul_(3.0)
        return out


def test_what_a_model_does_to_its_output_in_place_is_differentiated_too() -> None:
    x = torch.randn(1, 2, 4, 8)
    trace = hook(InPlace()).trace(inputs=(x,), target=lambda output: output.square().sum())
    value = x[0]
    pattern = trace.attention("encoder", layer=0)
    torch.testing.assert_close(
        trace.gradient("encoder", layer=0), 2 * 9 * (pattern @ value) @ value.mT, atol=1e-4, rtol=1e-4
    )


def test_a_layer_that_the_target_does_not_depend_on_has_a_gradient_of_zero() -> None:
    family = FAMILIES["GPT-2"]
    trace = hook(family.build("sdpa")).trace(inputs=family.inputs(1, "none"), target=0)
    # The first row looks at the first token alone: later rows of the last layer change nothing.
    assert trace.gradient("decoder", layer=1, rows=slice(1, None)).abs().max() == 0
    assert trace.gradient("decoder", layer=1, rows=0).abs().max() > 0


def translated(**more: Any) -> Trace:
    return hook(jtviz.demo.translator()).trace("I like tea.", **more)


def test_the_loss_against_a_reference_translation_is_the_mean_over_its_tokens() -> None:
    trace = translated(target_text="我喜欢茶。", output="loss")
    assert trace.target is not None
    assert trace.chances is not None
    assert (trace.target.name, trace.target.output) == ("all", "loss")
    logs = [-torch.tensor(chance).log() for chance in trace.chances if chance is not None]
    assert abs(trace.target.value - float(torch.stack(logs).mean())) < 1e-5


@pytest.mark.parametrize("output", ["logit", "log_prob", "prob", "loss"])
def test_a_token_is_explained_where_the_translation_has_it(output: str) -> None:
    trace = translated(target="茶", output=output)
    assert trace.predicts is not None
    assert trace.chances is not None
    assert trace.target is not None
    row = trace.predicts.index("茶")
    assert (trace.target.name, trace.target.row) == ("茶", row)
    assert trace.logits is not None
    chance = trace.chances[row] or 0.0
    wanted = {
        "logit": float(trace.logits[row, trace.target.index]),
        "log_prob": float(torch.tensor(chance).log()),
        "prob": chance,
        "loss": -float(torch.tensor(chance).log()),
    }[output]
    assert abs(trace.target.value - wanted) < 1e-5


def test_a_token_the_model_did_not_write_is_explained_in_its_row() -> None:
    trace = translated(target={"row": 3, "token": "水"})
    assert trace.target is not None
    assert (trace.target.name, trace.target.row) == ("水", 3)
    with pytest.raises(JtvizError, match="'水' is not in the answer: name the row"):
        translated(target="水")


def test_an_answer_that_was_generated_or_given_is_scored_alone() -> None:
    hooked = hook(jtviz.demo.induction())
    for more in ({"generate": 4}, {"target_text": "2xRt"}):
        options: dict[str, Any] = more
        trace = hooked.trace("k7Qm2xRt k7Qm", output="loss", **options)
        assert trace.target is not None
        assert trace.target.value < 0.01, "what it read is not predictable, what it wrote is"
        assert hooked.trace("k7Qm2xRt k7Qm", output="loss").target.value > 1  # type: ignore[union-attr]


@pytest.mark.parametrize("target", ["urgent", 1])
def test_a_class_is_told_by_name_or_number(target: str | int) -> None:
    hooked = hook(jtviz.demo.classifier())
    text = "Man, 60. Has crushing chest pain."
    trace = hooked.trace(text, target=target, output="prob")
    assert trace.target is not None
    assert (trace.target.name, trace.target.index, trace.target.row) == ("urgent", 1, None)
    assert abs(trace.target.value - hooked.classify(text)["urgent"]) < 1e-6
    assert hooked.trace(text, output="logit").target.name == "urgent"  # type: ignore[union-attr]


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"output": "probability"}, JtvizError, "output= is one of 'logit', 'log_prob', 'prob', 'loss'"),
    ({"target": "茶茶"}, OutOfRangeError, "is not one token but 2"),
    ({"target": 99}, OutOfRangeError, "row 99 is not there: rows are 0 to 5"),
    ({"target": {"row": 0, "word": "茶"}}, JtvizError, "has a 'row' and a 'token', not 'word'"),
    ({"target": {"token": 10**6}}, OutOfRangeError, "token 1000000 is not there"),
    ({"target": 1.5}, JtvizError, "target= is a token, the number of a row"),
    ({"target": lambda output: output}, JtvizError, "returns one number"),
]


@pytest.mark.parametrize(("options", "error", "said"), BAD)
def test_a_target_that_is_not_there_gets_a_sentence(
    options: dict[str, Any], error: type[Exception], said: str
) -> None:
    hooked = hook(jtviz.demo.translator())
    before = copy.deepcopy(hooked.model.state_dict())
    with pytest.raises(error, match=said):
        hooked.trace("I like tea.", **options)
    assert not torch.is_inference_mode_enabled()
    assert all(torch.equal(value, before[name]) for name, value in hooked.model.state_dict().items())


def test_other_models_say_what_they_can_explain() -> None:
    with pytest.raises(OutOfRangeError, match="choose from"):
        hook(jtviz.demo.classifier()).trace("Man, 60.", target="soon")
    bare = FAMILIES["BERT"]
    with pytest.raises(JtvizError, match="neither the logits of classes nor of tokens"):
        hook(bare.build("sdpa")).trace(inputs=bare.inputs(1, "none"), target=0)
    with pytest.raises(JtvizError, match="has no gradients"):
        translated().gradient("cross", layer=0)


def test_weights_made_in_inference_mode_cannot_be_differentiated() -> None:
    with torch.inference_mode():
        model = FAMILIES["GPT-2"].build("sdpa")
    with pytest.raises(JtvizError, match="load the model outside of it"):
        hook(model).trace(inputs=FAMILIES["GPT-2"].inputs(1, "none"), target=0)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_can_be_asked_for_inside_of_any_mode(context: Any) -> None:
    family = FAMILIES["GPT-2"]
    wanted = hook(family.build("sdpa")).trace(inputs=family.inputs(1, "none"), target=4)
    model = family.build("sdpa")
    with context():
        trace = hook(model).trace(inputs=family.inputs(1, "none"), target=4)
    found = trace.gradient("decoder", layer=0)
    assert torch.equal(found, wanted.gradient("decoder", layer=0))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_gradients_are_saved(tmp_path: Path, implementation: str) -> None:
    family = FAMILIES["Llama"]
    trace = hook(family.build(implementation)).trace(inputs=family.inputs(1, "none"), target=4)
    trace.save(tmp_path / "trace.safetensors")
    opened = load(tmp_path / "trace.safetensors")
    assert (opened.target, opened.chances) == (trace.target, trace.chances)
    for layer in range(2):
        found, wanted = (t.gradient("decoder", layer=layer) for t in (opened, trace))
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_traces_with_and_without_gradients_are_different_traces() -> None:
    hooked = hook(jtviz.demo.induction())
    plain = hooked.trace("abcabc")
    assert hooked.trace("abcabc", target=2) is hooked.trace("abcabc", target=2)
    assert hooked.trace("abcabc", target=2) is not plain
    assert hooked.trace("abcabc") is plain
