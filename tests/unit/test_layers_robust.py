"""The view of layers with wrong choices, models that compute nonsense, and other threads.

The references: what the Selection and the kernel's widgets were before, and the sentences themselves.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Self

import pytest
import torch
import traitlets

import jtviz
from jtviz.analysis import (
    cka,
    direct_logit_attribution,
    factorise,
    features,
    logit_lens,
    read,
    similarity,
    strongest_by_unit,
    trajectories,
)
from jtviz.analysis.attribution.progress import Progress
from jtviz.analysis.layers import texts
from jtviz.capture import JtvizError, hook
from jtviz.views import LayersPanels
from tests.unit.test_layers_neurons import asked
from tests.zoo.families import FAMILIES

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "order": ({"order": "size"}, "order is one of 'variance', 'clusters', 'model', not 'size'"),
    "stage": ({"stage": "middle"}, "stage is one of"),
    "marking": ({"marking": "yes"}, "marking is True or False, not 'yes'"),
    "components": ({"components": 99}, "components is a number, 1 to 16, not 99"),
    "unit": ({"unit": -1}, "unit is a number, at least 0, not -1"),
    "answer": ({"answer": 5}, "answer is a token or a class in words, not 5"),
    "tuned": ({"tuned": 3}, "tuned is a TunedLens, not 3"),
    "hidden_layer": ({"hidden_layer": "a"}, "hidden_layer is a number, at least 0, not 'a'"),
    "truth": ({"hidden_layer": True}, "hidden_layer is a number, at least 0, not True"),
    "texts": ({"texts": "a text"}, "texts are a list of strings or a data frame, not str"),
    "iterator": ({"texts": iter(["a text"])}, "texts= is a list or a data frame"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_before_the_model_runs(name: str) -> None:
    settings, sentence = WRONG[name]
    model = FAMILIES["GPT-2"].build("sdpa")
    runs: list[int] = []
    model.register_forward_hook(lambda *_: runs.append(1))
    with pytest.raises(ValueError, match=sentence):
        jtviz.show_layers(model, inputs={"input_ids": torch.tensor([[3, 4, 5]])}, **settings)
    assert not runs


def test_a_layer_that_the_side_does_not_have_is_named_as_it_was_asked_for() -> None:
    trace = hook(FAMILIES["BART"].build("sdpa")).trace(inputs=FAMILIES["BART"].inputs(1, "none"))
    before = LayersPanels(trace, stage="decoder", layer=1)
    with pytest.raises(
        traitlets.TraitError, match="no layer 3 of the stream of the encoder; choose from 0 to 2"
    ):
        LayersPanels(trace, stage="encoder", hidden_layer=3)
    assert (before.selection.stage, before.selection.layer) == ("decoder", 1)
    assert LayersPanels(trace, stage="decoder", hidden_layer=3).layer == 2


def test_a_layer_of_the_deeper_side_becomes_the_last_of_the_other() -> None:
    trace = hook(FAMILIES["BART"].build("sdpa")).trace(inputs=FAMILIES["BART"].inputs(1, "none"))
    panels = LayersPanels(trace, stage="encoder", hidden_layer=2)
    panels.hidden_layer = 3
    assert (panels.hidden_layer, panels.layer) == (2, 1)
    assert panels.similarity.layer == 2
    assert panels.picture() is not None
    with panels.hold_trait_notifications():
        panels.stage, panels.hidden_layer = "decoder", 3
    assert (panels.side, panels.hidden_layer, panels.layer) == ("decoder", 3, 2)


def not_a_number() -> tuple[Any, jtviz.Trace]:
    """Return a model one of whose weights is NaN, and a trace."""
    model = FAMILIES["GPT-2"].build("sdpa")
    with torch.no_grad():
        model.transformer.h[-1].mlp.c_proj.bias[0] = torch.nan
    return model, hook(model).trace(inputs=FAMILIES["GPT-2"].inputs(1, "none"))


def test_weights_that_are_no_numbers_are_said() -> None:
    model, trace = not_a_number()
    for look in (logit_lens, direct_logit_attribution):
        with pytest.raises(JtvizError, match="check the model's weights"):
            look(trace)
    panels = LayersPanels(trace)
    reply, _ = asked(panels, op="nearest", layer=2, token=0)
    assert "check the model's weights" in reply["error"]
    reply, _ = asked(panels, op="nearest", layer=1, token=0)
    assert reply["ok"]
    assert panels.picture() is not None
    del model


def test_a_model_without_a_head_has_no_logits_to_take_apart() -> None:
    model = FAMILIES["BERT"].build("sdpa")
    trace = hook(model).trace(inputs=FAMILIES["BERT"].inputs(1, "none"))
    with pytest.raises(
        JtvizError, match="BertModel returns no logits to take apart: open the model with its head"
    ):
        direct_logit_attribution(trace)


def test_training_ends_with_the_view() -> None:
    view = jtviz.show_layers(jtviz.demo.translator(), "I like tea.")
    asked(view.panels, op="lens_train", texts="He likes tea.", steps=1_000_000)
    trainer = view.panels._trainer
    assert trainer is not None
    view.close()
    trainer.join(30)
    assert not trainer.is_alive()
    assert view.panels.tuned is None


def test_a_question_of_a_strange_kind_has_one_sentence() -> None:
    panels = LayersPanels(jtviz.demo.translator().trace("I like tea."))
    assert asked(panels, op="features", side=["a"])[0]["error"] == "there is no side ['a'] in this trace."


def test_what_is_no_trace_is_said() -> None:
    looks: list[Any] = [features, similarity, trajectories, logit_lens, direct_logit_attribution]
    for look in looks:
        with pytest.raises(JtvizError, match="give a trace, such as"):
            look(5)


def test_traces_of_different_models_are_not_mixed() -> None:
    model = FAMILIES["GPT-2"].build("sdpa")
    other = hook(model).trace(inputs=FAMILIES["GPT-2"].inputs(1, "none"))
    trace = jtviz.demo.translator().trace("I like tea.")
    for look in (cka, factorise):
        with pytest.raises(JtvizError, match="traces of different models"):
            look([trace, other])


def test_nothing_to_look_at_is_said() -> None:
    translator = jtviz.demo.translator()
    with pytest.raises(JtvizError, match=r"layers=\[\] is empty: choose from 0 to 2"):
        cka(translator.trace("I like tea."), layers=[])
    with pytest.raises(JtvizError, match="there are no texts"):
        strongest_by_unit(translator, iter([]))
    with pytest.raises(JtvizError, match=r"layer=\[\] is empty"):
        jtviz.probe(jtviz.demo.classifier(), ["a", "b", "c", "d"], [0, 1, 0, 1], layer=[], cv=2)
    with pytest.raises(JtvizError, match="seed= is a number"):
        factorise(translator.trace("I like tea."), seed=-1)


def test_texts_of_unknown_number_have_a_bar_once_they_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Any] = []

    class Bar(Progress):
        def __enter__(self) -> Self:
            bars.append([self._shown])
            return self

        def advance(self, count: int) -> None:
            bars[-1].append(count)

    monkeypatch.setattr(texts, "Progress", Bar)
    hooked = jtviz.demo.induction()
    list(read(hooked, iter(["abc"] * 3)))
    assert not bars
    times = iter(range(100))
    monkeypatch.setattr(texts, "time", SimpleNamespace(perf_counter=lambda: float(next(times))))
    list(read(hooked, iter(["abc"] * 4)))
    assert bars == [[True, 1, 1, 1, 1]]
