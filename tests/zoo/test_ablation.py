"""A head or unit that is switched off is one whose weights are zero, in every family and implementation.

The reference is the same model with the columns of its output projection (or of its last feed-forward layer)
set to zero by hand; modules are named here, not found.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jtviz.capture import hook
from jtviz.capture.flow import tensors
from jtviz.capture.inputs import Prepared
from jtviz.capture.intervention.edits import Edit
from jtviz.capture.intervention.intervention import Intervention
from jtviz.capture.intervention.means import mean_outputs

from .families import FAMILIES, Family

TOLERANCE = 1e-5
OUTPUT = re.compile(
    r"(attention\.output\.dense|out_lin|attn_out\.dense|attn\.Wo|attention\.dense|self_attention\.dense|"
    r"attn\.c_proj|attention\.out_proj|attn\.out_proj|self_attn\.dense|o_proj|SelfAttention\.o|EncDecAttention\.o)$"
)
CROSS = re.compile(r"encoder_attn|EncDecAttention")
LAST = re.compile(
    r"(layer\.\d+\.output\.dense|ffn\.lin2|ffn_output|mlp\.Wo|mlp\.c_proj|dense_4h_to_h|mlp\.fc_out|fc2|"
    r"down_proj|wo|layer_2)$"
)
SHOWN = {name: family for name, family in FAMILIES.items() if family.refused is None}
# XLNet has its output projection in an einsum, ALBERT one for all layers: see the tests below.
CASES = [
    (name, implementation, batch)
    for name, family in SHOWN.items()
    if name not in {"XLNet", "ALBERT"}
    for implementation in family.implementations
    for batch in ((1, 3) if family.batches else (1,))
]


def projections(model: nn.Module, stage: str) -> list[Any]:
    """Return the output projections of a stage, in layer order, by name."""
    named = [(name, module) for name, module in model.named_modules() if OUTPUT.search(name)]
    two_sided = any(CROSS.search(name) for name, _ in named)
    found = []
    for name, module in named:
        is_cross = bool(CROSS.search(name))
        of = "cross" if is_cross else "decoder" if "decoder" in name.split(".") else "encoder"
        if not two_sided or of == stage:
            found.append(module)
    return found


def last_layers(model: nn.Module, stage: str) -> list[Any]:
    named = [(name, module) for name, module in model.named_modules() if LAST.search(name)]
    named = [(n, m) for n, m in named if not OUTPUT.search(n) and ".experts" not in n]
    two_sided = any(CROSS.search(name) for name, _ in model.named_modules())
    side = "decoder" if stage == "decoder" else "encoder"
    return [module for name, module in named if not two_sided or side in name.split(".")]


def columns(layer: Any, start: int, stop: int) -> Tensor:
    """Return what of a weight takes these inputs: GPT-2 has them in rows."""
    weight: Tensor = layer.weight.data
    is_turned = type(layer).__name__ == "Conv1D"
    return weight[start:stop] if is_turned else weight[:, start:stop]


def run(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return next(tensors(tuple(model(**inputs).values())))


def zeroed(
    family: Family, implementation: str, inputs: dict[str, Tensor], off: list[tuple[Any, int, int]]
) -> Tensor:
    model = family.build(implementation)
    for find, start, stop in off:
        columns(find(model), start, stop).zero_()
    return run(model, inputs)


@pytest.mark.parametrize(("name", "implementation", "batch"), CASES)
def test_a_head_that_is_off_is_one_whose_weights_are_zero(name: str, implementation: str, batch: int) -> None:
    family = SHOWN[name]
    model = family.build(implementation)
    inputs = family.inputs(batch, "right")
    hooked = hook(model)
    trace = hooked.trace(inputs=family.inputs(1, "none"))
    whole = run(model, inputs)
    for stage in trace.stages:
        for layer in range(trace.layers(stage)):
            place = trace.places.head(stage, layer)  # type: ignore[union-attr]
            head = place.heads - 1
            with hooked.ablate(heads={(stage, layer): [head]}):
                off = run(model, inputs)
            width = columns(projections(model, stage)[layer], 0, 10**6).numel() // 32 // place.heads

            def find(model: nn.Module, stage: str = stage, layer: int = layer) -> Any:
                return projections(model, stage)[layer]

            wanted = zeroed(family, implementation, inputs, [(find, head * width, (head + 1) * width)])
            torch.testing.assert_close(off, wanted, atol=TOLERANCE, rtol=0)
            assert (off - whole).abs().max() > 1e-4 or stage != trace.stages[-1]
    assert torch.equal(run(model, inputs), whole)


@pytest.mark.parametrize("name", [n for n in SHOWN if n not in {"XLNet", "ALBERT", "Mixtral", "gpt-oss"}])
def test_units_that_are_off_are_those_whose_weights_are_zero(name: str) -> None:
    family = SHOWN[name]
    model = family.build(family.implementations[0])
    inputs = family.inputs(1, "none")
    hooked = hook(model)
    places = hooked.trace(inputs=inputs).places
    assert places is not None
    for place in places.units:
        with hooked.ablate(units={(place.stage, place.layer): [2, 3]}):
            off = run(model, inputs)

        def find(model: nn.Module, stage: str = place.stage, layer: int = place.layer) -> Any:
            return last_layers(model, stage)[layer]

        wanted = zeroed(family, family.implementations[0], inputs, [(find, 2, 4)])
        torch.testing.assert_close(off, wanted, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_of_a_module_that_is_called_for_each_layer_one_call_is_without_a_head(implementation: str) -> None:
    family = FAMILIES["ALBERT"]
    model = family.build(implementation)
    inputs = family.inputs(1, "none")
    hooked = hook(model)
    hooked.trace(inputs=inputs)
    (dense,) = (m for n, m in model.named_modules() if n.endswith("attention.dense"))
    for layer in (0, 1):
        with hooked.ablate(heads={("encoder", layer): [1]}):
            off = run(model, inputs)
        calls = iter(range(2))

        def cut(_: nn.Module, args: tuple[Tensor], calls: Any = calls, layer: int = layer) -> Any:
            given = args[0].clone()
            if next(calls) == layer:
                given[..., 8:16] = 0
            return (given,)

        handle = dense.register_forward_pre_hook(cut)
        wanted = run(model, inputs)
        handle.remove()
        torch.testing.assert_close(off, wanted, atol=TOLERANCE, rtol=0)


def test_a_head_of_a_projection_in_an_einsum_can_be_off() -> None:
    family = FAMILIES["XLNet"]
    model, other = family.build("eager"), family.build("eager")
    inputs = family.inputs(1, "none")
    hooked = hook(model)
    hooked.trace(inputs=inputs)
    with hooked.ablate(heads={("encoder", 1): [2]}):
        off = run(model, inputs)
    other.layer[1].rel_attn.o.data[:, 2] = 0
    torch.testing.assert_close(off, run(other, inputs), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    "how", [{}, {"num_beams": 3}, {"do_sample": True}], ids=["greedy", "beams", "sampled"]
)
@pytest.mark.parametrize("name", ["GPT-2", "Llama", "Mistral", "Gemma 3", "BART", "T5", "Whisper"])
def test_what_is_generated_with_a_cache_is_written_without_the_heads(name: str, how: dict[str, Any]) -> None:
    family = SHOWN[name]
    if name == "T5":  # transformers generates with as many layers of cache as the encoder has
        family = replace(family, settings={**family.settings, "num_decoder_layers": 2})
    implementation = family.implementations[0]
    model, other = family.build(implementation), family.build(implementation)
    places = hook(model).trace(inputs=family.inputs(1, "none")).places
    assert places is not None
    off = {(place.stage, place.layer): [*range(place.heads - 1)] for place in places.heads}
    for place in places.heads:
        output = projections(other, place.stage)[place.layer]
        columns(output, 0, (place.heads - 1) * place.width).zero_()
    inputs = {k: v for k, v in family.inputs(3, "left").items() if k != "decoder_input_ids"}

    def written(model: Any) -> Tensor:
        torch.manual_seed(3)
        ids: Tensor = model.generate(**inputs, max_new_tokens=8, min_new_tokens=8, **how)
        return ids

    with torch.random.fork_rng(), hook(model).ablate(heads=off):
        assert torch.equal(written(model), written(other))


@pytest.mark.parametrize("name", ["BART", "Llama", "XLNet"])
def test_the_mean_is_over_what_is_no_padding(name: str) -> None:
    family = SHOWN[name]
    model = family.build("eager")
    inputs = family.inputs(3, "left")
    places = hook(model).trace(inputs=family.inputs(1, "none")).places
    assert places is not None
    with torch.no_grad():
        found = mean_outputs(model, places, [Prepared(args=(), kwargs=inputs)])
    read = inputs["attention_mask"].bool()
    for place in places.units:
        seen: list[Tensor] = []
        layer = model.get_submodule(place.path)
        handle = layer.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        run(model, inputs)
        handle.remove()
        values = seen[0].transpose(0, 1) if name == "XLNet" else seen[0]
        rows = values.flatten(0, 1) if place.stage == "decoder" and name == "BART" else values[read]
        torch.testing.assert_close(found[place], rows.mean(0), atol=1e-6, rtol=1e-5)
    for head in places.heads if name != "XLNet" else ():
        seen = []
        output = projections(model, head.stage)[head.layer]
        handle = output.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        run(model, inputs)
        handle.remove()
        rows = seen[0].flatten(0, 1) if head.stage != "encoder" and name == "BART" else seen[0][read]
        torch.testing.assert_close(found[head].flatten(), rows.mean(0), atol=1e-6, rtol=1e-5)


class Adapted(nn.Module):
    """A layer with two narrow ones beside it, as LoRA has them."""

    def __init__(self, base: nn.Module, size: int) -> None:
        super().__init__()
        self.base, self.a, self.b = base, nn.Linear(size, 4, bias=False), nn.Linear(4, 32, bias=False)

    def forward(self, x: Tensor) -> Any:
        return self.base(x) + self.b(self.a(x))


@pytest.mark.parametrize(
    ("name", "path"), [("GPT-2", "transformer.h.1.mlp"), ("Llama", "model.layers.1.mlp")]
)
def test_units_are_off_for_an_adapter_beside_the_last_layer_too(name: str, path: str) -> None:
    family = SHOWN[name]
    model, inputs = family.build("sdpa"), family.inputs(2, "right")
    mlp: Any = model.get_submodule(path)
    leaf = "c_proj" if name == "GPT-2" else "down_proj"
    base = getattr(mlp, leaf)
    size = 128 if name == "GPT-2" else 48
    with torch.random.fork_rng():
        setattr(mlp, leaf, Adapted(base, size))
    hooked = hook(model)
    with hooked.ablate(units={("decoder", 1): [2, 3]}) as ablation:
        off = run(model, inputs)
    places = hooked.trace(inputs=family.inputs(1, "none")).places
    assert places is not None
    assert [place.units for place in places.units] == [size, size]
    assert len(ablation.mask or ()) == 2
    columns(base, 2, 4).zero_()
    getattr(mlp, leaf).a.weight.data[:, 2:4] = 0
    torch.testing.assert_close(off, run(model, inputs), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("by_grad", [False, True])
def test_a_model_that_checkpoints_is_differentiated_without_the_head(*, by_grad: bool) -> None:
    family = replace(SHOWN["GPT-2"], settings={**SHOWN["GPT-2"].settings, "attn_pdrop": 0, "resid_pdrop": 0})
    inputs = family.inputs(2, "right")
    model, other = family.build("sdpa"), family.build("sdpa")
    hooked = hook(model)
    hooked.trace(inputs=family.inputs(1, "none"))
    columns(projections(other, "decoder")[0], 0, 8).zero_()

    def gradient(model: Any) -> Tensor:
        model.train()
        model.transformer.drop.p = 0
        new = "activation_checkpointing_enable"  # its name since transformers 5
        getattr(model, new if hasattr(model, new) else "gradient_checkpointing_enable")()
        weight = model.transformer.h[0].mlp.c_fc.weight
        loss = model(**inputs, use_cache=False).logits.square().sum()
        if by_grad:
            (found,) = torch.autograd.grad(loss, weight)
        else:
            loss.backward()
            found = weight.grad
        assert isinstance(found, Tensor)
        return found

    with hooked.ablate(heads={("decoder", 0): [0]}):
        found = gradient(model)
    torch.testing.assert_close(found, gradient(other), atol=TOLERANCE, rtol=1e-5)


@pytest.mark.parametrize("name", ["GPT-2", "BERT", "Llama", "Marian", "T5"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_gradient_of_a_head_mask_is_what_differences_say(name: str, implementation: str) -> None:
    family = SHOWN[name]
    if name == "T5":  # whose ReLU has kinks, across which no difference says a gradient
        family = replace(family, settings={**family.settings, "feed_forward_proj": "gated-gelu"})
    model = family.build(implementation).double()
    inputs = family.inputs(1, "none")
    places = hook(model).trace(inputs=inputs).places
    assert places is not None

    def loss(masks: list[Tensor]) -> Tensor:
        edits = {place: Edit(mask) for place, mask in zip(places.heads, masks, strict=True)}
        with Intervention(model, places, edits):
            return next(tensors(tuple(model(**inputs).values()))).square().mean()

    masks = [torch.ones(p.heads, dtype=torch.double, requires_grad=True) for p in places.heads]
    gradients = torch.autograd.grad(loss(masks), masks)
    step = 1e-2  # some families round to single precision inside their norms
    for at in range(len(masks)):
        for head in range(len(masks[at])):
            values = []
            for sign in (1, -1):
                moved = [m.detach().clone() for m in masks]
                moved[at][head] += sign * step
                values.append(float(loss(moved).detach()))
            wanted = (values[0] - values[1]) / (2 * step)
            assert float(gradients[at][head]) == pytest.approx(wanted, rel=0.01, abs=1e-9)
