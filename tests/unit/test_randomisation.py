"""Attributions under random weights: what is made random, when, and what is said of it."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

import jtviz
from jtviz.analysis import randomisation
from jtviz.analysis.attribution import by_attention
from jtviz.analysis.trust import cascade
from jtviz.capture import JtvizError
from tests.unit.trusted import NOTE
from tests.zoo.families import FAMILIES, Family


def state(model: nn.Module) -> tuple[Any, ...]:
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [(module.training, len(module._forward_pre_hooks)) for module in model.modules()]
    return weights, flags, [p.requires_grad for p in model.parameters()], [id(p) for p in model.parameters()]


@pytest.fixture(scope="module")
def note() -> jtviz.Trace:
    return jtviz.demo.classifier().trace(NOTE)


def test_the_first_entry_is_the_trained_model_and_the_rest_equal_scipy(note: jtviz.Trace) -> None:
    found = randomisation(note, "integrated_gradients", target="urgent", draws=2)
    assert found.steps == ("trained", "output", "encoder.layers.1", "encoder.layers.0", "embeddings")
    assert found.correlation.shape == (2, 5)
    np.testing.assert_allclose(found.correlation[:, 0], 1.0, atol=1e-12)
    rows = [np.abs(one.scores["encoder"][1:]) for one in found.attributions]
    expected = [scipy.stats.spearmanr(rows[0], row).statistic for row in rows]
    np.testing.assert_allclose(found.correlation[0], expected, atol=1e-9)
    assert not np.allclose(found.correlation[0], found.correlation[1])
    table = found.to_pandas()
    spread = scipy.stats.tstd(found.correlation[:, 1:], axis=0)
    np.testing.assert_allclose(table["spread"], [0.0, *spread], atol=1e-12)


def test_integrated_gradients_depend_on_the_weights(note: jtviz.Trace) -> None:
    found = randomisation(note, "integrated_gradients", target="urgent", draws=5)
    # Five draws of unrelated ranks are within three of their spreads.
    assert abs(found.mean[-1]) < 3 * found.by_chance / np.sqrt(5)
    assert not found.hardly_changes
    assert "depends on the weights" in found.words


def test_a_method_that_looks_at_no_weight_is_said_to_hardly_change(
    note: jtviz.Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_place(trace: jtviz.Trace, row: int | None) -> dict[str, Tensor]:
        del row
        return {"encoder": torch.arange(len(trace.tokens["encoder"])).float()}

    monkeypatch.setitem(by_attention.RUN, "rollout", by_place)
    found = randomisation(note, "rollout", target="urgent")
    np.testing.assert_allclose(found.correlation, 1.0, atol=1e-12)
    assert found.hardly_changes
    assert found.words.startswith("rollout hardly changes when all weights are random")


def test_what_is_explained_stays_the_same(note: jtviz.Trace) -> None:
    # Left out, the target is the likeliest class of the trained model, whatever random ones prefer.
    found = randomisation(note, "saliency_l2")
    assert {one.score.target.name for one in found.attributions} == {"urgent"}
    named = randomisation(note, "saliency_l2", target="urgent")
    np.testing.assert_allclose(found.correlation, named.correlation, atol=1e-12)


@pytest.mark.parametrize("method", ["input_x_gradient", "deep_lift", "relevance"])
def test_the_readers_model_is_not_touched(method: str) -> None:
    model = FAMILIES["GPT-2"].build("sdpa").train()
    read = jtviz.hook(model).trace(inputs=FAMILIES["GPT-2"].inputs(1, "none"))
    before, chance = state(model), torch.random.get_rng_state()
    found = randomisation(read, method, target={"row": 8})
    after = state(model)
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1:] == after[1:]
    assert torch.equal(chance, torch.random.get_rng_state())
    assert len(found.attributions) == len(found.steps) == 5
    assert read.reading is not None
    assert read.reading.model is model


def test_the_same_seed_gives_the_same_weights(note: jtviz.Trace) -> None:
    one, again, other = (randomisation(note, "saliency_l2", seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.correlation, again.correlation)
    assert not np.array_equal(one.correlation, other.correlation)


def cascaded(case: Family) -> tuple[nn.Module, list[cascade.Step]]:
    model = case.build(case.implementations[0])
    read = jtviz.hook(model).trace(inputs=case.inputs(1, "none"))
    twin = copy.deepcopy(model)
    blocks = [path for side in read.tokens for path in read.block_paths(side)]
    return twin, cascade.steps_of(twin, blocks, partial(twin, **case.inputs(1, "none")))


@pytest.mark.parametrize("family", ["BERT", "ALBERT", "DistilBERT", "DeBERTa-v2", "GPT-2", "Llama", "Mixtral",
                                    "T5", "BART", "Marian"])  # fmt: skip
def test_every_weight_is_made_random_in_exactly_one_step_and_the_embedding_last(family: str) -> None:
    twin, steps = cascaded(FAMILIES[family])
    each = [id(weight) for step in steps for weight in step.weights]
    assert len(each) == len(set(each))
    assert set(each) == {id(p) for p in twin.parameters() if p.is_floating_point()}
    assert steps[-1].name == "embeddings"
    looked_up = {id(module.weight) for module in twin.modules() if isinstance(module, nn.Embedding)}
    assert looked_up & {id(weight) for weight in steps[-1].weights}
    # A block's weights are its own, and later blocks come first.
    numbers = [int(step.name.rpartition(".")[2]) for step in steps if step.name.rpartition(".")[2].isdigit()]
    sides = 1 if FAMILIES[family].kind == "text" else 2
    assert sum(later > earlier for earlier, later in itertools.pairwise(numbers)) == sides - 1
    for step in steps:
        if step.name not in {"output", "embeddings"} and not step.name.startswith("before "):
            own = {id(p) for p in twin.get_submodule(step.name).parameters()}
            assert {id(weight) for weight in step.weights} == own


def test_a_tied_output_is_made_random_before_the_embedding() -> None:
    case = replace(FAMILIES["GPT-2"], settings={**FAMILIES["GPT-2"].settings, "tie_word_embeddings": True})
    model = case.build("sdpa")
    assert model.lm_head.weight is model.transformer.wte.weight
    with torch.no_grad():
        tied = model(**case.inputs(1, "none")).logits
    twin: Any
    twin, steps = cascaded(case)
    with torch.no_grad():
        torch.testing.assert_close(twin(**case.inputs(1, "none")).logits, tied, atol=0, rtol=0)
    assert any(weight is twin.lm_head.weight for weight in steps[0].weights)
    assert any(weight is twin.transformer.wte.weight for weight in steps[-1].weights)
    cascade.shuffle(steps[0].weights, torch.Generator().manual_seed(0))
    assert torch.equal(twin.transformer.wte.weight, model.transformer.wte.weight)
    assert not torch.equal(twin.lm_head.weight, model.lm_head.weight)


def test_random_weights_are_the_trained_ones_in_another_order() -> None:
    weight = torch.randn(40, 30, generator=torch.Generator().manual_seed(1))
    mixed = weight.clone()
    cascade.shuffle([mixed], torch.Generator().manual_seed(0))
    assert torch.equal(mixed.flatten().sort().values, weight.flatten().sort().values)
    # Unrelated: within four spreads of no correlation.
    found = scipy.stats.pearsonr(mixed.flatten().numpy(), weight.flatten().numpy()).statistic
    assert abs(found) < 4 / np.sqrt(weight.numel())


def test_both_sides_are_made_random_from_the_translation_back_to_the_text() -> None:
    read = jtviz.demo.translator().trace("I like tea.")
    found = randomisation(read, "input_x_gradient", target="茶")
    assert found.steps == (
        "trained", "output", "transformer.decoder.layers.1", "transformer.decoder.layers.0",
        "before transformer.decoder.layers.0", "transformer.encoder.layers.1", "transformer.encoder.layers.0",
        "embeddings",
    )  # fmt: skip


def test_a_model_that_cannot_be_copied_is_said_to_be() -> None:
    class Uncopied(type(jtviz.demo.classifier().model)):  # type: ignore[misc]
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError

    hooked = jtviz.demo.classifier()
    model = copy.deepcopy(hooked.model)
    model.__class__ = Uncopied
    read = jtviz.hook(model, hooked.tokenizer).trace(NOTE)
    with pytest.raises(JtvizError, match="cannot be copied"):
        randomisation(read, "saliency_l2")


@pytest.mark.parametrize("wrong", [0, -1, "3", 1.5])
def test_draws_that_are_no_number_are_refused(note: jtviz.Trace, wrong: Any) -> None:
    with pytest.raises(JtvizError, match="draws= is a number of draws"):
        randomisation(note, draws=wrong)
