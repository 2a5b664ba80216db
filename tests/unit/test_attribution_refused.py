"""What goes wrong with an attribution is said before any gradient, and leaves the model as it was found."""

from __future__ import annotations

import copy
import functools
import gc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

import jtviz
from jtviz.analysis.attribution import METHODS, How, attribute, opened
from jtviz.capture import HookedTransformer, JtvizError, OutOfRangeError, hook, load
from jtviz.capture.memory import fingerprint
from tests.unit import explaining
from tests.unit.test_capture_untouched import state
from tests.zoo.families import FAMILIES

NOTE = "Man, 60. Has crushing chest pain."
FEW: dict[str, Any] = {"n_steps": 8, "n_samples": 3, "raise_steps": False}


class Unique:
    """What a model can hold that cannot be copied (a lock, a file, a connection)."""

    def __deepcopy__(self, memo: Any) -> NoReturn:
        raise TypeError("cannot be copied")


def watched(*, copyable: bool = True) -> tuple[HookedTransformer, list[int], list[int]]:
    """Return a copy of the embedded classifier, its forward passes so far, and at which one to interrupt."""
    hooked = jtviz.demo.classifier()
    model = copy.deepcopy(hooked.model)
    if not copyable:
        object.__setattr__(model, "connection", Unique())
    passes: list[int] = []
    at: list[int] = []

    def count(*_: Any) -> None:
        passes.append(1)
        if len(passes) in at:
            torch.rand(3)
            raise KeyboardInterrupt

    model.encoder.register_forward_hook(count)  # type: ignore[union-attr]
    return hook(model, hooked.tokenizer), passes, at


@pytest.mark.parametrize("copyable", [True, False])
@pytest.mark.parametrize("after", [1, 2, 4])
@pytest.mark.parametrize("method", list(METHODS))
def test_an_interruption_leaves_the_model_as_found(method: str, after: int, *, copyable: bool) -> None:
    hooked, passes, at = watched(copyable=copyable)
    hooked.model.train()
    before = state(hooked.model)
    numbers = repr(np.random.get_state())  # noqa: NPY002 - Captum draws from it
    trace = hooked.trace(NOTE)
    wanted = attribute(trace, method, **FEW).scores["encoder"]
    last = len(passes)
    attribute(trace, method, **FEW)
    at.append(len(passes) + min(after, len(passes) - last))
    with pytest.raises(KeyboardInterrupt):
        attribute(trace, method, **FEW)
    assert state(hooked.model) == before
    assert repr(np.random.get_state()) == numbers  # noqa: NPY002 - Captum draws from it
    np.testing.assert_allclose(attribute(trace, method, **FEW).scores["encoder"], wanted, atol=1e-6, rtol=0)


ABLATION, SMOOTH = {"method": "feature_ablation"}, {"method": "smooth_grad"}
BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"method": "integrated_gradient"}, JtvizError, "did you mean 'integrated_gradients'?"),
    ({"method": "Captum"}, JtvizError, "no method 'Captum'; choose from 'saliency_l1'"),
    ({"baseline": "mask"}, JtvizError, "has no mask token: choose another baseline, 'pad', 'mask', 'zero'"),
    ({"baseline": "Man, 60."}, JtvizError, "the baseline has 5 tokens and the text has 10"),
    ({"baseline": 0}, JtvizError, "baseline= is one of 'pad', 'mask', 'zero', 'mean' or a text"),
    ({"n_steps": 0}, JtvizError, "n_steps= is a number, at least 1, not 0"),
    ({"n_steps": 2.5}, JtvizError, "n_steps= is a number, at least 1, not 2.5"),
    ({"n_samples": -1}, JtvizError, "n_samples= is a number, at least 1, not -1"),
    ({"window": 0, "method": "occlusion"}, JtvizError, "window= is a number, at least 1"),
    ({"memory": 0}, JtvizError, "memory= is a number, at least 1"),
    ({"noise": -0.1, **SMOOTH}, JtvizError, "noise= is a share of the range of the vectors, at least 0"),
    ({"noise": float("nan"), **SMOOTH}, JtvizError, "noise= is a share of the range of the vectors"),
    ({"unit": "paragraph", **ABLATION}, JtvizError, "unit= is one of 'token', 'word', 'sentence'"),
    ({"unit": [(3, 99)], **ABLATION}, JtvizError, "unit .3, 99. is not there: tokens are 0 to 9"),
    ({"unit": [(1, 3), (2, 4)], **ABLATION}, JtvizError, "unit .2, 4. overlaps another"),
    ({"output": "probability"}, JtvizError, "output= is one of 'logit', 'log_prob', 'prob', 'loss'"),
    ({"target": "soon"}, OutOfRangeError, "class 'soon' is not there: choose from can wait, urgent"),
    ({"target": "urgent", "against": 9}, OutOfRangeError, "class 9 is not there"),
]


@pytest.mark.parametrize(("options", "error", "said"), BAD)
def test_a_wrong_request_gets_one_sentence_before_any_gradient(
    options: dict[str, Any], error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked, passes, _ = watched()
    trace = hooked.trace(NOTE)
    before, count = state(hooked.model), len(passes)

    def refuse(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("a gradient was computed")

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    with pytest.raises(error, match=said) as caught:
        attribute(trace, **options)
    assert str(caught.value).count(". ") == 0
    assert len(passes) <= count + 1, "the text itself is read again at most"
    assert state(hooked.model) == before


def spoilt(value: float) -> tuple[HookedTransformer, Any]:
    """Return a copy of the embedded classifier with a weight of its last layer that is no number."""
    hooked = jtviz.demo.classifier()
    model: Any = copy.deepcopy(hooked.model)
    with torch.no_grad():
        model.classify.bias[1] = value
    return hook(model, hooked.tokenizer), model


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("options", [{}, {"target": "urgent"}, {"output": "prob"}, {"method": "rollout"}])
def test_an_output_that_is_no_number_is_refused_before_any_attribution(
    options: dict[str, Any], value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked, model = spoilt(value)

    def refuse(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("a gradient was computed")

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    for ask in (
        lambda: attribute(hooked.trace(NOTE), **options),
        lambda: jtviz.explain(hooked, NOTE, **options),
    ):
        with pytest.raises(JtvizError, match="the output of the model has NaN or infinity") as caught:
            ask()
        assert str(caught.value).count(". ") == 0
    assert fingerprint(model) == fingerprint(model)


def test_a_model_with_nan_is_not_said_to_have_changed() -> None:
    case = FAMILIES["BERT"]
    model = case.build("sdpa")
    with torch.no_grad():
        # Of a token that is not read, so that the output is a number.
        next(iter(model.embeddings.word_embeddings.parameters()))[0, 0] = float("nan")
    model.scale = float("nan")
    model.scales = [1.0, float("nan")]
    before = fingerprint(model)
    assert fingerprint(model) == before
    trace = hook(model).trace(inputs=case.inputs(1, "none"))
    found = attribute(trace, "input_x_gradient", target=lambda out: out[0][0, 0, 0])
    assert np.isfinite(found.scores["encoder"]).all()
    with torch.no_grad():
        next(iter(model.embeddings.word_embeddings.parameters())).data[0, 0] = 1.0
    assert fingerprint(model) != before, "what changed is still told"


def test_a_baseline_without_a_number_is_refused_and_no_step_is_added() -> None:
    hooked = jtviz.demo.classifier()
    hooked = hook(copy.deepcopy(hooked.model), hooked.tokenizer)
    trace = hooked.trace(NOTE)
    with opened(trace) as session:
        wanted = session.score("urgent", "logit")
        pad = session.baseline("pad")
        pad.vectors["source"].fill_(float("nan"))
        with pytest.raises(JtvizError, match="is nan for the baseline 'pad': choose another, baseline="):
            session.attribute(wanted, How(METHODS["integrated_gradients"], "pad"))


def without_gradient(kind: str) -> Any:
    """Return a classifier that no gradient goes through."""
    model: Any = explaining.build("Bert", "ForSequenceClassification", num_labels=3)
    if kind == "quantized":
        quantize: Any = torch.ao.quantization.quantize_dynamic
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return quantize(model, {torch.nn.Linear}, dtype=torch.qint8)
    state = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}[kind]

    class Closed(type(model)):  # type: ignore[misc]
        @functools.wraps(type(model).forward)
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            with state():
                return super().forward(*args, **kwargs)

    model.__class__ = Closed
    return model


@pytest.mark.parametrize("kind", ["quantized", "no_grad", "inference_mode"])
def test_without_gradients_the_methods_that_need_none_still_work(kind: str) -> None:
    if kind == "quantized" and "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this build of PyTorch does not quantize")
    model = without_gradient(kind)
    found: dict[str, Any] = {}
    for name, method in METHODS.items():
        ask = functools.partial(
            jtviz.explain, model, explaining.TEXT, tokenizer=explaining.words(), method=name, trust=False,
            n_samples=3, baseline="zero",
        )  # fmt: skip
        if method.kind in {"gradient", "layer"} or name in {"relevance", "attention_x_gradient"}:
            with pytest.raises(JtvizError, match="needs gradients, and none reach the tokens") as caught:
                ask()
            assert str(caught.value).count(". ") == 0
        else:
            found[name] = ask()
    assert set(found) == {"occlusion", "feature_ablation", "shapley_sampling", "rollout", "attention_flow"}
    assert np.ptp([score for _, score in found["feature_ablation"].attributions]) > 1e-4
    if kind != "quantized":
        # The same model with gradients says the same.
        open_model = explaining.build("Bert", "ForSequenceClassification", num_labels=3)
        for name in ("feature_ablation", "occlusion", "rollout"):
            wanted: Any = jtviz.explain(
                open_model, explaining.TEXT, tokenizer=explaining.words(), method=name, trust=False,
                baseline="zero",
            )  # fmt: skip
            np.testing.assert_allclose(
                [score for _, score in found[name].attributions],
                [score for _, score in wanted.attributions],
                atol=1e-5,
            )


def test_a_trace_without_a_model_says_that_it_has_none(tmp_path: Path) -> None:
    jtviz.demo.classifier().trace(NOTE).save(tmp_path / "trace.safetensors")
    drawn = jtviz.from_arrays([[[[1.0, 0.0], [0.5, 0.5]]]])
    for trace in (load(tmp_path / "trace.safetensors"), drawn):
        with pytest.raises(JtvizError, match="has no model to attribute with: trace it anew"):
            attribute(trace)


def changed_weight(model: Any) -> None:
    with torch.no_grad():
        model.classify.weight.mul_(2)


def other_hook(model: Any) -> None:
    model.encoder.register_forward_hook(lambda *_: None)


@pytest.mark.parametrize("change", [changed_weight, other_hook])
def test_a_model_that_changed_since_the_trace_is_refused(change: Callable[[Any], None]) -> None:
    hooked, passes, _ = watched()
    trace = hooked.trace(NOTE)
    change(hooked.model)
    count = len(passes)
    with pytest.raises(JtvizError, match="the model was changed since this trace: trace again"):
        attribute(trace)
    assert len(passes) == count


def test_a_model_that_is_gone_is_refused() -> None:
    hooked, _, _ = watched()
    trace = hooked.trace(NOTE)
    del hooked
    gc.collect()
    with pytest.raises(JtvizError, match="the model of this trace is gone: keep it, and trace again"):
        attribute(trace)


def test_inputs_that_were_changed_in_place_are_not_read_again() -> None:
    hooked, _, _ = watched()
    ids = torch.tensor([[1, 5, 6, 7]])
    trace = hooked.trace(inputs={"input_ids": ids})
    attribute(trace, "input_x_gradient")
    ids[0, 1] = 8
    with pytest.raises(JtvizError, match="inputs of this trace were changed in place since: trace again"):
        attribute(trace, "input_x_gradient")


def test_equal_inputs_are_read_anew_where_those_read_first_were_changed() -> None:
    hooked, _, _ = watched()
    ids = torch.tensor([[1, 5, 6, 7]])
    first = hooked.trace(inputs={"input_ids": ids})
    ids[0, 1] = 8
    again = hooked.trace(inputs={"input_ids": torch.tensor([[1, 5, 6, 7]])}, target=0)
    assert again.reading is not first.reading
    assert first.logits is not None
    assert again.logits is not None
    torch.testing.assert_close(again.logits, first.logits)


def test_attention_is_traced_again_within_the_readers_own_limit() -> None:
    family = FAMILIES["BERT"]
    model = family.build("eager")
    hooked = hook(model)
    trace = hooked.trace(inputs=family.inputs(1, "none"))
    assert trace.reading is not None
    hooked.pattern_limit = 1
    with pytest.raises(JtvizError, match="pattern_limit"):
        hooked.trace(inputs=family.inputs(1, "right"))
    # What was read before keeps the limit that it was read with.
    assert trace.reading.traced(model).stages == trace.stages


def test_several_texts_at_once_are_refused() -> None:
    hooked, _, _ = watched()
    trace = hooked.trace(inputs={"input_ids": torch.tensor([[1, 5, 6, 7], [1, 6, 5, 8]])})
    with pytest.raises(JtvizError, match="one example at a time"):
        attribute(trace)
