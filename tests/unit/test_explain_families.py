"""Each head of each family is told apart, and explained by its own number."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers

import jtviz
from tests.zoo.families import FAMILIES as ZOO

from .explaining import (
    CONTEXT,
    PROBABILITY,
    TEXT,
    VOCABULARY,
    encoded,
    target,
    words,
)

HEADS: list[tuple[str, str, str]] = [
    *((family, "SequenceClassification", "sequence-classification") for family in (
        "BERT", "RoBERTa", "DistilBERT", "ALBERT", "ELECTRA", "DeBERTa-v2", "ModernBERT", "XLNet", "GPT-2",
        "Llama", "Qwen3", "T5", "BART", "mBART",
    )),
    *((family, "QuestionAnswering", "question-answering") for family in (
        "RoBERTa", "ALBERT", "DeBERTa-v2", "GPT-2", "Llama", "T5", "BART",
    )),
    *((family, "TokenClassification", "token-classification") for family in (
        "RoBERTa", "DistilBERT", "ALBERT", "DeBERTa-v2", "ModernBERT", "XLNet", "GPT-2", "Llama", "T5",
    )),
    *((family, "MaskedLM", "masked-word") for family in ("RoBERTa", "DistilBERT", "DeBERTa-v2", "ALBERT")),
    ("Llama", "CausalLM", "next-token"),
    ("Qwen3", "CausalLM", "next-token"),
    ("T5", "ConditionalGeneration", "translation"),
    ("Marian", "MTModel", "translation"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "head", "task"), HEADS)
def test_the_task_is_found_and_the_number_is_the_models_own(family: str, head: str, task: str) -> None:
    settings = copy.deepcopy(ZOO[family].settings) | {"vocab_size": len(VOCABULARY), "num_labels": 2}
    name = ZOO[family].config.removesuffix("Config") + ("" if head == "MTModel" else "For") + head
    torch.manual_seed(0)
    made = getattr(transformers, ZOO[family].config)(**settings)
    own = [n for n in (name, f"{name}Simple") if hasattr(transformers, n)][-1]
    model = getattr(transformers, own)(made).eval()
    of_task: dict[str, dict[str, Any]] = {
        "question-answering": {"context": CONTEXT, "target": "red mat"},
        "token-classification": {"target": 3},
        "translation": {"target_text": "a dog ran", "target": {"row": 2}},
    }
    text = "the [MASK] sat" if task == "masked-word" else TEXT
    found = jtviz.explain(model, text, tokenizer=words(), n_steps=5, trust=False, **of_task.get(task, {}))
    given = encoded(model, text, CONTEXT) if task == "question-answering" else encoded(model, text)
    if task == "translation":
        begin = model.config.decoder_start_token_id
        given["decoder_input_ids"] = torch.tensor([[begin, *words()("a dog ran")["input_ids"][:-1]]])
    with torch.no_grad():
        output = model(**given)
    logits = output.start_logits if task == "question-answering" else output.logits
    row = target(found).row
    if task not in {"sequence-classification", "question-answering"}:
        logits = logits[:, row]
    index = target(found).index
    assert index is not None
    assert found.task == task
    assert target(found).value == pytest.approx(float(logits[0, index]), abs=PROBABILITY)
    assert found.probability == pytest.approx(float(logits[0].softmax(-1)[index]), abs=PROBABILITY)
    assert sum(abs(score) for _, score in found.attributions) > 0
