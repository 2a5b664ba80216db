"""A pruned copy of every family answers as the family does with the same parts switched off.

What is proved on one text is compared here on other ones, padded and in a batch. Parameters are counted by
hand.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jtviz.capture import HookedTransformer, JtvizError, hook, prune
from jtviz.capture.flow import tensors

from .families import FAMILIES, Family

TOLERANCE = 1e-5
SHOWN = {name: family for name, family in FAMILIES.items() if family.refused is None}
CASES = [
    (name, implementation) for name, family in SHOWN.items() for implementation in family.implementations
]
MASKED = {"BLOOM"}  # is given one bias for each head and example, in one axis
WITHOUT_UNITS = {"Mixtral", "gpt-oss"}  # experts have theirs in one weight


def traced(family: Family, implementation: str) -> HookedTransformer:
    hooked = hook(family.build(implementation))
    hooked.trace(inputs=family.inputs(1, "none"))
    return hooked


def run(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return next(tensors(tuple(model(**inputs).values())))


def equal(hooked: HookedTransformer, model: nn.Module, family: Family, **off: Any) -> None:
    """Compare on what was not read while pruning."""
    inputs = family.inputs(3, "right") if family.batches else family.inputs(1, "right")
    with hooked.ablate(**off):
        wanted = run(hooked.model, inputs)
    torch.testing.assert_close(run(model, inputs), wanted, atol=TOLERANCE, rtol=0)
    assert (run(hooked.model, inputs) - wanted).abs().max() > 2 * TOLERANCE


@pytest.mark.parametrize(("name", "implementation"), CASES)
def test_heads_and_units_are_cut_and_what_is_left_is_a_model(name: str, implementation: str) -> None:
    family = SHOWN[name]
    hooked = traced(family, implementation)
    places: Any = hooked.memory.places
    # Whole groups of query heads, so that their key head goes too.
    heads: Any = {(p.stage, p.layer): list(range(min(p.group, p.heads - 1))) for p in places.heads}
    units: Any = {(p.stage, p.layer): [1, 5, 7] for p in places.units}
    pruned = prune(hooked, heads=heads, units=units)
    equal(hooked, pruned.model, family, heads=heads, units=units)
    if name in MASKED:
        assert pruned.masked.heads == pruned.mask.heads
        assert pruned.removed.units == pruned.mask.units
        return
    assert pruned.removed == pruned.mask
    assert bool(pruned.removed.units) is (name not in WITHOUT_UNITS)
    trace = pruned.hooked.trace(inputs=family.inputs(1, "none"))
    assert max(trace.check().values()) < TOLERANCE
    assert trace.places is not None
    for left, whole in zip(trace.places.heads, places.heads, strict=True):
        assert left.heads == whole.heads - len(heads[whole.stage, whole.layer])
    file = io.BytesIO()
    torch.save(pruned.model, file)
    file.seek(0)
    inputs = family.inputs(1, "none")
    assert torch.equal(run(torch.load(file, weights_only=False), inputs), run(pruned.model, inputs))
    before = {name: p.clone() for name, p in pruned.model.named_parameters()}
    optimiser = torch.optim.SGD(pruned.model.parameters(), lr=0.1)
    next(tensors(tuple(pruned.model(**inputs).values()))).float().square().sum().backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    assert any(not torch.equal(p, before[name]) for name, p in pruned.model.named_parameters())


@pytest.mark.parametrize(("name", "implementation"), [case for case in CASES if case[0] != "ALBERT"])
def test_one_head_of_one_layer_is_off_whether_it_can_be_cut_or_not(name: str, implementation: str) -> None:
    family = SHOWN[name]
    hooked = traced(family, implementation)
    places: Any = hooked.memory.places
    last = places.heads[-1]
    heads: Any = {(last.stage, last.layer): [1]}
    pruned = prune(hooked, heads=heads)
    equal(hooked, pruned.model, family, heads=heads)
    is_cut = name not in MASKED and last.group in {1, last.heads}
    assert len(pruned.removed) == is_cut
    if not is_cut and name not in MASKED:
        assert set(pruned.reasons.values()) == {
            "query heads that share a key head go together, or as many of each key head"
        }
        assert pruned.saved == 0


@pytest.mark.parametrize(("name", "implementation"), [case for case in CASES if case[0] != "ALBERT"])
def test_a_layer_that_loses_all_its_heads_keeps_one_that_adds_nothing(name: str, implementation: str) -> None:
    family = SHOWN[name]
    hooked = traced(family, implementation)
    places: Any = hooked.memory.places
    first = places.heads[0]
    heads: Any = {(first.stage, 0): None}
    pruned = prune(hooked, heads=heads)
    equal(hooked, pruned.model, family, heads=heads)
    assert len(pruned.removed) == (0 if name in MASKED else first.heads - 1)


GROUPED = [name for name, family in SHOWN.items() if family.settings.get("num_key_value_heads") == 2]


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("off", [[0, 2], [0, 1, 3], [1, 2, 3]])
def test_as_many_query_heads_of_each_key_head_are_cut(name: str, off: list[int]) -> None:
    family = SHOWN[name]
    hooked = traced(family, family.implementations[0])
    heads: Any = {("decoder", 1): off}
    pruned = prune(hooked, heads=heads)
    equal(hooked, pruned.model, family, heads=heads)
    assert pruned.removed == pruned.mask


def counted(name: str, heads: Any, units: Any) -> int:
    hooked = traced(SHOWN[name], SHOWN[name].implementations[0])
    return prune(hooked, heads=heads, units=units).saved


def test_parameters_that_are_saved_are_those_counted_by_hand() -> None:
    # Width 32, heads of 8: rows of three projections with biases, columns of the output's; a unit is a row
    # with its bias, and a column.
    head, unit = 8 * (3 * (32 + 1) + 32), 32 + 1 + 32
    asked: Any = ({("encoder", 0): [1], ("encoder", 1): [0, 3]}, {("encoder", 0): [4, 5]})
    assert counted("BERT", *asked) == 3 * head + 2 * unit
    asked = ({("decoder", 0): [1], ("decoder", 1): [0, 3]}, {("decoder", 0): [4, 5]})
    assert counted("GPT-2", *asked) == 3 * head + 2 * unit
    # Two query heads and their key head, no biases; up, gate and down.
    asked = ({("decoder", 0): [0, 1]}, {("decoder", 1): [4, 5]})
    assert counted("Llama", *asked) == 8 * 32 * (2 + 1 + 1 + 2) + 2 * 3 * 32
    # Query heads of both groups, whose key heads stay.
    assert counted("Llama", {("decoder", 0): [0, 2]}, {}) == 2 * 8 * 32 * 2
    # The decoder of this Marian has two heads of 16.
    asked = ({("encoder", 0): [1], ("decoder", 2): [0], ("cross", 1): [1]}, {("decoder", 1): [3]})
    assert counted("Marian", *asked) == head + 2 * 16 * (3 * (32 + 1) + 32) + unit


@pytest.mark.parametrize("name", ["Llama", "GPT-2", "GPT-NeoX", "Mistral", "Phi-3", "BART", "T5"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_pruned_copy_generates_what_the_ablated_model_generates(name: str, implementation: str) -> None:
    family = SHOWN[name]
    if name == "T5":  # whose cache, of transformers itself, takes both sides to be of one depth
        family = replace(family, settings={**family.settings, "num_decoder_layers": 2})
    hooked = traced(family, implementation)
    places: Any = hooked.memory.places
    heads: Any = {(p.stage, p.layer): list(range(min(p.group, p.heads - 1))) for p in places.heads}
    pruned: Any = prune(hooked, heads=heads)
    assert pruned.removed == pruned.mask
    model: Any = hooked.model
    given = {k: v for k, v in family.inputs(2, "left").items() if k != "decoder_input_ids"}
    asked: dict[str, Any] = {
        "max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "output_scores": True,
        "return_dict_in_generate": True,
    }  # fmt: skip
    with hooked.ablate(heads=heads):
        wanted = model.generate(**given, **asked)
    found = pruned.model.generate(**given, **asked)
    assert torch.equal(found.sequences, wanted.sequences)
    for one, other in zip(found.scores, wanted.scores, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_biases_that_layers_share_are_handed_on_whole() -> None:
    hooked = traced(SHOWN["T5"], "sdpa")
    # The first layer computes them for all others, which still have the head that it lost.
    heads: Any = {("encoder", 0): [1], ("decoder", 0): [0, 2], ("decoder", 2): [3]}
    pruned = prune(hooked, heads=heads)
    assert pruned.removed == pruned.mask
    equal(hooked, pruned.model, SHOWN["T5"], heads=heads)
    own: Any = pruned.model
    table = own.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    assert table.shape[1] == 4


def test_the_configuration_of_the_model_is_left_as_it_is() -> None:
    hooked = traced(SHOWN["Phi-3"], "sdpa")  # whose attention reads it
    pruned: Any = prune(hooked, heads={("decoder", 0): [0, 1]})
    assert len(pruned.removed) == 2
    assert pruned.model.config.num_attention_heads == 4
    first = pruned.model.model.layers[0].self_attn
    assert (first.config.num_attention_heads, first.config.num_key_value_heads) == (2, 1)
    pruned.model.set_attn_implementation("eager")
    assert first.config._attn_implementation == "eager"
    equal(hooked, pruned.model, SHOWN["Phi-3"], heads={("decoder", 0): [0, 1]})


def test_a_head_of_a_module_that_is_called_for_each_layer_goes_in_all_of_them_or_in_none() -> None:
    family = SHOWN["ALBERT"]
    hooked = traced(family, "sdpa")
    with pytest.raises(JtvizError, match=r"head 1 of encoder layer 1 cannot be pruned: .* in 2 layers"):
        prune(hooked, heads={("encoder", 0): [0], ("encoder", 1): [0, 1]})
    with pytest.raises(JtvizError, match=r"unit 3 of encoder layer 0 cannot be pruned"):
        prune(hooked, units={("encoder", 0): [3]})
    pruned = prune(hooked, heads={("encoder", 0): [0], ("encoder", 1): [0]})
    assert pruned.removed == pruned.mask
    assert pruned.saved == 8 * (3 * (32 + 1) + 32)
