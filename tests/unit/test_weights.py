"""Output projections and the unembedding: those that the model itself multiplied with."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jtviz
from jtviz.capture import JtvizError, SiteRefusedError, Trace, TraceFileError, hook, load
from jtviz.capture.site import FusedSite
from tests.zoo.families import FAMILIES

TEXTS = ["BERT", "GPT-2", "GPT-NeoX", "Falcon", "Llama", "Phi-3", "DeepSeek-V3", "T5", "BART"]


def shown(name: str) -> tuple[Any, Trace]:
    family = FAMILIES[name]
    model = family.build("sdpa")
    return model, hook(model).trace(inputs=family.inputs(1, "none"))


@pytest.mark.parametrize("name", TEXTS)
def test_what_the_heads_add_up_to_is_what_the_model_computed(name: str) -> None:
    family = FAMILIES[name]
    model = family.build("sdpa")
    outputs: dict[int, list[Tensor]] = {}

    def note(module: Any, _: object, output: Tensor) -> None:
        bias = getattr(module, "bias", None)
        outputs.setdefault(id(module.weight), []).append(output[0] - (0 if bias is None else bias))

    for module in model.modules():
        if isinstance(getattr(module, "weight", None), nn.Parameter) and module.weight.ndim == 2:
            module.register_forward_hook(note)
    trace = hook(model).trace(inputs=family.inputs(1, "none"))
    for stage in trace.stages:
        for layer in range(trace.layers(stage)):
            site = trace.site(stage, layer)
            assert isinstance(site, FusedSite)
            assert site.projection is not None
            value = site.value.repeat_interleave(site.group, 0)
            added = trace.attention(stage, layer=layer) @ value @ trace.output_projection(stage, layer)
            computed = outputs[id(site.projection._read())][0].detach()
            torch.testing.assert_close(added.sum(0), computed, atol=1e-5, rtol=1e-4)


def test_the_torch_layer_has_its_projection() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2).eval()
    trace = hook(model).trace(inputs=(torch.randn(1, 5, 16),))
    for layer, module in enumerate(model.layers):
        weight = module.self_attn.out_proj.weight
        wanted = weight.T.view(4, 4, 16)
        assert torch.equal(trace.output_projection("encoder", layer), wanted)


@pytest.mark.parametrize("name", ["GPT-2", "Falcon", "Llama", "Gemma 3", "T5", "Marian"])
def test_the_unembedding_is_the_models(name: str) -> None:
    model, trace = shown(name)
    assert torch.equal(trace.unembedding(), model.get_output_embeddings().weight.detach().T)


def test_a_model_without_an_unembedding_says_so() -> None:
    _, trace = shown("BERT")
    with pytest.raises(JtvizError, match="the unembedding is not known"):
        trace.unembedding()


def test_weights_do_not_keep_the_model_alive_and_are_not_confused_with_later_ones() -> None:
    model, trace = shown("GPT-2")
    before = trace.output_projection("decoder", 0)
    with torch.no_grad():
        model.transformer.h[0].attn.c_proj.weight.mul_(2)
    with pytest.raises(SiteRefusedError, match="was changed since the trace"):
        trace.output_projection("decoder", 0)
    assert before.shape == (4, 8, 32)
    del model
    gc.collect()
    with pytest.raises(JtvizError, match="went with the model: keep the model, or save the trace"):
        trace.output_projection("decoder", 1)


def test_weights_are_saved_along_when_asked_for(tmp_path: Path) -> None:
    model, trace = shown("Llama")
    trace.save(tmp_path / "bare.safetensors")
    trace.save(tmp_path / "whole.safetensors", along=["output_projections", "unembedding"])
    wanted = [trace.output_projection("decoder", layer) for layer in range(2)], trace.unembedding()
    del model, trace
    gc.collect()
    bare, whole = load(tmp_path / "bare.safetensors"), load(tmp_path / "whole.safetensors")
    assert all(torch.equal(whole.output_projection("decoder", i), w) for i, w in enumerate(wanted[0]))
    assert torch.equal(whole.unembedding(), wanted[1])
    for question in (bare.unembedding, lambda: bare.output_projection("decoder", 0)):
        with pytest.raises(JtvizError, match="is not known"):
            question()
    whole.save(tmp_path / "again.safetensors", along=["unembedding"])
    assert torch.equal(load(tmp_path / "again.safetensors").unembedding(), wanted[1])


def test_a_damaged_weight_is_noticed_when_it_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "trace.safetensors"
    model, trace = shown("GPT-2")
    trace.save(path, along=["output_projections"])
    data = bytearray(path.read_bytes())
    weight = model.transformer.h[1].attn.c_proj.weight.detach().numpy().tobytes()
    at = data.find(weight)
    assert at > 0
    data[at + 9] ^= 1
    path.write_bytes(data)
    opened = load(path)
    assert torch.equal(opened.output_projection("decoder", 0), trace.output_projection("decoder", 0))
    with pytest.raises(TraceFileError, match="is damaged"):
        opened.output_projection("decoder", 1)


def test_what_cannot_be_saved_along_is_said_before_anything_is_written(tmp_path: Path) -> None:
    trace = jtviz.hook(jtviz.demo.classifier()).trace("Man, 40.")
    for along in (["embedding"], "unembedding"):
        with pytest.raises(JtvizError, match="along= lists 'output_projections' and 'unembedding'"):
            trace.save(tmp_path / "trace.safetensors", along=along)
    with pytest.raises(JtvizError, match="the unembedding is not known"):
        trace.save(tmp_path / "trace.safetensors", along=["unembedding"])
    assert list(tmp_path.iterdir()) == []
