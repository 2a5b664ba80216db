"""Models that lie on several devices, and models of several parts, are traced and left as they were."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from jtviz.capture import hook
from jtviz.capture.asfound import as_found
from tests.zoo.families import FAMILIES

PARTS = ["transformer.wte", "transformer.wpe", "transformer.drop", "transformer.h.0", "transformer.h.1"]
PARTS += ["transformer.ln_f", "lm_head"]


def placed(model: Any, devices: dict[str, Any], **more: Any) -> Any:
    accelerate: Any = pytest.importorskip("accelerate")
    return accelerate.dispatch_model(model, devices, force_hooks=True, **more)


def test_a_model_with_a_device_map_is_traced_through_its_hooks() -> None:
    family = FAMILIES["GPT-2"]
    inputs = family.inputs(1, "none")
    wanted = hook(family.build("sdpa")).trace(inputs=inputs, target=4)
    model = placed(family.build("sdpa"), dict.fromkeys(PARTS, "cpu"), main_device="cpu")
    forwards = [module.forward for module in model.modules()]
    trace = hook(model).trace(inputs=inputs, target=4)
    for layer in range(2):
        for ask in ("attention", "gradient"):
            found, expected = (getattr(t, ask)("decoder", layer=layer) for t in (trace, wanted))
            assert torch.equal(found, expected)
    assert torch.equal(trace.hidden("decoder"), wanted.hidden("decoder"))
    assert [module.forward for module in model.modules()] == forwards


def test_a_trace_can_be_kept_on_one_device() -> None:
    family = FAMILIES["T5"]
    inputs = family.inputs(1, "right")
    model = family.build("sdpa")
    wanted = hook(model).trace(inputs=inputs)
    # The device without numbers takes the place of another one here: everything has to be on it.
    away = hook(model).trace(inputs=inputs, keep_on="meta")
    held = [tensor for site in away.sites for tensor in site.held() if tensor is not None]
    assert {tensor.device.type for tensor in held} == {"meta"}
    assert away.logits is not None
    assert away.logits.device.type == "meta"
    # What layers share is still shared.
    masks = [{id(getattr(site, "mask", None)) for site in trace.sites} for trace in (away, wanted)]
    assert len(masks[0]) == len(masks[1])
    here = hook(model).trace(inputs=inputs, keep_on="cpu")
    assert torch.equal(here.attention("cross", layer=0), wanted.attention("cross", layer=0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("keep_on", [None, "cpu"])
def test_a_model_on_a_gpu_and_on_the_cpu_is_traced(keep_on: str | None) -> None:
    family = FAMILIES["GPT-2"]
    inputs = family.inputs(1, "none")
    wanted = hook(family.build("sdpa")).trace(inputs=inputs, target=4)
    last = torch.cuda.device_count() - 1
    devices = dict.fromkeys(PARTS, 0) | {"transformer.h.1": last, "transformer.ln_f": last, "lm_head": last}
    model = placed(family.build("sdpa"), devices)
    trace = hook(model).trace(inputs=inputs, target=4, keep_on=keep_on)
    if keep_on is not None:
        assert {t.device.type for site in trace.sites for t in site.held() if t is not None} == {"cpu"}
    for layer in range(2):
        for ask in ("attention", "gradient"):
            found, expected = (getattr(t, ask)("decoder", layer=layer) for t in (trace, wanted))
            torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(trace.hidden("decoder").cpu(), wanted.hidden("decoder"), atol=1e-4, rtol=1e-3)


def test_each_part_of_a_model_gets_its_attention_implementation_back() -> None:
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
    config = transformers.CLIPConfig(
        text_config={**small, "vocab_size": 60, "max_position_embeddings": 16},
        vision_config={**small, "image_size": 16, "patch_size": 8},
    )
    model: Any = transformers.CLIPModel
    model = model._from_config(config, attn_implementation="sdpa").eval()
    model.set_attn_implementation({"text_config": "flex_attention", "vision_config": "eager"})

    def now() -> list[str]:
        configs = (model.config, model.config.text_config, model.config.vision_config)
        return [part._attn_implementation for part in configs]

    before = now()
    assert before == ["sdpa", "flex_attention", "eager"]
    with as_found(model) as notes:
        assert set(now()) == {"sdpa"}
    assert now() == before
    assert notes == ["traced under sdpa instead of flex_attention: outputs agree to rounding"]
