"""Every family, under every attention implementation it has on the CPU, equals its own eager attention.

The reference is ``output_attentions`` of the same weights built with ``attn_implementation="eager"``.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jtviz.capture import JtvizError, Trace, hook

from . import table
from .families import FAMILIES, LENGTH, WINDOW, Family
from .plain import PLAIN, HandWritten

TOLERANCE = 1e-5
SHOWN = {name: family for name, family in FAMILIES.items() if family.refused is None}
CASES = [
    (name, implementation, padding, batch)
    for name, family in SHOWN.items()
    for implementation in family.implementations
    for padding in (("none", "right", "left") if family.kind in {"text", "two sides"} else ("none",))
    for batch in (1, 3)
]


def reference(family: Family, inputs: dict[str, Tensor], example: int = 0) -> dict[str, list[Tensor]]:
    """Return the model's own patterns ``[heads, queries, keys]`` of one example, stage by stage."""
    model = family.build("eager")
    with torch.no_grad():
        output = model(**inputs, output_attentions=True)
    if model.config.is_encoder_decoder:
        found = {stage: getattr(output, f"{stage}_attentions") for stage in ("encoder", "decoder", "cross")}
    else:
        found = {"": output.attentions}
    return {stage: [layer[example] for layer in layers] for stage, layers in found.items()}


def largest_difference(trace: Trace, wanted: dict[str, list[Tensor]], mask: Tensor | None) -> float:
    worst = 0.0
    for stage, layers in wanted.items():
        stage = stage or trace.stages[0]  # noqa: PLW2901 - a model of one stage does not name it
        assert trace.layers(stage) == len(layers)
        for layer, pattern in enumerate(layers):
            found = trace.attention(stage, layer=layer)
            assert found.shape == pattern.shape
            # Rows of padding mean nothing: eager spreads them evenly, sdpa makes them zero.
            read = mask is not None and trace.query_side(stage) == next(iter(trace.tokens))
            rows = mask.bool() if read and mask is not None else torch.ones(found.shape[1], dtype=torch.bool)
            assert found[:, rows].isfinite().all()
            worst = max(worst, float((found - pattern)[:, rows].abs().max()))
    return worst


@pytest.mark.parametrize(("name", "implementation", "padding", "batch"), CASES)
def test_attention_equals_the_models_own(name: str, implementation: str, padding: str, batch: int) -> None:
    family = FAMILIES[name]
    model = family.build(implementation)
    inputs = family.inputs(batch, padding)
    before = copy.deepcopy(model.state_dict())
    if batch > 1 and not family.batches:
        with pytest.raises(JtvizError, match="trace one example at a time"):
            hook(model).trace(inputs=inputs)
        return
    trace = hook(model).trace(inputs=inputs)
    mask = inputs["attention_mask"][0] if "attention_mask" in inputs else None
    assert largest_difference(trace, reference(family, inputs), mask) < TOLERANCE
    assert max(trace.check().values()) < TOLERANCE
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", [name for name, family in SHOWN.items() if family.batches])
def test_any_example_of_a_batch_can_be_chosen(name: str) -> None:
    family = FAMILIES[name]
    inputs = family.inputs(3, "right")
    for implementation in family.implementations:
        trace = hook(family.build(implementation)).trace(inputs=inputs, example=2)
        assert largest_difference(trace, reference(family, inputs, example=2), None) < TOLERANCE


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.refused])
def test_a_family_that_cannot_be_shown_says_so(name: str) -> None:
    family = FAMILIES[name]
    with pytest.raises(JtvizError, match=family.refused):
        hook(family.build("eager")).trace(inputs=family.inputs(1, "none"))


@pytest.mark.parametrize("name", ["Mistral", "Gemma 2", "Gemma 3", "GPT-Neo", "gpt-oss", "ModernBERT"])
def test_a_window_is_shorter_than_the_text(name: str) -> None:
    family = FAMILIES[name]
    trace = hook(family.build("eager")).trace(inputs=family.inputs(1, "none"))
    (stage,) = trace.stages
    seen = [int((trace.attention(stage, layer=i) > 0).sum(-1).max()) for i in range(trace.layers(stage))]
    # ModernBERT looks as far ahead as back.
    assert min(seen) <= WINDOW + 1 < LENGTH


def test_sinks_take_a_share_of_every_row() -> None:
    family = FAMILIES["gpt-oss"]
    trace = hook(family.build("eager")).trace(inputs=family.inputs(1, "none"))
    for layer in range(2):
        assert trace.attention("decoder", layer=layer).sum(-1).max() < 0.99


@pytest.mark.parametrize("name", PLAIN)
def test_plain_models_equal_what_their_layers_say_of_themselves(name: str) -> None:
    model, inputs = PLAIN[name].made()
    trace = hook(model).trace(inputs=inputs)
    wanted: list[Tensor] = []

    def ask(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        handles[layer].remove()
        given = {**kwargs, "need_weights": True, "average_attn_weights": False}
        wanted.append(layer(*args, **given)[1][0])

    inner = getattr(model, "_orig_mod", model)
    layers = [layer for layer in inner.modules() if isinstance(layer, nn.MultiheadAttention)]
    handles: dict[nn.Module, Any] = {
        layer: layer.register_forward_pre_hook(ask, with_kwargs=True) for layer in layers
    }
    with torch.no_grad():
        inner(**inputs)
    if isinstance(inner, HandWritten):
        wanted.append(inner.pattern[0])
    found = [trace.attention(s, layer=i) for s in trace.stages for i in range(trace.layers(s))]
    assert len(found) == len(wanted) > 0
    for pattern in wanted:
        close = [
            f for f in found if f.shape == pattern.shape and float((f - pattern).abs().max()) < TOLERANCE
        ]
        assert close, "a pattern that the model has is not in the trace"


def test_thirty_four_families_are_shown() -> None:
    # CLIP has two rows, one for each of its towers.
    count = len({name.partition(",")[0] for name in SHOWN})
    print(f"{count} families equal their own eager attention, {len(FAMILIES) - len(SHOWN)} refused by name")
    assert count == 34


def test_the_table_in_the_docs_says_what_works_how() -> None:
    assert table.PAGE.read_text(encoding="utf-8") == table.page()
