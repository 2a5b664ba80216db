"""Feed-forward units: activations against hooks on the model itself, and factors against scikit-learn."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import NMF
from torch import Tensor

import jtviz
from jtviz.analysis import activations, factorise, read, strongest_tokens, strongest_units
from jtviz.analysis.layers import factors
from jtviz.capture import JtvizError, OutOfRangeError, hook
from jtviz.capture.memory import fingerprint
from tests.unit.planted import Planted, tokenizer
from tests.zoo.families import FAMILIES

TEXTS = ["I like to drink tea.", "We went to the market with our friends.", "Where is the nearest station?"]
LAST = {"BERT": "output.dense", "GPT-2": "mlp.c_proj", "Llama": "down_proj"}


def caught(model: Any, inputs: dict[str, Any], end: str) -> list[Tensor]:
    """Return what goes into each module of a layer whose name ends so, `attention.output.dense` aside."""
    seen: list[Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, args: seen.append(args[0][0].detach()))
        for name, module in model.named_modules()
        if name.endswith(end) and "attention" not in name
    ]
    with torch.no_grad():
        model(**inputs)
    for one in hooks:
        one.remove()
    return seen


@pytest.mark.parametrize("family", LAST)
def test_activations_are_what_goes_into_the_last_linear_layer(family: str) -> None:
    case = FAMILIES[family]
    model, inputs = case.build("sdpa"), case.inputs(1, "none")
    wanted = caught(model, inputs, LAST[family])
    trace = hook(model).trace(inputs=inputs)
    before = fingerprint(model)
    for layer, one in enumerate(wanted):
        torch.testing.assert_close(activations(trace, None, layer), one, atol=1e-5, rtol=1e-4)
    assert fingerprint(model) == before


def test_activations_of_a_batch_are_those_of_the_example_that_is_shown() -> None:
    case = FAMILIES["GPT-2"]
    hooked = hook(case.build("sdpa"))
    inputs = {name: torch.cat([value, value.flip(1)]) for name, value in case.inputs(1, "none").items()}
    alone = hooked.trace(inputs={name: value[1:] for name, value in inputs.items()})
    together = hooked.trace(inputs=inputs, example=1)
    torch.testing.assert_close(activations(together), activations(alone), atol=1e-5, rtol=1e-4)


def test_the_strongest_units_are_those_of_the_largest_magnitude() -> None:
    trace = jtviz.demo.translator().trace(TEXTS[0])
    row = activations(trace, "decoder", 1)[2]
    found = strongest_units(trace, "decoder", 1, token=2, count=4)
    assert found.units == tuple(np.argsort(-row.abs().numpy(), kind="stable")[:4].tolist())
    assert found.values == tuple(row[list(found.units)].tolist())  # noqa: PD011 - not of pandas
    assert found.to_pandas()["unit"].to_list() == list(found.units)


def test_the_strongest_tokens_are_found_among_all_texts() -> None:
    hooked = jtviz.demo.translator()
    found = strongest_tokens(hooked, TEXTS, "encoder", 1, unit=11, count=5)
    every = []
    for number, text in enumerate(TEXTS):
        trace = hooked.trace(text)
        tokens = trace.tokens["encoder"]
        column = activations(trace, "encoder", 1)[:, 11].tolist()
        every += [(abs(v), v, number, i, tokens[i]) for i, v in enumerate(column) if not tokens.special[i]]
    every.sort(key=lambda row: (-row[0], row[2], row[3]))
    assert found.n == len(every)
    for one, (_, value, number, token, label) in zip(found.tokens, every, strict=False):
        assert (one.text, one.token, one.label) == (number, token, label)
        assert one.value == pytest.approx(value, abs=1e-6)
        assert one.sentence == TEXTS[number]
    assert len(found.to_pandas()) == 5


def test_a_unit_that_was_made_for_a_word_is_set_off_by_it() -> None:
    model = Planted()
    # Unit 0 of the planted block is relu(a + b).
    sums = model.embedding.weight[:, :2].detach().sum(1)
    most = int(sums.argmax())
    given = [f"w{i} w{(i + 7) % 160}" for i in range(0, 160, 2)]
    found = strongest_tokens(model, given, layer=2, unit=0, count=1, tokenizer=tokenizer())
    assert found.tokens[0].label == f"w{most}"
    assert found.tokens[0].value == pytest.approx(float(sums[most]), abs=1e-6)


def test_factors_are_those_of_scikit_learn_and_only_scaled() -> None:
    hooked = jtviz.demo.translator()
    found = factorise(read(hooked, TEXTS), "encoder", 1, components=4)
    table = torch.cat([activations(hooked.trace(text), "encoder", 1) for text in TEXTS]).clamp(min=0).numpy()
    model = NMF(4, init="nndsvda", max_iter=500, random_state=0)
    weights = model.fit_transform(table)
    ours = torch.cat(found.weights).numpy()
    np.testing.assert_allclose(ours @ found.components.numpy(), weights @ model.components_, atol=1e-3)
    np.testing.assert_allclose(ours, weights / weights.max(0), atol=1e-3)
    assert found.error == pytest.approx(
        np.linalg.norm(table - weights @ model.components_) / np.linalg.norm(table), abs=1e-3
    )
    assert [len(one) for one in found.weights] == [len(one) for one in found.tokens]
    assert float(ours.min()) >= 0
    assert ours.max(0) == pytest.approx(np.ones(4))
    frame = found.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["text", "token", "label", "c0", "c1", "c2", "c3"]
    assert len(frame) == len(table)


def test_more_components_leave_less_out() -> None:
    trace = jtviz.demo.translator().trace(TEXTS[1])
    errors = [factorise(trace, "encoder", 0, components=k).error for k in (1, 3, 6)]
    assert errors[0] > errors[1] > errors[2]


def test_what_is_not_there_is_answered_with_what_is() -> None:
    hooked = jtviz.demo.translator()
    trace = hooked.trace(TEXTS[0])
    with pytest.raises(
        OutOfRangeError, match="layer 2 of the encoder has no feed-forward here: choose from 0, 1"
    ):
        activations(trace, "encoder", 2)
    with pytest.raises(OutOfRangeError, match="token 99 is not there"):
        strongest_units(trace, "encoder", 0, token=99)
    with pytest.raises(
        OutOfRangeError, match="unit 512 is not there: layer 0 of the encoder has units 0 to 511"
    ):
        strongest_tokens(hooked, TEXTS, "encoder", 0, unit=512)
    with pytest.raises(JtvizError, match="components= is a number, 1 to"):
        factorise(trace, "encoder", 0, components=1000)
    with pytest.raises(JtvizError, match="count= is a number, at least 1"):
        strongest_units(trace, "encoder", count=0)
    with pytest.raises(JtvizError, match="no feed-forward units were found"):
        activations(jtviz.demo.induction().trace("abcabc"))


def test_activations_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factors, "LIMIT", 100)
    with pytest.raises(JtvizError, match="take more than"):
        factorise(jtviz.demo.translator().trace(TEXTS[0]), "encoder")


def test_without_scikit_learn_factors_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(JtvizError, match=r'pip install "jtviz\[layers\]"'):
        factorise(jtviz.demo.translator().trace(TEXTS[0]), "encoder")


def test_a_changed_model_is_said_not_run() -> None:
    model = Planted()
    trace = hook(model, tokenizer()).trace("w0 w1")
    with torch.no_grad():
        model.embedding.weight[0, 0] += 1
    with pytest.raises(JtvizError, match="changed since this trace: trace again"):
        activations(trace)
