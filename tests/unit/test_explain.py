"""Every task of `jtviz.explain`, on small random models, against Captum called by hand.

The reference is Captum on the model's own word embedding (`LayerIntegratedGradients`) or pixels
(`IntegratedGradients`), with the ids, masks and baselines written out here.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor

import jtviz
from jtviz.analysis import TASKS, Explanation
from jtviz.analysis.explain.entities import entities_of
from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.capture.target import Target
from jtviz.tokens import Tokens
from tests.zoo.families import FAMILIES as ZOO

transformers = pytest.importorskip("transformers")
attr = pytest.importorskip("captum.attr")

TOLERANCE = 1e-6
PROBABILITY = 1e-5
WORDS = (
    "the a cat dog sat ran on in mat rug Ann Lee lives Rome ##s ? . , big red is was who where example This"
)
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
VOCABULARY = {word: i for i, word in enumerate([*SPECIAL, *WORDS.split(), "<script>"])}
IDS: dict[str, Any] = {"vocab_size": len(VOCABULARY), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WIDE = {"initializer_range": 0.3}  # so that predictions depend on the text
BERT: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 40, **WIDE, **IDS,
}  # fmt: skip
BART: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 40,
    "decoder_start_token_id": 2, "init_std": 0.3, **IDS,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "Bert": BERT,
    "Roberta": BERT,
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 40,
                   **WIDE, **IDS},
    "Bart": BART,
    "GPT2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40, **WIDE, **IDS},
    "ViT": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
            "image_size": 16, "patch_size": 4, **WIDE},
}  # fmt: skip
TEXT = "the big cat sat on the red mat ."
QUESTION, CONTEXT = "who sat on the mat ?", "the big cats sat on the red mat ."
OUTPUTS = ("logit", "log_prob", "prob", "loss")


def build(family: str, head: str, seed: int = 0, **settings: Any) -> Any:
    config = getattr(transformers, f"{family}Config")(**copy.deepcopy(FAMILIES[family] | settings))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return getattr(transformers, family + head)(config).eval()


def words(*, with_marks: bool = True) -> Any:
    """A tokenizer with pieces, pairs and a mask, built here: no hub."""
    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece()
    if with_marks:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        unk_token="[UNK]", mask_token="[MASK]",
    )  # fmt: skip


def scaled(logits: Tensor, output: str) -> Tensor:
    log_prob = logits.log_softmax(-1)
    return {"logit": logits, "log_prob": log_prob, "prob": log_prob.exp(), "loss": -log_prob}[output]


def by_hand(
    model: Any, given: dict[str, Tensor], number: Callable[[Any], Tensor], steps: int | None, kept: set[int]
) -> np.ndarray[Any, Any]:
    """Return Captum's layer integrated gradients of the word embedding, padding as baseline."""
    ids = given["input_ids"]
    baseline = torch.where(torch.isin(ids, torch.tensor(sorted(kept))), ids, torch.zeros_like(ids))
    rest = {name: value for name, value in given.items() if name != "input_ids"}

    def forward(ids: Tensor) -> Tensor:
        repeated = {name: value.expand(len(ids), -1) for name, value in rest.items()}
        return number(model(input_ids=ids, **repeated))

    layer = model.get_input_embeddings()
    found = attr.LayerIntegratedGradients(forward, layer).attribute(ids, baseline, n_steps=steps or 0)
    scores: np.ndarray[Any, Any] = found.sum(-1)[0].detach().numpy()
    return scores


def logit_of(row: int, index: int) -> Callable[[Any], Tensor]:
    return lambda output: output.logits[:, row, index]


def chance_of(index: int, output: str) -> Callable[[Any], Tensor]:
    """Return a label's own probability, or its logarithm."""
    if output == "prob":
        return lambda out: out.logits[:, index].sigmoid()
    return lambda out: out.logits[:, index].sigmoid().log()


def place_of(field: str, place: int) -> Callable[[Any], Tensor]:
    return lambda output: getattr(output, field).log_softmax(-1)[:, place]


def encoded(model: Any, *texts: str, **options: Any) -> dict[str, Tensor]:
    made = words(**options)(*texts, return_tensors="pt")
    takes = inspect.signature(model.forward).parameters
    return {name: value for name, value in made.items() if name in takes}


def target(found: Explanation) -> Target:
    assert found.target is not None
    return found.target


def compared(found: Explanation, wanted: np.ndarray[Any, Any], part: int = 0) -> None:
    """Compare with the reference, which must not be zero: that would prove nothing."""
    assert np.abs(wanted).max() > 100 * TOLERANCE
    scores = [score for _, score in found[part].attributions]
    np.testing.assert_allclose(scores, wanted, atol=TOLERANCE, rtol=1e-5)


KEPT = {1, 2, 4}  # [CLS], [SEP] and [MASK] stay in the baseline


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
        # The model finds the end by the ids, which are not what Captum changes.
        logits: Tensor = model(source.expand(len(ids), -1) * 0 + ids, decoder_input_ids=written).logits
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


def test_many_texts_are_explained_one_by_one_with_one_bar(capsys: pytest.CaptureFixture[str]) -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    texts = [TEXT, "a dog ran ."]
    found = jtviz.explain(model, texts, tokenizer=words(), trust=False)
    assert capsys.readouterr().err.count("0/2") == 1
    assert [one.text for one in found] == texts
    for one, text in zip(found, texts, strict=True):
        alone = jtviz.explain(model, text, tokenizer=words(), trust=False)
        assert one.attributions == alone.attributions
    jtviz.explain(model, texts, tokenizer=words(), trust=False, progress=False)
    assert not capsys.readouterr().err


def test_a_blank_text_among_many_is_refused_before_any_is_read() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    calls: list[Any] = []
    handle = model.register_forward_pre_hook(lambda *call: calls.append(call))
    with pytest.raises(JtvizError, match="text 1 of 2: text is empty"):
        jtviz.explain(model, [TEXT, " "], tokenizer=words())
    handle.remove()
    assert not calls


def test_repeated_tokens_stay_apart_and_the_text_is_the_readers() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    text = "the  cat , the cat .  "
    found = jtviz.explain(model, text, tokenizer=words(), trust=False)
    assert found.text == text
    same = [score for token, score in found.attributions if token == "cat"]
    assert len(same) == len(set(same)) == 2
    table = found.to_pandas()
    assert list(table["token"]) == [token for token, _ in found.attributions]
    assert list(table["score"]) == [score for _, score in found.attributions]


def test_what_is_shown_as_html_is_text_and_plain_numbers() -> None:
    labels = {0: "<b>bold</b>", 1: "fine"}
    model = build("Bert", "ForSequenceClassification", id2label=labels)
    found = jtviz.explain(model, "the <script> cats sat", tokenizer=words(), target=0, trust=False)
    assert "<script>" in [token for token, _ in found.attributions]
    for unit in ("token", "word"):
        for normalise in (False, True):
            page = found.to_html(unit=unit, normalise=normalise, annotate=True)
            assert "<script" not in page
            assert "<b>bold" not in page
            assert "&lt;" in page
            assert "np.float" not in page
            assert "rgba(66,105,208,0.750)" in page or "rgba(194,120,28,0.750)" in page
    assert found._repr_html_() == found.to_html()
    assert "probability" in found.to_html()
    strongest = max((score for _, score in found.attributions), key=abs)
    said = f"{strongest:.3g}".replace("-", "−")
    assert said in found.to_html(annotate=True)
    assert ("−1<" if strongest < 0 else "1<") in found.to_html(normalise=True, annotate=True).replace(" ", "")
    with pytest.raises(JtvizError, match="unit= is"):
        found.to_html(unit="letter")


def test_normalising_is_for_the_eye_only() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    found = jtviz.explain(model, TEXT, tokenizer=words(), trust=False)
    before = found.attributions
    found.to_html(normalise=True)
    assert found.attributions == before
    signs = {score > 0 for _, score in before if score}
    assert signs == {True, False}


def test_a_sum_that_is_off_is_said_in_bold() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    found = jtviz.explain(model, TEXT, tokenizer=words(), method="deep_lift", trust=False)
    assert found.delta is not None
    if found.parts[0].is_complete:
        assert "complete" in found.to_html()
    else:
        assert "font-weight:bold" in found.to_html()
        assert "trust it less" in found.to_html()


ERRORS: list[tuple[str, dict[str, Any], str]] = [
    ("ForSequenceClassification", {"task": "sequence-clasification"}, "did you mean 'sequence-cl"),
    ("ForSequenceClassification", {"task": "masked-word"}, "needs logits of tokens, of a model"),
    ("ForSequenceClassification", {"task": "sentence-pair"}, r"give text=\(first, second\)"),
    ("ForSequenceClassification", {"task": "zero-shot"}, "labels= go with task='zero-shot'"),
    ("ForSequenceClassification", {"labels": ["a"]}, "one class called 'entailment'"),
    ("ForSequenceClassification", {"labels": "cat"}, "labels= is a list"),
    ("ForSequenceClassification", {"labels": []}, "labels= is empty"),
    ("ForSequenceClassification", {"labels": ["a"], "hypothesis": "no place"}, "where the label goes"),
    ("ForSequenceClassification", {"target": "nowhere"}, "class 'nowhere' is not there"),
    ("ForSequenceClassification", {"target": 9}, "class 9 is not there"),
    ("ForSequenceClassification", {"method": "saliencey"}, "there is no method"),
    ("ForSequenceClassification", {"output": "probability"}, "output= is one of"),
    ("ForSequenceClassification", {"baseline": "a b"}, "a baseline text needs as many"),
    ("ForSequenceClassification", {"image": torch.zeros(3, 4, 4)}, "takes one of a text, image= and inputs="),
    ("ForQuestionAnswering", {"task": "question-answering"}, "pass it as context="),
    ("ForQuestionAnswering", {"context": "the cat .", "target": "dog"}, "does not stand in the text"),
    ("ForQuestionAnswering", {"context": "the cat .", "target": (5, 2)}, "is not there"),
    ("ForQuestionAnswering", {"context": "the cat .", "against": 1}, "leave against= out"),
    ("ForTokenClassification", {"target": "the"}, "stands there 2 times"),
    ("ForTokenClassification", {"target": 99}, "token 99 is not there"),
    ("ForTokenClassification", {"target": {"row": 1, "label": "B-X"}}, "label 'B-X' is not there"),
]  # fmt: skip


@pytest.mark.parametrize(("head", "asked", "said"), ERRORS)
def test_what_cannot_be_explained_is_refused_in_one_sentence(
    head: str, asked: dict[str, Any], said: str
) -> None:
    model = build("Bert", head)
    with pytest.raises(JtvizError, match=said):
        jtviz.explain(model, TEXT, tokenizer=words(), **asked)


def test_an_unknown_keyword_is_answered_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="did you mean 'n_steps'"):
        jtviz.explain(build("Bert", "Model"), TEXT, tokenizer=words(), nsteps=3)


def test_a_model_whose_task_cannot_be_told_is_asked_about() -> None:
    model = build("Bert", "Model")
    with pytest.raises(JtvizError, match="cannot be told") as raised:
        jtviz.explain(model, TEXT, tokenizer=words())
    assert all(name in str(raised.value) for name in TASKS)


def test_no_such_part_is_said() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    found = jtviz.explain(model, TEXT, tokenizer=words(), trust=False)
    with pytest.raises(OutOfRangeError, match="part 'x' is not there"):
        found["x"]


def test_a_reader_s_mask_and_an_unknown_word_are_told_apart() -> None:
    tokens = Tokens.encode(words(), "the [MASK] zebra")
    assert tokens.special == (True, False, True, False, True)
    pair = Tokens.encode(words(), ("a cat", "the cats"))
    assert pair.sentence == "a cat\nthe cats"
    spans = [pair.sentence[slice(*span)] if span else None for span in pair.spans]
    assert spans == [None, "a", "cat", None, "the", "cat", "s", None]


def test_the_same_explanation_is_a_widget_linked_with_other_views() -> None:
    pytest.importorskip("ipywidgets")
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    hooked = jtviz.hook(model, words())
    found = jtviz.explain(hooked, TEXT, trust=False)
    assert found.traces[0] is hooked.trace(TEXT)
    try:
        view = found.view()
    except ImportError:
        pytest.skip("the front end is not built")
    assert view.attributions == found.parts
    shown = found._repr_mimebundle_()
    assert {"text/html", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(shown)


TRUSTED: list[tuple[str, str, dict[str, Any]]] = [
    ("Bert", "ForSequenceClassification", {"text": TEXT}),
    ("Bert", "ForSequenceClassification", {"text": (QUESTION, CONTEXT), "target": [0, 1]}),
    ("Bert", "ForQuestionAnswering", {"text": QUESTION, "context": CONTEXT}),
    ("Bert", "ForTokenClassification", {"text": TEXT, "target": "cat"}),
    ("Bert", "ForMaskedLM", {"text": "the [MASK] sat"}),
    ("Bart", "ForConditionalGeneration", {"text": TEXT, "target_text": "a dog"}),
    ("ViT", "ForImageClassification", {"image": torch.ones(3, 16, 16)}),
]


@pytest.mark.parametrize(("family", "head", "asked"), TRUSTED)
def test_how_far_each_part_can_be_trusted_comes_with_it(
    family: str, head: str, asked: dict[str, Any]
) -> None:
    tokenizer = None if family == "ViT" else words()
    found = jtviz.explain(build(family, head), tokenizer=tokenizer, **asked)
    assert found.trust is not None
    assert [one.attribution for one in found.trust] == list(found.parts)
    for one in found:
        assert one.trust is not None
        faith = one.trust[0].faithfulness
        assert faith is not None, one.trust[0].left_out
        # With nothing taken away, it is the model's own probability.
        assert float(faith.deletion[0]) == pytest.approx(one.probability, abs=PROBABILITY)
        assert "random order" in one.to_html()


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


def test_the_embedded_models_are_explained_without_being_told_their_task() -> None:
    pairs = [
        (jtviz.demo.classifier(), "Man, 60. Has crushing chest pain.", "sequence-classification"),
        (jtviz.demo.induction(), "a b c d a b c", "next-token"),
        (jtviz.demo.translator(), "I like tea.", "translation"),
    ]
    for model, text, task in pairs:
        found = jtviz.explain(model, text, trust=False)
        assert found.task == task
        assert all(part.is_complete for part in found.parts)


def test_labels_read_one_by_one_are_widgets_one_below_the_other() -> None:
    names = {0: "contradiction", 1: "entailment"}
    model = build("Bert", "ForSequenceClassification", id2label=names)
    found = jtviz.explain(model, TEXT, tokenizer=words(), labels=["cat", "dog"])
    try:
        view = found.view()
    except ImportError:
        pytest.skip("the front end is not built")
    assert [child.attributions for child in view.children] == [(part,) for part in found.parts]
    assert [sorted(child.trusts) for child in view.children] == [[0], [0]]
    assert "text/html" in found._repr_mimebundle_()


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
