"""Every task of `jtviz.explain` gives what Captum gives by hand, on the right number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from captum import attr
from torch import Tensor

import jtviz
from jtviz.analysis.explain.entities import entities_of
from jtviz.capture import JtvizError
from jtviz.tokens import Tokens

from .explaining import (
    CONTEXT,
    KEPT,
    OUTPUTS,
    PROBABILITY,
    QUESTION,
    TEXT,
    build,
    by_hand,
    chance_of,
    compared,
    encoded,
    logit_of,
    place_of,
    scaled,
    target,
    words,
)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert"])
def test_a_class_is_attributed_as_captum_does_by_hand(family: str, output: str) -> None:
    model = build(family, "ForSequenceClassification", num_labels=3)
    found = jtviz.explain(model, TEXT, tokenizer=words(), target=2, output=output, trust=False)
    given = encoded(model, TEXT)
    logits = model(**given).logits[0].detach()
    steps = found.parts[0].n_steps
    compared(found, by_hand(model, given, lambda out: scaled(out.logits, output)[:, 2], steps, KEPT))
    assert (found.task, found.names, target(found).name) == (
        "sequence-classification",
        ("LABEL_2",),
        "LABEL_2",
    )
    assert target(found).value == pytest.approx(float(scaled(logits, output)[2]), abs=PROBABILITY)
    assert found.probability == pytest.approx(float(logits.softmax(-1)[2]), abs=PROBABILITY)
    assert found.baseline == "pad"
    best = int(logits.argmax())
    assert found.prediction == f"LABEL_{best} ({float(logits.softmax(-1)[best]):.1%})"


def test_what_is_predicted_is_explained_where_no_target_is_named() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    found = jtviz.explain(model, TEXT, tokenizer=words(), trust=False)
    assert target(found).index == int(model(**encoded(model, TEXT)).logits.argmax())
    several = jtviz.explain(model, TEXT, tokenizer=words(), target=[0, "LABEL_1"], trust=False)
    assert several.names == ("LABEL_0", "LABEL_1")


def test_one_class_against_another_is_the_difference_of_their_attributions() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    given = encoded(model, TEXT)
    found = jtviz.explain(model, TEXT, tokenizer=words(), target=0, against=2, trust=False)
    steps = found.parts[0].n_steps
    compared(found, by_hand(model, given, lambda out: out.logits[:, 0] - out.logits[:, 2], steps, KEPT))
    assert found.names == ("LABEL_0 − LABEL_2",)


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
def test_a_pair_of_texts_is_read_as_the_tokenizer_reads_two(family: str) -> None:
    model = build(family, "ForSequenceClassification", num_labels=2)
    found = jtviz.explain(model, (QUESTION, CONTEXT), tokenizer=words(), target=1, trust=False)
    given = encoded(model, QUESTION, CONTEXT)
    assert found.traces[0].tokens["encoder"].ids == tuple(given["input_ids"][0].tolist())
    compared(found, by_hand(model, given, lambda out: out.logits[:, 1], found.parts[0].n_steps, KEPT))
    assert found.task == "sentence-pair"
    assert found.text == (QUESTION, CONTEXT)
    pieces = [text for text, _ in found.attributions]
    assert pieces.count("[SEP]") == 2
    assert dict(found.by_word())["cats"] == pytest.approx(
        sum(score for text, score in found.attributions if text in {"cat", "s"})
    )
    probability = model(**given).logits[0].detach().softmax(-1)[1]
    assert found.probability == pytest.approx(float(probability), abs=PROBABILITY)


def test_labels_that_do_not_exclude_each_other_have_a_probability_each() -> None:
    labels = {0: "calm", 1: "urgent", 2: "long"}
    model = build(
        "Bert", "ForSequenceClassification", id2label=labels, problem_type="multi_label_classification"
    )
    given = encoded(model, TEXT)
    chances = model(**given).logits[0].detach().sigmoid()
    for output in ("prob", "log_prob"):
        found = jtviz.explain(
            model, TEXT, tokenizer=words(), target=["urgent", "calm"], output=output, trust=False
        )
        assert (found.task, found.names) == ("multi-label", ("urgent", "calm"))
        for part, index in enumerate((1, 0)):
            steps = found[part].parts[0].n_steps
            compared(found, by_hand(model, given, chance_of(index, output), steps, KEPT), part)
            assert found[part].probability == pytest.approx(float(chances[index]), abs=PROBABILITY)
    own = jtviz.explain(model, TEXT, tokenizer=words(), trust=False)
    likely = [labels[i] for i in range(3) if chances[i] > 0.5]
    assert own.names == tuple(likely or [labels[int(chances.argmax())]])


def test_a_number_that_is_predicted_is_explained_and_has_no_probability() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=1, problem_type="regression")
    given = encoded(model, TEXT)
    found = jtviz.explain(model, TEXT, tokenizer=words(), trust=False)
    compared(found, by_hand(model, given, lambda out: out.logits[:, 0], found.parts[0].n_steps, KEPT))
    assert found.probability is None
    with pytest.raises(JtvizError, match="predicts a number and no probability"):
        jtviz.explain(model, TEXT, tokenizer=words(), output="prob", trust=False)


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
def test_labels_never_trained_on_are_explained_by_entailment(family: str) -> None:
    names = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    model = build(family, "ForSequenceClassification", id2label=names)
    labels = ["cat", "dog", "mat"]
    found = jtviz.explain(
        model,
        TEXT,
        tokenizer=words(),
        labels=labels,
        hypothesis="This is {} .",
        output="log_prob",
        trust=False,
    )
    assert (found.task, found.names) == ("zero-shot", tuple(labels))
    logits = []
    for part, label in enumerate(labels):
        given = encoded(model, TEXT, f"This is {label} .")
        steps = found[part].parts[0].n_steps
        compared(
            found, by_hand(model, given, lambda out: scaled(out.logits, "log_prob")[:, 2], steps, KEPT), part
        )
        own = model(**given).logits[0].detach()
        logits.append(float(own[2]))
        assert found[part].probability == pytest.approx(float(own.softmax(-1)[2]), abs=PROBABILITY)
        assert target(found[part]).name == f"ENTAILMENT of “{label}”"
    shares = torch.tensor(logits).softmax(-1)
    assert found.prediction == f"{labels[int(shares.argmax())]} ({float(shares.max()):.1%})"
    one = jtviz.explain(model, TEXT, tokenizer=words(), labels=labels, target="dog", trust=False)
    assert one.names == ("dog",)


@pytest.mark.parametrize("family", ["Bert", "DistilBert"])
def test_an_answer_is_explained_by_its_start_and_its_end(family: str) -> None:
    model = build(family, "ForQuestionAnswering")
    found = jtviz.explain(model, QUESTION, context=CONTEXT, tokenizer=words(), output="log_prob", trust=False)
    given = encoded(model, QUESTION, CONTEXT)
    with torch.no_grad():
        output = model(**given)
    ids = given["input_ids"][0].tolist()
    first = ids.index(2) + 1
    sums = {
        (i, j): float(output.start_logits[0, i] + output.end_logits[0, j])
        for i in range(first, len(ids) - 1)
        for j in range(i, len(ids) - 1)
    }
    start, end = max(sums, key=lambda span: sums[span])
    assert (found.task, found.names) == ("question-answering", ("start", "end"))
    assert (target(found["start"]).index, target(found["end"]).index) == (start, end)
    for part, (field, place) in enumerate((("start_logits", start), ("end_logits", end))):
        wanted = by_hand(model, given, place_of(field, place), found[part].parts[0].n_steps, KEPT)
        compared(found, wanted, part)
        chance = float(getattr(output, field)[0].softmax(-1)[place])
        assert found[part].probability == pytest.approx(chance, abs=PROBABILITY)
    named = jtviz.explain(model, (QUESTION, CONTEXT), tokenizer=words(), target="red mat", trust=False)
    shown = words().convert_ids_to_tokens(ids)
    assert shown[target(named["start"]).index] == "red"
    assert shown[target(named["end"]).index] == "mat"
    assert (target(named["start"]).index or 0) > first  # in the context, not in the question


def test_each_entity_is_explained_by_the_label_of_its_first_token() -> None:
    labels = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
    text = "Ann Lee lives in Rome ."
    model = build("Bert", "ForTokenClassification", id2label=labels)
    given = encoded(model, text)
    logits = model(**given).logits[0].detach()
    predicted = [labels[int(i)] for i in logits.argmax(-1)]
    found = jtviz.explain(model, text, tokenizer=words(), trust=False)
    assert found.task == "token-classification"
    assert len(found) == len({target(one).row for one in found}) > 0
    for part, one in enumerate(found):
        row, index = target(one).row, target(one).index
        assert row is not None
        assert index is not None
        assert predicted[row] == labels[index] != "O"
        compared(found, by_hand(model, given, logit_of(row, index), one.parts[0].n_steps, KEPT), part)
        assert one.probability == pytest.approx(float(logits[row].softmax(-1)[index]), abs=PROBABILITY)
    named = jtviz.explain(
        model, text, tokenizer=words(), target={"row": "Rome", "label": "B-LOC"}, against="O", trust=False
    )
    steps = named.parts[0].n_steps
    compared(named, by_hand(model, given, lambda out: out.logits[:, 5, 3] - out.logits[:, 5, 0], steps, KEPT))
    assert named.names == ("Rome: B-LOC",)


def test_a_text_without_entities_has_no_parts_and_says_so() -> None:
    model = build("Bert", "ForTokenClassification", id2label={0: "O", 1: "B-PER"})
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([99.0, 0.0]))
    found = jtviz.explain(model, TEXT, tokenizer=words())
    assert (len(found), found.prediction, found.attributions) == (0, "no entity", ())
    assert "target=" in found.to_html()
    assert not len(found.to_pandas())
    with pytest.raises(JtvizError, match="nothing to show"):
        found.view()


def test_entities_are_words_that_go_on() -> None:
    tokens = Tokens.from_strings(["[CLS]", "Ann", "Lee", "##s", "met", "Bob", "Cid", "[SEP]"])
    names = ("O", "B-PER", "I-PER", "LOC")
    found = entities_of(tokens, [1, 1, 2, 0, 0, 1, 1, 1], names)
    assert [(one.first, one.last, one.kind, one.label) for one in found] == [
        (1, 3, "PER", 1), (5, 5, "PER", 1), (6, 6, "PER", 1),
    ]  # fmt: skip
    plain = entities_of(tokens, [3, 3, 3, 0, 0, 3, 2, 3], names)
    assert [(one.first, one.last, one.kind) for one in plain] == [(1, 3, "LOC"), (5, 5, "LOC"), (6, 6, "PER")]


def test_the_token_behind_each_mask_is_explained() -> None:
    text = "the [MASK] sat on the [MASK] ."
    model = build("Bert", "ForMaskedLM")
    given = encoded(model, text)
    logits = model(**given).logits[0].detach()
    rows = [i for i, token in enumerate(given["input_ids"][0].tolist()) if token == 4]
    found = jtviz.explain(model, text, tokenizer=words(), trust=False)
    assert (found.task, [target(one).row for one in found]) == ("masked-word", rows)
    for part, row in enumerate(rows):
        best = int(logits[row].argmax())
        wanted = by_hand(model, given, logit_of(row, best), found[part].parts[0].n_steps, KEPT)
        compared(found, wanted, part)
        assert found[part].probability == pytest.approx(float(logits[row].softmax(-1)[best]), abs=PROBABILITY)
    named = jtviz.explain(model, text, tokenizer=words(), target="cat", against="dog", trust=False)
    assert named.names == ("cat − dog", "cat − dog")
    with pytest.raises(JtvizError, match=r"no mask: write \[MASK\]"):
        jtviz.explain(model, TEXT, tokenizer=words())


def test_the_next_token_is_explained_and_every_one_that_is_given() -> None:
    model = build("GPT2", "LMHeadModel")
    tokenizer = words(with_marks=False)
    given = encoded(model, TEXT, with_marks=False)
    logits = model(**given).logits[0, -1].detach()
    best = int(logits.argmax())
    found = jtviz.explain(model, TEXT, tokenizer=tokenizer, trust=False)
    compared(found, by_hand(model, given, lambda out: out.logits[:, -1, best], found.parts[0].n_steps, KEPT))
    assert (found.task, target(found).index, target(found).row) == ("next-token", best, 8)
    assert found.probability == pytest.approx(float(logits.softmax(-1)[best]), abs=PROBABILITY)
    answered = jtviz.explain(model, "the cat", tokenizer=tokenizer, target_text=" sat on", trust=False)
    assert (answered.names, answered.prediction) == (("sat", "on"), "sat on")
    assert [target(one).row for one in answered] == [1, 2]


@pytest.mark.filterwarnings("ignore:Multiple layers provided")  # the two depend on no other
def test_each_token_of_a_translation_is_explained_by_source_and_prefix() -> None:
    model = build("Bart", "ForConditionalGeneration")
    found = jtviz.explain(
        model, "the cat sat", tokenizer=words(), target_text="a dog ran", output="log_prob", trust=False
    )
    source = torch.tensor([words()("the cat sat")["input_ids"]])
    answer = words()("a dog ran")["input_ids"]
    written = torch.tensor([[2, *answer[:-1]]])
    assert found.task == "translation"
    assert [target(one).index for one in found] == answer
    layers = [model.model.encoder.embed_tokens, model.model.decoder.embed_tokens]
    blank = torch.where(torch.isin(source, torch.tensor([1, 2])), source, 0)
    bare = torch.where(torch.isin(written, torch.tensor([1, 2])), written, 0)
    mask = torch.ones_like(source)
    for part, token in enumerate(answer):

        def forward(ids: Tensor, written: Tensor, part: int = part, token: int = token) -> Tensor:
            output = model(ids, mask.expand(len(ids), -1), decoder_input_ids=written, use_cache=False)
            number: Tensor = output.logits[:, part].log_softmax(-1)[:, token]
            return number

        both = attr.LayerIntegratedGradients(forward, layers).attribute(
            (source, written), (blank, bare), n_steps=found[part].parts[0].n_steps
        )
        compared(found, torch.cat([one.sum(-1)[0] for one in both]).detach().numpy(), part)
        chance = float(forward(source, written).detach().exp())
        assert found[part].probability == pytest.approx(chance, abs=PROBABILITY)
    same = jtviz.explain(
        model, "the cat sat", tokenizer=words(), target_text="a dog ran", task="summarization", trust=False
    )
    assert same.task == "summarisation"


@pytest.mark.filterwarnings("ignore:Multiple layers provided")  # the two depend on no other
def test_a_classifier_that_reads_on_two_sides_is_attributed_on_both() -> None:
    model = build("Bart", "ForSequenceClassification", id2label={0: "contradiction", 1: "entailment"})
    found = jtviz.explain(model, TEXT, tokenizer=words(), target="entailment", trust=False)
    given = encoded(model, TEXT)
    source = given["input_ids"]
    written = torch.cat([torch.tensor([[2]]), source[:, :-1]], dim=1)
    layers = [model.model.encoder.embed_tokens, model.model.decoder.embed_tokens]
    blank, bare = (torch.where(torch.isin(ids, torch.tensor([1, 2])), ids, 0) for ids in (source, written))

    def forward(ids: Tensor, written: Tensor) -> Tensor:
        logits: Tensor = model(ids, decoder_input_ids=written).logits
        return logits[:, 1]

    both = attr.LayerIntegratedGradients(forward, layers).attribute(
        (source, written), (blank, bare), n_steps=found.parts[0].n_steps
    )
    compared(found, torch.cat([one.sum(-1)[0] for one in both]).detach().numpy())
    # By itself the model reads the same.
    assert target(found).value == pytest.approx(float(model(**given).logits[0, 1].detach()), abs=PROBABILITY)
    pairs = jtviz.explain(model, TEXT, tokenizer=words(), labels=["cat", "dog"], trust=False)
    assert (pairs.task, len(pairs)) == ("zero-shot", 2)


def test_a_picture_is_attributed_to_its_patches() -> None:
    model = build("ViT", "ForImageClassification", num_labels=3)
    image = torch.randn(3, 16, 16)
    found = jtviz.explain(model, image=image, target=1, trust=False)
    wanted = attr.IntegratedGradients(lambda pixels: model(pixels).logits[:, 1]).attribute(
        image[None], torch.zeros(1, 3, 16, 16), n_steps=found.parts[0].n_steps
    )
    patches = wanted.sum(1).unflatten(2, (4, 4)).unflatten(1, (4, 4)).sum((2, 4)).flatten()
    compared(found, np.concatenate([[0.0], patches.detach().numpy()]))
    assert found.task == "image-classification"
    assert [text for text, _ in found.attributions][:3] == ["[CLS]", "0,0", "0,1"]
    probability = model(image[None]).logits[0].detach().softmax(-1)[1]
    assert found.probability == pytest.approx(float(probability), abs=PROBABILITY)
    assert found.to_html().count("<br>") == 4


def test_ablating_a_patch_takes_the_whole_patch_away() -> None:
    model = build("ViT", "ForImageClassification", num_labels=3)
    image = torch.randn(3, 16, 16)
    found = jtviz.explain(model, image=image, target=1, method="feature_ablation", trust=False)
    without = image.clone()
    without[:, 4:8, 8:12] = 0
    lost = (model(image[None]).logits[0, 1] - model(without[None]).logits[0, 1]).detach()
    assert dict(found.attributions)["1,2"] == pytest.approx(float(lost), abs=PROBABILITY)


def test_a_processor_makes_any_picture_into_what_the_model_reads() -> None:
    model = build("ViT", "ForImageClassification", num_labels=3)
    picture = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)

    def processor(*, images: Any, return_tensors: str) -> dict[str, Tensor]:
        assert return_tensors == "pt"
        return {"pixel_values": torch.as_tensor(images).permute(2, 0, 1)[None] / 255}

    found = jtviz.explain(model, image=picture, tokenizer=processor, trust=False)
    same = jtviz.explain(model, image=torch.as_tensor(picture).permute(2, 0, 1) / 255, trust=False)
    assert found.attributions == same.attributions
    with pytest.raises(JtvizError, match="image processor as tokenizer="):
        jtviz.explain(model, image=picture)


def test_a_function_of_the_output_is_explained_of_any_model() -> None:
    model = build("Bert", "Model")
    given = encoded(model, TEXT)

    def first(output: Any) -> Tensor:
        number: Tensor = output.last_hidden_state[0, 0, 0]
        return number

    found = jtviz.explain(model, TEXT, tokenizer=words(), target=first, trust=False)
    steps = found.parts[0].n_steps
    compared(found, by_hand(model, given, lambda out: out.last_hidden_state[:, 0, 0], steps, KEPT))
    assert (found.task, found.names, found.probability) == ("function", ("first",), None)


def test_what_a_model_writes_is_explained_token_by_token() -> None:
    model = build("GPT2", "LMHeadModel")
    tokenizer = words(with_marks=False)
    found = jtviz.explain(model, "the cat", tokenizer=tokenizer, generate=3, trust=False)
    ids = torch.tensor([tokenizer("the cat")["input_ids"]])
    wanted: list[int] = []
    for _ in range(3):
        wanted.append(
            int(model(torch.cat([ids, torch.tensor([wanted], dtype=torch.long)], 1)).logits[0, -1].argmax())
        )
    assert [target(one).index for one in found] == wanted
    assert [target(one).row for one in found] == [1, 2, 3]
