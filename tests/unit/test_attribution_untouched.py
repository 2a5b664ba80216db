"""Attribution shares what a model holds with its twin, and leaves its hooks and attributes alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import jtviz
from jtviz.analysis.attribution import Attribution, attribute
from tests.unit.explaining import TEXT, build, words

COPIED: list[object] = []


class Counting:
    """A hook of the reader's, with something large in it."""

    def __init__(self) -> None:
        self.calls, self.held = 0, torch.zeros(1000)

    def __call__(self, *_: Any) -> None:
        self.calls += 1

    def __deepcopy__(self, memo: dict[int, Any]) -> Counting:
        COPIED.append(self)
        return self


class Loud(Tensor):
    """A tensor that notes when it is copied."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Loud:
        COPIED.append(self)
        return self


def explained(model: nn.Module) -> Attribution:
    trace = jtviz.hook(model, words()).trace(TEXT)
    return attribute(trace, "integrated_gradients", target=1, n_steps=4, raise_steps=False)


def test_a_hook_that_is_an_object_is_run_and_not_copied() -> None:
    model = build("Bert", "ForSequenceClassification")
    plain = explained(copy.deepcopy(model)).scores["encoder"]
    hooks = [Counting(), Counting()]
    model.classifier.register_forward_hook(hooks[0])
    model.bert.encoder.layer[0].register_forward_pre_hook(hooks[1])
    trace = jtviz.hook(model, words()).trace(TEXT)
    before = [one.calls for one in hooks]
    COPIED.clear()
    found = attribute(trace, "integrated_gradients", target=1, n_steps=4, raise_steps=False)
    assert all(one.calls > calls for one, calls in zip(hooks, before, strict=True))
    assert list(model.classifier._forward_hooks.values()) == [hooks[0]]
    assert not COPIED
    # Equal but for rounding of float32.
    np.testing.assert_allclose(found.scores["encoder"], plain, atol=1e-6, rtol=0)


def test_the_weights_have_no_gradient_and_the_model_its_own_hooks_after_deep_lift() -> None:
    model = build("Bert", "ForSequenceClassification")
    hook = Counting()
    model.classifier.register_forward_hook(hook)
    trace = jtviz.hook(model, words()).trace(TEXT)
    attribute(trace, "deep_lift", target=1)
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()].count(0) == (
        len(list(model.modules())) - 1
    )
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_tensors_in_plain_attributes_are_not_copied() -> None:
    model = build("Bert", "ForSequenceClassification")
    plain = explained(copy.deepcopy(model)).scores["encoder"]
    model.table = torch.zeros(1000).as_subclass(Loud)
    model.bert.tables = {"one": [torch.zeros(10).as_subclass(Loud)]}
    COPIED.clear()
    np.testing.assert_allclose(explained(model).scores["encoder"], plain, atol=1e-6, rtol=0)
    assert not COPIED


def test_a_method_of_the_model_as_a_hook_works_on_the_twin() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = build("Bert", "ForSequenceClassification")
            self.shift = nn.Parameter(torch.ones(2))
            self.model.classifier.register_forward_hook(self.shifted)

        def shifted(self, _: nn.Module, __: Any, output: Tensor) -> Tensor:
            return output + self.shift

        def forward(self, **given: Tensor) -> Any:
            return self.model(**given)

    model = Shifted()
    given = dict(words()(TEXT, return_tensors="pt"))
    trace = jtviz.hook(model).trace(inputs=given)

    def number(output: Any) -> Tensor:
        return output.logits[0, 1]  # type: ignore[no-any-return]

    found = attribute(trace, "input_x_gradient", target=number)
    with torch.no_grad():
        wanted = model(**given).logits[0, 1]
    np.testing.assert_allclose(found.score.value, wanted, atol=1e-5, rtol=0)
    assert model.shift.grad is None
