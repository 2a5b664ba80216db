"""Attention between words, and one weight taken apart, against sums by hand."""

from __future__ import annotations

import math

import pytest
import torch

import jtviz
from jtviz.analysis import by_words, products
from jtviz.analysis import words as module
from jtviz.capture import JtvizError, OutOfRangeError, hook
from tests.zoo.families import FAMILIES

NAMES = ["<s>", "▁in", "ter", "est", "▁in", "▁茶", "室", "."]
WORDS = [[0], [1, 2, 3], [4], [5], [6], [7]]


@pytest.mark.parametrize("at_once", [1 << 22, 40])
def test_words_sum_over_keys_and_average_over_queries(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "_SCORES", at_once)
    pattern = torch.rand(2, 3, 8, 8).softmax(-1)
    trace = jtviz.from_arrays(pattern, NAMES)
    found = by_words(trace, trace.stages[0], layer=1)
    assert found.keys == ("<s>", "interest", "in", "茶", "室", ".")
    for head in range(3):
        for i, rows in enumerate(WORDS):
            for j, cols in enumerate(WORDS):
                wanted = float(pattern[1, head][rows][:, cols].sum(1).mean())
                assert float(found.weights[head, i, j]) == pytest.approx(wanted, abs=1e-6)
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(3, 6))
    one = by_words(trace, trace.stages[0], layer=1, head=2)
    torch.testing.assert_close(one.weights, found.weights[2])


def test_words_of_two_sides_are_each_sides_own() -> None:
    trace = jtviz.hook(jtviz.demo.translator()).trace("I like bookshops.")
    found = by_words(trace, "cross", layer=0, head=0)
    assert found.weights.shape == (len(found.queries), len(found.keys))
    assert "bookshops" in found.keys


@pytest.mark.parametrize("family", ["GPT-2", "Llama", "T5", "Mistral"])
def test_a_weight_is_the_softmax_of_what_adds_up(family: str) -> None:
    case = FAMILIES[family]
    trace = hook(case.build("sdpa")).trace(inputs=case.inputs(1, "none"))
    stage = trace.stages[-1]
    query, keys = 4, range(trace.site(stage, 1).keys)
    row = [products(trace, stage, layer=1, head=1, query=query, key=key) for key in keys]
    for found in row:
        assert found.score == pytest.approx(float(found.products.sum()) * found.scale + found.added, abs=1e-5)
        assert found.weight == pytest.approx(math.exp(found.score - found.log_sum_exp), abs=1e-5)
    wanted = torch.tensor([found.score for found in row]).softmax(-1)
    torch.testing.assert_close(trace.attention(stage, layer=1, head=1, rows=query), wanted, atol=1e-5, rtol=0)


def test_bad_questions_are_refused_in_one_sentence() -> None:
    trace = hook(jtviz.demo.translator()).trace("I like tea.")
    with pytest.raises(OutOfRangeError, match="key 5 is not there: they are 0 to 4"):
        products(trace, "cross", layer=0, head=0, query=0, key=5)
    written = jtviz.from_arrays(torch.eye(3).expand(1, 1, 3, 3), list("abc"))
    with pytest.raises(JtvizError, match="were not kept, since its model wrote its attention out"):
        products(written, "decoder", layer=0, head=0, query=0, key=0)
