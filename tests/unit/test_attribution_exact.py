"""Attributions against what can be computed exactly: closed forms, enumeration, networkx's maximum flow."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

import jtviz
from jtviz.analysis import rollout
from jtviz.analysis.attribution import METHODS, attribute
from jtviz.analysis.through import joint_rollout
from tests.unit import attribution_by_hand as by_hand

NOTE = "Man, 60. Has crushing chest pain. Denies a sore throat."
SUMS = [name for name, method in METHODS.items() if method.is_complete]


class Bag(nn.Module):
    """A linear bag of words: every token looks at all tokens alike, and a class adds up their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(labels=("good", "bad"))
        self.words, self.classify = nn.Embedding(20, 8), nn.Linear(8, 2)

    def forward(self, ids: Tensor) -> Tensor:
        value = self.words(ids)[:, None]
        mean = scaled_dot_product_attention(torch.zeros_like(value), torch.zeros_like(value), value)
        logits: Tensor = self.classify(mean[:, 0, 0])
        return logits


@pytest.mark.parametrize("baseline", ["zero", "mean"])
@pytest.mark.parametrize(
    "method", ["input_x_gradient", "integrated_gradients", "gradient_shap", "deep_lift", "shapley_sampling",
               "feature_ablation"],
)  # fmt: skip
def test_of_a_linear_bag_of_words_it_is_the_closed_form(method: str, baseline: str) -> None:
    model = Bag().double().eval()
    ids = torch.tensor([[3, 7, 7, 11, 5]])
    absent = model.words.weight.mean(0) if baseline == "mean" and method != "input_x_gradient" else 0
    wanted = (model.words(ids[0]) - absent) @ model.classify.weight[1] / ids.numel()
    trace = jtviz.hook(model).trace(inputs=(ids,))
    found = attribute(trace, method, target="bad", baseline=baseline)
    (scores,) = found.scores.values()
    # Captum adds up Shapley values in single precision.
    np.testing.assert_allclose(scores, wanted.detach(), atol=1e-6 if "shapley" in method else 1e-9, rtol=0)
    assert scores[1] == pytest.approx(scores[2], abs=1e-6), "a token that is there twice counts twice"
    assert abs(wanted).max() > 0.01


@pytest.mark.parametrize("name", ["classifier", "translator"])
@pytest.mark.parametrize("method", SUMS)
def test_what_a_sum_is_off_by_is_that_of_the_models_own_numbers(method: str, name: str) -> None:
    trace = by_hand.double(name).trace(NOTE if name == "classifier" else "I like to drink tea.")
    options: dict[str, Any] = {"output": "log_prob", "baseline": "pad", "raise_steps": False}
    found = attribute(trace, method, n_steps=400 if method == "integrated_gradients" else 10, **options)
    case = opened(name, trace, found.score.target)
    text, absent = (case.number(*vectors).item() for vectors in (case.vectors, case.baselines))
    assert found.score.value == pytest.approx(text, abs=1e-9)
    assert found.baseline_value == pytest.approx(absent, abs=1e-9)
    if found.delta is None:
        # Of two sides a layer holds only what flows through one of them.
        assert found.by_layer is not None
        assert name == "translator"
        return
    sums = [scores.sum() for scores in (found.by_layer or found.scores).values()]
    if found.by_layer is not None:
        sums = [max(found.by_layer["encoder"].sum(1), key=lambda total: abs(total - text + absent))]
    assert found.delta == pytest.approx(sum(sums) - (text - absent), abs=1e-6)
    if method == "integrated_gradients":
        # Gradients jump where the path crosses a kink of ReLU, and quadrature errs by 1 / n_steps there.
        assert abs(found.delta) < 1 / 400 * abs(text - absent)
    if method == "shapley_sampling":
        assert abs(found.delta) < 1e-4


def opened(name: str, trace: Any, target: Any) -> by_hand.ByHand:
    model = by_hand.double(name).model
    if name == "classifier":
        return by_hand.of_class(model, trace.tokens["encoder"].ids, target.index)
    sides = [trace.tokens[side] for side in ("encoder", "decoder")]
    return by_hand.of_token(model, sides[0].ids, sides[1].ids, sides[0].special, target.row, target.index)


@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_integrated_gradients_of_a_smooth_model_sum_to_the_difference(baseline: str) -> None:
    model = by_hand.random_bert()
    ids = torch.randint(3, 60, (1, 8))
    found = attribute(jtviz.hook(model).trace(inputs={"input_ids": ids}), target=1, baseline=baseline)
    case = by_hand.of_bert(model, ids, 1)
    own, zero = case.vectors[0], torch.zeros_like(case.vectors[0])
    absent = model.get_input_embeddings().weight.mean(0).expand_as(own) if baseline == "mean" else zero
    difference = (case.number(own) - case.number(absent)).item()
    assert abs(difference) > 0.1
    assert found.scores["encoder"].sum() == pytest.approx(difference, abs=1e-4)


def test_steps_are_raised_until_the_sum_is_right_and_the_result_says_so() -> None:
    trace = by_hand.double("translator").trace("I like to drink tea.")
    few = attribute(trace, n_steps=2, raise_steps=False)
    assert few.relative_delta is not None
    assert few.relative_delta > 0.05
    assert not few.is_complete
    assert "off by" in few.notes[-1]
    more = attribute(trace, n_steps=2)
    assert more.is_complete
    assert more.n_steps is not None
    assert more.n_steps > 2
    assert f"{more.n_steps} steps instead of 2" in more.notes[0]


@pytest.mark.parametrize("window", [1, 2, 3])
def test_occlusion_is_the_mean_of_the_differences_of_a_tokens_windows(window: int) -> None:
    trace = by_hand.double("classifier").trace(NOTE)
    found = attribute(trace, "occlusion", target="urgent", output="log_prob", window=window)
    case = opened("classifier", trace, found.score.target)
    (own,), (absent,) = case.vectors, case.baselines
    lost: list[list[float]] = [[] for _ in range(own.shape[1])]
    for start in range(own.shape[1] - window + 1):
        changed = own.clone()
        changed[:, start : start + window] = absent[:, start : start + window]
        for token in range(start, start + window):
            lost[token].append((case.number(own) - case.number(changed)).item())
    wanted = [sum(each) / len(each) for each in lost]
    np.testing.assert_allclose(found.scores["encoder"], wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("unit", ["token", "word", "sentence", [(1, 3), (5, 9)]])
def test_ablation_is_what_is_lost_without_a_unit_shared_among_its_tokens(unit: Any) -> None:
    trace = by_hand.double("classifier").trace(NOTE)
    found = attribute(trace, "feature_ablation", target="urgent", output="log_prob", unit=unit)
    case = opened("classifier", trace, found.score.target)
    (own,), (absent,) = case.vectors, case.baselines
    tokens = trace.tokens["encoder"]
    # Sentences by hand: the note has three, and [CLS] is apart.
    ends = [i for i, token in enumerate(tokens) if token == "."]
    sentences = [(0, 1), *itertools.pairwise([1, *(end + 1 for end in ends)])]
    spans = sentences if unit == "sentence" else unit if isinstance(unit, list) else []
    single = set(range(len(tokens))) - {i for a, b in spans for i in range(a, b)}
    for start, stop in [*spans, *((i, i + 1) for i in single)]:
        changed = own.clone()
        changed[:, start:stop] = absent[:, start:stop]
        each = (case.number(own) - case.number(changed)).item() / (stop - start)
        np.testing.assert_allclose(found.scores["encoder"][start:stop], each, atol=1e-6, rtol=0)


def test_shapley_values_are_those_of_all_orders_within_the_error_of_a_sample() -> None:
    trace = by_hand.double("classifier").trace("Man has deep burns.")
    found = attribute(trace, "shapley_sampling", target="urgent", output="log_prob", n_samples=300)
    case = opened("classifier", trace, found.score.target)
    (own,), (absent,) = case.vectors, case.baselines
    count = own.shape[1]
    assert count == 6

    def value(present: frozenset[int]) -> float:
        kept = torch.tensor([i in present for i in range(count)])[:, None]
        return case.number(torch.where(kept, own, absent)).item()

    values = {
        frozenset(some): value(frozenset(some))
        for n in range(count + 1)
        for some in itertools.combinations(range(count), n)
    }
    gains = np.zeros((math.factorial(count), count))
    for number, order in enumerate(itertools.permutations(range(count))):
        for place, token in enumerate(order):
            gains[number, token] = values[frozenset(order[: place + 1])] - values[frozenset(order[:place])]
    exact, error = gains.mean(0), gains.std(0) / math.sqrt(300)
    difference = values[frozenset(range(count))] - values[frozenset()]
    assert exact.sum() == pytest.approx(difference, abs=1e-9)
    assert found.scores["encoder"].sum() == pytest.approx(difference, abs=1e-4), (
        "efficiency, also of a sample"
    )
    assert (abs(found.scores["encoder"] - exact) <= 4 * error + 1e-5).all()
    assert abs(exact).max() > 10 * error.max(), "a sample that could be anything would prove nothing"


@pytest.mark.parametrize(("name", "text"), [("classifier", "Has deep burns."), ("translator", "I like tea.")])
def test_attention_flow_is_networkx_maximum_flow(name: str, text: str) -> None:
    trace = by_hand.double(name).trace(text)
    found = attribute(trace, "attention_flow")
    joint = joint_rollout(trace)
    graph = nx.DiGraph()
    for level, mix in enumerate(joint.mixes):
        for above, below in itertools.product(range(len(mix)), repeat=2):
            graph.add_edge((level + 1, above), (level, below), capacity=float(mix[above, below]))
    side = "decoder" if name == "translator" else "encoder"
    top = (len(joint.mixes), joint.place(side, found.score.target.row or 0))
    for part, (start, stop) in joint.sides.items():
        wanted = [nx.maximum_flow_value(graph, top, (0, token)) for token in range(start, stop)]
        np.testing.assert_allclose(found.scores[part], wanted, atol=1e-6, rtol=0)
        assert max(wanted) > 0.01


def test_joint_rollout_of_one_side_is_rollout() -> None:
    for name, stage, text in (("classifier", "encoder", NOTE), ("induction", "decoder", "abcabc")):
        trace = getattr(jtviz.demo, name)().trace(text)
        torch.testing.assert_close(joint_rollout(trace).rolled, rollout(trace, stage), atol=1e-6, rtol=0)


def test_joint_rollout_of_two_sides_of_two_tokens_by_hand() -> None:
    encoder = [[0.5, 0.5], [0.2, 0.8]]
    decoder = [[1.0, 0.0], [0.4, 0.6]]
    cross = [[0.9, 0.1], [0.3, 0.7]]
    trace = jtviz.from_arrays({"encoder": [[encoder]], "decoder": [[decoder]], "cross": [[cross]]})
    joint = joint_rollout(trace)
    # Encoder rows are (A + I) / 2; decoder rows are half of that of the decoder and half of what cross
    # attention looks at in the encoder: 0.5 * (0.9 * 0.75 + 0.1 * 0.10) = 0.3425, and so on.
    wanted = torch.tensor([
        [0.75, 0.25, 0.0, 0.0],
        [0.10, 0.90, 0.0, 0.0],
        [0.3425, 0.1575, 0.5, 0.0],
        [0.1475, 0.3525, 0.1, 0.4],
    ])  # fmt: skip
    assert joint.sides == {"encoder": (0, 2), "decoder": (2, 4)}
    torch.testing.assert_close(joint.rolled, wanted, atol=1e-6, rtol=0)


def test_rows_of_joint_rollout_sum_to_one() -> None:
    joint = joint_rollout(jtviz.demo.translator().trace("I like to drink tea."))
    torch.testing.assert_close(joint.rolled.sum(-1), torch.ones(len(joint.rolled)), atol=1e-5, rtol=0)
    assert joint.rolled.min() >= 0


def test_attention_times_gradient_is_autograds_through_eager() -> None:
    model = by_hand.random_bert("eager")
    ids = torch.randint(3, 60, (1, 8))
    output = model(input_ids=ids, output_attentions=True)
    gradients = torch.autograd.grad(output.logits[0, 2], output.attentions)
    wanted = sum((a * g)[0].sum((0, 1)).detach() for a, g in zip(output.attentions, gradients, strict=True))
    found = attribute(jtviz.hook(model).trace(inputs={"input_ids": ids}), "attention_x_gradient", target=2)
    np.testing.assert_allclose(found.scores["encoder"], wanted, atol=1e-5, rtol=0)
    assert abs(wanted).max() > 0.01
