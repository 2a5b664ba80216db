"""What a classifier says of a text, and what a model with beams writes: Hugging Face's own answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jtviz.capture import JtvizError, hook

from .test_capture_huggingface import BART, BERT, build, transformers, words

TEXT = "I like to drink tea."
TOKENIZER = words()
LABELS = {0: "negative", 1: "neutral", 2: "positive"}


def bert(**settings: Any) -> Any:
    config = transformers.BertConfig(**BERT, id2label=LABELS, **settings)
    return transformers.BertForSequenceClassification(config).eval()


def own_logits(model: Any) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(**TOKENIZER(TEXT, return_tensors="pt")).logits[0]
    return logits


def test_probabilities_are_the_softmax_of_the_models_own_logits() -> None:
    model = bert().train()
    said = hook(model, TOKENIZER).classify(TEXT)
    assert model.training
    model.eval()
    expected = dict(zip(LABELS.values(), own_logits(model).softmax(-1).tolist(), strict=True))
    assert said == pytest.approx(expected, abs=1e-6)


def test_classes_that_do_not_exclude_each_other_have_probabilities_of_their_own() -> None:
    model = bert(problem_type="multi_label_classification")
    expected = dict(zip(LABELS.values(), own_logits(model).sigmoid().tolist(), strict=True))
    assert hook(model, TOKENIZER).classify(TEXT) == pytest.approx(expected, abs=1e-6)


def test_the_trace_of_a_classifier_keeps_its_logits() -> None:
    model = bert()
    logits = hook(model, TOKENIZER).trace(TEXT).logits
    assert logits is not None
    torch.testing.assert_close(logits, own_logits(model), atol=1e-5, rtol=0)


def test_an_encoder_decoder_can_classify() -> None:
    model = transformers.BartForSequenceClassification(
        transformers.BartConfig(**BART, id2label=LABELS)
    ).eval()
    expected = own_logits(model).softmax(-1).tolist()
    assert list(hook(model, TOKENIZER).classify(TEXT).values()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("family", ["Bert", "GPT2"])
def test_a_model_that_tells_no_classes_apart_says_so(family: str) -> None:
    hooked = hook(build(family), TOKENIZER)
    with pytest.raises(JtvizError, match="tells no classes apart"):
        hooked.classify(TEXT)
    with pytest.raises(JtvizError, match="text is empty"):
        hooked.classify(" ")


def test_numbers_and_namesakes_are_no_classes() -> None:
    with pytest.raises(JtvizError, match="tells no classes apart"):
        hook(bert(problem_type="regression"), TOKENIZER).classify(TEXT)
    model = bert()
    model.config.id2label = {0: "a", 1: "b", 2: "a"}
    with pytest.raises(JtvizError, match="have the same name"):
        hook(model, TOKENIZER).classify(TEXT)


def test_a_translator_is_no_classifier() -> None:
    import jtviz

    with pytest.raises(JtvizError, match="Seq2SeqTransformer tells no classes apart"):
        jtviz.demo.translator().classify("I like tea.")


def test_the_start_of_an_answer_is_not_taken_for_classes() -> None:
    model = transformers.BertForQuestionAnswering(transformers.BertConfig(**BERT)).eval()
    assert hook(model).trace(inputs={"input_ids": torch.tensor([[5, 6]])}).logits is None


def test_a_hidden_state_is_never_taken_for_classes() -> None:
    class Pooled(nn.Module):
        """As wide as there are labels, but it returns one vector a token."""

        def __init__(self) -> None:
            super().__init__()
            self.config = SimpleNamespace(labels=["a", "b", "c", "d"])
            self.layer = nn.TransformerEncoderLayer(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x)
            return out

    assert hook(Pooled()).trace(inputs=(torch.randn(1, 3, 4),)).logits is None


@pytest.mark.parametrize("beams", [None, 1, 3])
def test_beams_are_those_of_the_models_own_generate(beams: int | None) -> None:
    model = build("Bart")
    # As it is set, where nothing is said.
    model.generation_config.num_beams = 2
    own = {} if beams is None else {"num_beams": beams}
    ids = model.generate(**TOKENIZER(TEXT, return_tensors="pt"), max_new_tokens=6, do_sample=False, **own)
    expected = TOKENIZER.decode(ids[0], skip_special_tokens=True).strip()
    assert hook(model, TOKENIZER).generate(TEXT, max_new_tokens=6, num_beams=beams) == expected


def test_beams_that_cannot_be_are_refused() -> None:
    import jtviz

    with pytest.raises(JtvizError, match="AttentionOnlyTransformer cannot search with beams"):
        jtviz.demo.induction().generate("abcab", num_beams=2)
    with pytest.raises(JtvizError, match="at least 1, not 0"):
        jtviz.demo.translator().generate("I like tea.", num_beams=0)
