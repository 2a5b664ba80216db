"""Metrics: one number for each example, and BLEU of the whole.

The references are sacrebleu's corpus BLEU (1e-9) and numbers written out here (1e-6).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import sacrebleu
import torch
from sacrebleu.metrics.bleu import BLEU
from torch import Tensor

import jtviz
from jtviz.analysis.importance.examples import examples_of
from jtviz.analysis.importance.metrics import METRICS, metric_named
from jtviz.capture import JtvizError, hook
from tests.unit.explaining import build, words

PAIRS = [
    ("I like to drink tea.", "我喜欢喝茶。"),
    ("Where is the nearest station?", "最近的车站在哪里？"),
    ("He is my friend.", "他不是我的老师。"),
    ("Go.", "走吧。"),
]
TEXTS = ["the cat sat on the mat .", "a dog", "Ann lives in Rome , Ann Lee"]


def test_bleu_is_sacrebleus_corpus_bleu_of_what_the_model_writes() -> None:
    hooked = jtviz.demo.translator()
    metric = metric_named("bleu")
    found = examples_of(hooked, PAIRS)
    metric.check(found)
    each = np.zeros((len(PAIRS), 10))
    for batch in found.batches(3):
        each[list(batch.indices)] = metric.measure(hooked.model, batch).numpy()
    said = [hooked.generate(text, num_beams=1) for text, _ in PAIRS]
    wanted = sacrebleu.corpus_bleu(said, [[answer for _, answer in PAIRS]], tokenize="zh")
    assert 10 < wanted.score < 90
    assert metric.total(each) == pytest.approx(wanted.score, abs=1e-9)
    first, again = metric.standard_error(each), metric.standard_error(each)
    assert first == again
    # sacrebleu's own bootstrap gives 1.96 standard errors.
    bleu = BLEU(tokenize="zh")
    spread = bleu.corpus_score(said, [[answer for _, answer in PAIRS]], n_bootstrap=1000)
    assert first == pytest.approx(float(spread._ci) / 1.96, rel=0.25)


@pytest.mark.parametrize("family", ["Bart"])
def test_a_batch_is_translated_as_each_text_is_alone(family: str) -> None:
    hooked = hook(build(family, "ForConditionalGeneration", num_beams=1), words())
    found = examples_of(hooked, list(zip(TEXTS, TEXTS, strict=True)))
    written = {
        i: text
        for batch in found.batches()
        for i, text in zip(batch.indices, batch.write(hooked.model), strict=True)
    }
    assert [written[i] for i in range(3)] == [hooked.generate(text, num_beams=1) for text in TEXTS]
    assert len(set(written.values())) > 1
    (batch,) = found.batches()
    metric = metric_named("bleu")
    in_order = [written[i] for i in batch.indices]
    wanted = sacrebleu.corpus_bleu(in_order, [[TEXTS[i] for i in batch.indices]])
    assert metric.total(metric.per_example(batch, in_order).numpy()) == pytest.approx(wanted.score, abs=1e-9)


def test_accuracy_and_probability_are_means_over_tokens() -> None:
    model = build("GPT2", "LMHeadModel")
    hooked = hook(model, words(with_marks=False))
    (batch,) = examples_of(hooked, TEXTS).batches()
    with torch.no_grad():
        output = batch.run(model)
    for metric in ("accuracy", "probability", "loss"):
        numbers = metric_named(metric).per_example(batch, output)
        for number, item in zip(numbers, batch.items, strict=True):
            ids = item.inputs["input_ids"]
            log_prob = model(ids).logits.detach().log_softmax(-1)[0, :-1]
            own = log_prob.gather(1, ids[0, 1:, None])
            wanted = {
                "accuracy": log_prob.argmax(-1).eq(ids[0, 1:]).float().mean(),
                "probability": own.exp().mean(),
                "loss": -own.mean(),
            }[metric]
            assert float(number) == pytest.approx(float(wanted), abs=1e-6)


def test_loss_and_probability_can_be_differentiated() -> None:
    model = build("Bert", "ForSequenceClassification")
    (batch,) = examples_of(hook(model, words()), TEXTS).batches()
    for name, metric in METRICS.items():
        if metric.can_be_differentiated:
            number = metric.per_example(batch, batch.run(model)).sum()
            (gradient,) = torch.autograd.grad(number, [model.classifier.weight])
            assert float(gradient.abs().max()) > 0, name


def test_a_function_gets_each_examples_own_logits_and_what_was_given() -> None:
    model = build("GPT2", "LMHeadModel")
    (batch,) = examples_of(hook(model, words(with_marks=False)), TEXTS).batches()
    seen: list[tuple[int, Any]] = []

    def last_largest(logits: Tensor, example: Mapping[str, Any]) -> Tensor:
        seen.append((len(logits), example["text"]))
        return logits[-1].max()

    metric = metric_named(last_largest)
    numbers = metric.per_example(batch, batch.run(model))
    assert metric.name == "last_largest"
    assert numbers.requires_grad
    assert seen == [(len(TEXTS[i].split()), TEXTS[i]) for i in batch.indices]
    alone = [model(item.inputs["input_ids"]).logits[0, -1].max().item() for item in batch.items]
    np.testing.assert_allclose(numbers.detach(), alone, atol=1e-5)


def test_a_function_scores_what_no_metric_knows() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=1)
    found = examples_of(hook(model, words()), TEXTS)
    assert found.kind == "other"
    with pytest.raises(JtvizError, match="needs logits of classes or tokens"):
        metric_named("loss").check(found)
    metric = metric_named(lambda logits, _: logits.item())
    metric.check(found)
    for batch in found.batches():
        expected = [model(**item.inputs).logits.item() for item in batch.items]
        np.testing.assert_allclose(metric.measure(model, batch), expected, atol=1e-5)


def test_mean_and_standard_error_are_those_of_the_examples() -> None:
    each = np.array([1.0, 2.0, 4.0, 9.0])
    metric = metric_named("loss")
    assert metric.total(each) == pytest.approx(4)
    assert metric.standard_error(each) == pytest.approx(np.std(each, ddof=1) / 2)
    assert metric.is_loss
    assert not metric_named("accuracy").is_loss
    assert metric_named(metric) is metric


def test_what_no_metric_is_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JtvizError, match="did you mean 'accuracy'"):
        metric_named("acuracy")
    with pytest.raises(JtvizError, match="choose from 'loss'"):
        metric_named("xyz")
    with pytest.raises(JtvizError, match="not int"):
        metric_named(3)  # type: ignore[arg-type]
    (batch,) = examples_of(jtviz.demo.classifier(), ["Is calm.", "Lives alone."]).batches()
    with pytest.raises(JtvizError, match=r"example \d: metric '<lambda>' returned no number"):
        metric_named(lambda logits, _: logits).per_example(batch, torch.zeros(2, 2))
    with pytest.raises(JtvizError, match="is of translations"):
        metric_named("bleu").check(examples_of(jtviz.demo.classifier(), ["Is calm.", "Lives alone."]))
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(JtvizError, match="pip install 'jtviz.prune.'"):
        metric_named("bleu")
