"""From a data set to batches: what is read, what is padded, and what is refused.

The reference is the loss that models of `transformers` compute themselves, one example at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import jtviz
from jtviz.analysis.importance.examples import Examples, examples_of
from jtviz.analysis.importance.metrics import metric_named
from jtviz.capture import HookedTransformer, JtvizError, hook
from tests.unit.explaining import build, encoded, words
from tests.zoo.families import FAMILIES

TOLERANCE = 1e-5
TEXTS = [
    "the cat sat on the mat .",
    "a dog",
    "Ann lives in Rome , Ann Lee",
    "the big red rug was big",
    "cats ?",
]
MASKED = ["the [MASK] sat .", "Ann lives in [MASK] , Ann Lee is in", "a [MASK]"]


def each(
    hooked: HookedTransformer, found: Examples, metric: str = "loss", size: int = 3
) -> np.ndarray[Any, Any]:
    """Return the numbers of all examples, in the order of the data set."""
    out = np.full(len(found), np.nan)
    with torch.no_grad():
        for batch in found.batches(size):
            out[list(batch.indices)] = metric_named(metric).measure(hooked.model, batch).numpy()
    return out


def close(found: Any, wanted: Sequence[float]) -> None:
    assert np.std(wanted) > 100 * TOLERANCE  # equal numbers would not tell examples apart
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE, rtol=TOLERANCE)


def loss(model: Any, labels: Any, **inputs: Any) -> float:
    with torch.no_grad():
        return float(model(**inputs, labels=torch.as_tensor(labels)).loss)


def test_a_decoder_is_scored_as_it_scores_itself() -> None:
    model = build("GPT2", "LMHeadModel")
    tokenizer = words(with_marks=False)
    found = examples_of(hook(model, tokenizer), TEXTS[:4])
    ids = [tokenizer(text, return_tensors="pt")["input_ids"] for text in TEXTS[:4]]
    assert found.kind == "tokens"
    assert found.collator.padding == "padded"
    assert "own next tokens" in found.notes[0]
    close(each(hook(model, tokenizer), found), [loss(model, one, input_ids=one) for one in ids])


def test_a_continuation_alone_is_scored_where_one_is_given() -> None:
    model, tokenizer = build("GPT2", "LMHeadModel"), words(with_marks=False)
    hooked = hook(model, tokenizer)
    pairs = [("the cat", " sat on the mat"), ("Ann lives in", " Rome"), ("the big red rug", " was big")]
    wanted = []
    for text, label in pairs:
        ids = tokenizer(text + label, return_tensors="pt")["input_ids"]
        labels = ids.clone()
        labels[:, : len(text.split())] = -100
        wanted.append(loss(model, labels, input_ids=ids))
    close(each(hooked, examples_of(hooked, pairs)), wanted)


@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert"])
def test_a_classifier_is_scored_as_it_scores_itself(family: str) -> None:
    model = build(family, "ForSequenceClassification", num_labels=3)
    hooked = hook(model, words())
    labels = [0, 2, 1, 0, 2]
    found = examples_of(hooked, list(zip(TEXTS, labels, strict=True)))
    assert (found.kind, found.collator.padding, found.notes) == ("classes", "padded", ())
    wanted = [loss(model, [i], **encoded(model, text)) for text, i in zip(TEXTS, labels, strict=True)]
    close(each(hooked, found), wanted)


def test_masked_tokens_are_scored_as_the_model_scores_itself() -> None:
    model = build("Bert", "ForMaskedLM")
    hooked = hook(model, words())
    labels = ["cat", "Rome", "dog"]
    found = examples_of(hooked, list(zip(MASKED, labels, strict=True)))
    wanted, rows = [], []
    for text, word in zip(MASKED, labels, strict=True):
        given = encoded(model, text)
        number = words().convert_tokens_to_ids(word)
        behind = torch.where(given["input_ids"] == 4, number, -100)
        rows.append({name: value[0].tolist() for name, value in given.items()} | {"labels": behind})
        wanted.append(loss(model, behind, **given))
    assert found.kind == "masked"
    close(each(hooked, found), wanted)
    close(each(hooked, examples_of(hook(model), rows)), wanted)


def test_texts_without_masks_are_masked_here_and_there() -> None:
    model = build("Bert", "ForMaskedLM")
    found = examples_of(hook(model, words()), TEXTS)
    assert "every 7th token" in found.notes[0]
    for text, item in zip(TEXTS, found.items, strict=True):
        before, after = encoded(model, text)["input_ids"][0], item.inputs["input_ids"][0]
        changed = before.ne(after)
        assert changed.sum() == 1
        assert bool(after[changed].eq(4).all())
        wanted = torch.tensor(item.wanted)
        assert wanted[changed].tolist() == before[changed].tolist()
        assert bool(wanted[~changed].eq(-100).all())


@pytest.mark.parametrize("family", ["Bart", "Marian", "T5"])
def test_a_translator_is_scored_as_it_scores_itself(family: str) -> None:
    model = two_sides(family)
    hooked = hook(model, words())
    pairs = list(zip(TEXTS, reversed(TEXTS), strict=True))
    found = examples_of(hooked, pairs)
    assert (found.kind, found.collator.padding) == ("translation", "padded")
    tokenizer = words()
    given = [{n: v for n, v in encoded(model, text).items() if n != "token_type_ids"} for text, _ in pairs]
    labels = [tokenizer(text_target=text, return_tensors="pt")["input_ids"] for _, text in pairs]
    wanted = [loss(model, one, **inputs) for inputs, one in zip(given, labels, strict=True)]
    close(each(hooked, found), wanted)
    rows = [{**inputs, "labels": one} for inputs, one in zip(given, labels, strict=True)]
    close(each(hooked, examples_of(hooked, rows)), wanted)


def two_sides(family: str) -> Any:
    if family == "Bart":
        return build("Bart", "ForConditionalGeneration")
    import transformers

    from tests.unit.explaining import BART, IDS

    settings: dict[str, Any] = BART
    if family == "T5":
        settings = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2,
                    "decoder_start_token_id": 0, "initializer_factor": 3.0, **IDS}  # fmt: skip
    config = getattr(transformers, f"{family}Config")(**settings)
    name = "MarianMTModel" if family == "Marian" else "T5ForConditionalGeneration"
    torch.manual_seed(0)
    return getattr(transformers, name)(config).eval()


@pytest.mark.parametrize(("family", "head"), [("GPT2", "LMHeadModel"), ("Bert", "ForSequenceClassification")])
def test_numbers_do_not_depend_on_who_shares_a_batch_and_come_back_in_order(family: str, head: str) -> None:
    hooked = hook(build(family, head), words())
    found = examples_of(hooked, TEXTS)
    batches = found.batches(3)
    assert sorted(i for batch in batches for i in batch.indices) == [0, 1, 2, 3, 4]
    assert [len(batch) for batch in batches] == [3, 2]
    for metric in ("loss", "probability"):
        close(each(hooked, found, metric, size=5), list(each(hooked, found, metric, size=1)))


@pytest.mark.parametrize("family", ["BLOOM", "Falcon", "Mistral", "Gemma 2", "DeepSeek-V3", "Whisper"])
def test_padding_changes_no_number_of_any_family(family: str) -> None:
    chosen = FAMILIES[family]
    hooked = hook(chosen.build("eager"))
    rows: list[dict[str, Any]] = [{"input_ids": torch.randint(3, 60, (n,))} for n in (4, 9, 6)]
    if chosen.kind == "audio":
        rows = [{"input_features": torch.randn(8, 20), "decoder_input_ids": row["input_ids"]} for row in rows]
    found = examples_of(hooked, rows)
    assert [len(batch) for batch in found.batches()] == [3]
    close(each(hooked, found), list(each(hooked, found, size=1)))


def test_a_model_with_nan_is_refused() -> None:
    model = build("GPT2", "LMHeadModel")
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = torch.nan
    with pytest.raises(JtvizError, match="NaN"):
        examples_of(hook(model, words(with_marks=False)), TEXTS)


class Blind(nn.Module):
    """A classifier that sees its padding: the mean over all tokens."""

    def __init__(self, *, takes_a_batch: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, 6)
        self.classify = nn.Linear(6, 2)
        self.takes_a_batch = takes_a_batch

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        del attention_mask  # accepted, and not heeded
        if not self.takes_a_batch and len(input_ids) > 1:
            raise NotImplementedError
        logits: Tensor = self.classify(self.embedding(input_ids).mean(1))
        return logits


@pytest.mark.parametrize(
    ("takes_a_batch", "padding", "sizes"), [(True, "equal", {1, 2}), (False, "single", {1})]
)
def test_a_model_that_sees_padding_gets_none(*, takes_a_batch: bool, padding: str, sizes: set[int]) -> None:
    model = Blind(takes_a_batch=takes_a_batch).eval()
    rows = [{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": i % 2}
            for i, ids in enumerate([[1, 2, 3], [4, 5], [7, 8, 9], [3, 1, 4, 1]])]  # fmt: skip
    found = examples_of(hook(model), rows)
    assert found.collator.padding == padding
    assert {len(batch) for batch in found.batches()} == sizes
    wanted = [
        -float(model(torch.tensor([row["input_ids"]])).detach().log_softmax(-1)[0, row["labels"]])
        for row in rows
    ]
    close(each(hook(model), found), wanted)


def test_a_decoder_classifier_without_padding_reads_one_text_at_a_time() -> None:
    hooked = hook(build("GPT2", "ForSequenceClassification", pad_token_id=None), words())
    found = examples_of(hooked, [(text, i % 2) for i, text in enumerate(TEXTS)])
    assert found.collator.padding == "single"
    assert len(found.batches()) == len(TEXTS)
    each(hooked, found)


def test_the_embedded_induction_model_is_scored_by_its_next_tokens() -> None:
    hooked = jtviz.demo.induction()
    found = examples_of(hooked, ["k7Qm2xRtk7Qm2xRt", "abc", "zzaazzaazz"])
    assert (found.kind, found.collator.padding) == ("tokens", "padded")
    traced = [hooked.trace(text, output="loss").target for text in ("k7Qm2xRtk7Qm2xRt", "abc", "zzaazzaazz")]
    close(each(hooked, found), [one.value for one in traced if one is not None])


def test_the_embedded_classifier_reads_names_numbers_and_nothing() -> None:
    hooked = jtviz.demo.classifier()
    texts = ["Has a runny nose.", "Woman, 31. Crushing chest pain.", "A seizure. No fever. Lives alone."]
    named = examples_of(hooked, list(zip(texts, ["can wait", "urgent", "urgent"], strict=True)))
    numbered = examples_of(hooked, list(zip(texts, np.array([0, 1, 1]), strict=True)))
    wanted = [hooked.classify(t)[c] for t, c in zip(texts, ["can wait", "urgent", "urgent"], strict=True)]
    close(each(hooked, named, "probability"), wanted)
    close(each(hooked, numbered, "probability"), wanted)
    own = examples_of(hooked, texts)
    assert "intact model" in own.notes[0]
    assert each(hooked, own, "accuracy").tolist() == [1, 1, 1]


def test_the_embedded_translator_is_scored_against_a_reference_or_itself() -> None:
    hooked = jtviz.demo.translator()
    pairs = [
        ("I like tea.", "我喜欢茶。"),
        ("Where is the nearest station?", "最近的车站在哪里？"),
        ("Go.", "去。"),
    ]
    found = examples_of(hooked, pairs)
    assert (found.kind, found.collator.padding) == ("translation", "padded")
    traces = [hooked.trace(text, target_text=said, output="loss") for text, said in pairs]
    close(each(hooked, found), [trace.target.value for trace in traces if trace.target is not None])
    own = examples_of(hooked, [text for text, _ in pairs])
    assert "intact model" in own.notes[0]
    assert [item.reference for item in own.items] == [hooked.generate(text, num_beams=1) for text, _ in pairs]


def test_lists_frames_and_mappings_are_read_alike() -> None:
    hooked = jtviz.demo.classifier()
    texts, labels = ["Has a runny nose.", "A seizure.", "Is calm."], [0, 1, 0]
    forms: list[Any] = [
        list(zip(texts, labels, strict=True)),
        pd.DataFrame({"text": texts, "label": labels}),
        pd.DataFrame({"source": texts, "target": [float(i) for i in labels]}),
        ({"text": text, "label": i, "idx": 7} for text, i in zip(texts, labels, strict=True)),
        [{"input_ids": ids, "label": i} for ids, i in zip(map(ids_of, texts), labels, strict=True)],
    ]
    first, *others = [each(hooked, examples_of(hooked, form)) for form in forms]
    assert len(others) == 4
    for other in others:
        close(other, list(first))


def ids_of(text: str) -> list[int]:
    ids: list[int] = jtviz.demo.classifier().tokenizer.encode(text).ids
    return ids


def test_the_model_is_as_it_was() -> None:
    model = build("Bert", "ForSequenceClassification").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    examples_of(hook(model, words()), TEXTS)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


CLASSIFIER: list[tuple[Any, str]] = [
    ("a text", "a data set is a list of texts"),
    (["one"], "at least 2 examples, and this one has 1"),
    (["a cat", " "], "example 1: text is empty"),
    (["a cat", 7], "example 1: .* and this is int"),
    ([("a", 0), ("b", "nonsense")], "example 1: there is no class 'nonsense': choose from 'LABEL_0'"),
    ([("a", 0), ("b", 2)], "example 1: there is no class 2"),
    ([("a", 0), ("b", None)], "example 1 has no label, and example 0 has"),
    (pd.DataFrame({"sentence": ["a", "b"]}), "a data frame needs a column 'text'"),
    (["a", "the " * 60], "example 1: the text has 62 tokens"),
    (["a", {"input_ids": [1, 2]}], "example 1 is not of the kind of example 0"),
    (
        [{"input_ids": [1]}, {"input_ids": [1], "token_type_ids": [0]}],
        "has 'token_type_ids' and the other has not",
    ),
    ([{"input_ids": [1]}, {"input_ids": [[1], [2]]}], "example 1: 'input_ids' has 2 examples in it"),
    ([{"input_ids": [1]}, {"input_ids": "cat"}], "example 1: 'input_ids' is no tensor"),
    ([{"sentence": [1]}, {"sentence": [1]}], "example 0: BertForSequenceClassification takes no 'sentence'"),
]


@pytest.mark.parametrize(("dataset", "said"), CLASSIFIER)
def test_what_is_wrong_with_a_data_set_is_said_before_the_model_runs_on_it(dataset: Any, said: str) -> None:
    with pytest.raises(JtvizError, match=said):
        examples_of(hook(build("Bert", "ForSequenceClassification"), words()), dataset)


GOOD = {"input_ids": [1, 5], "labels": [-100, 5]}
MASKS: list[tuple[Any, str]] = [
    ([("the [MASK]", "cat"), ("a [MASK] [MASK]", "dog")], "example 1: there are 2 masks for one label"),
    ([("the [MASK]", "cat"), ("a dog", "dog")], "example 1: a label is the token behind a mask"),
    ([{"input_ids": [1, 5]}, {"input_ids": [1, 4]}], "example 0: a model of masked tokens needs labels"),
    ([GOOD, {"input_ids": [1, 5], "labels": [5]}], "example 1: there are 1 labels"),
    ([GOOD, {"input_ids": [1, 5], "labels": [-100, -100]}], "example 1: .*nothing"),
    ([GOOD, {"input_ids": [1, 5], "labels": [-100, -1]}], "example 1: -1 is not"),
    ([("the [MASK]", "cat"), ("a [MASK]", 7)], "example 1: this model predicts tokens, and 7 is none"),
]  # fmt: skip


@pytest.mark.parametrize(("dataset", "said"), MASKS)
def test_what_is_wrong_with_masks_and_labels_is_said(dataset: Any, said: str) -> None:
    with pytest.raises(JtvizError, match=said):
        examples_of(hook(build("Bert", "ForMaskedLM"), words()), dataset)


def test_a_text_of_one_token_has_nothing_to_predict() -> None:
    with pytest.raises(JtvizError, match="example 1: there is nothing to score"):
        examples_of(hook(build("GPT2", "LMHeadModel"), words(with_marks=False)), ["a cat", "a"])


def test_a_batch_has_at_least_one_example() -> None:
    found = examples_of(jtviz.demo.classifier(), ["Is calm.", "Lives alone."])
    with pytest.raises(JtvizError, match="at least 1"):
        found.batches(0)
