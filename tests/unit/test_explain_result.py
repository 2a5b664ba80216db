"""What an explanation holds and shows, and what is refused in one sentence."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch

import jtviz
from jtviz.analysis import TASKS
from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.tokens import Tokens

from .explaining import (
    CONTEXT,
    PROBABILITY,
    QUESTION,
    TEXT,
    build,
    words,
)


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


def test_traces_of_many_texts_are_not_kept_but_read_again() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    texts = [f"{noun} {verb} ." for noun in ("cat", "dog", "Ann") for verb in ("sat", "ran", "is", "was")]
    found = jtviz.explain(model, texts, tokenizer=words(), method="input_x_gradient", trust=False)
    gc.collect()
    alive = [one.sources[0]._known for one in found]
    assert sum(known is not None and known() is not None for known in alive) <= 8
    for one in found:
        assert one.traces[0].tokens["encoder"].sentence == one.text
    del model
    gc.collect()
    with pytest.raises(JtvizError, match="model of this explanation is gone"):
        _ = found[0].traces


def test_a_text_is_not_read_again_by_a_model_that_changed() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    found = jtviz.explain(model, [TEXT, "a dog ran ."], tokenizer=words(), method="saliency_l2", trust=False)
    with torch.no_grad():
        model.classifier.weight.mul_(2)
    # Other texts push the trace out of what the model remembers.
    for noun in ("cat", "dog", "Ann", "Lee", "Rome", "mat", "rug", "This", "example"):
        jtviz.hook(model, words()).trace(f"the {noun} ran .")
    gc.collect()
    for ask in (lambda: found[0].traces, found[1].view):
        with pytest.raises(JtvizError, match="the model was changed since this explanation: explain again"):
            ask()


@pytest.mark.parametrize(("family", "head"), [("Bert", "ForSequenceClassification"),
                                              ("Roberta", "ForQuestionAnswering"),
                                              ("Bart", "ForConditionalGeneration"),
                                              ("GPT2", "LMHeadModel")])  # fmt: skip
def test_a_text_is_read_again_by_a_model_that_did_not_change(family: str, head: str) -> None:
    model = build(family, head)
    texts: Any = [TEXT, "a dog ran .", "Ann was in Rome ."]
    found = jtviz.explain(
        model, texts, tokenizer=words(), method="saliency_l2", trust=False,
        context=CONTEXT if "Answering" in head else None,
    )  # fmt: skip
    for noun in ("cat", "dog", "Ann", "Lee", "Rome", "mat", "rug", "This", "example"):
        jtviz.hook(model, words()).trace(f"the {noun} ran .", generate=2 if family == "Bart" else None)
    gc.collect()
    for one in found:
        assert [list(t) for t in one.traces[0].tokens.values()] == [
            list(t) for t in one.parts[0].tokens.values()
        ]


def test_a_blank_text_among_many_is_refused_before_any_is_read() -> None:
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    calls: list[Any] = []
    handle = model.register_forward_pre_hook(lambda *call: calls.append(call))
    with pytest.raises(JtvizError, match=r"text\[1\]: text is empty"):
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
        found.to_html(unit="letter")  # type: ignore[arg-type]


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
    # DeepLift takes what is no module for linear, which attention and its norms are not.
    assert not found.parts[0].is_complete
    page = found.to_html()
    assert "font-weight:bold" in page
    assert "not complete" in page
    assert "font-weight:bold" not in jtviz.explain(model, TEXT, tokenizer=words(), trust=False).to_html()


ERRORS: list[tuple[str, dict[str, Any], str]] = [
    ("ForSequenceClassification", {"task": "sequence-clasification"}, "did you mean 'sequence-cl"),
    ("ForSequenceClassification", {"task": "masked-word"}, "needs logits of tokens, of a model"),
    ("ForSequenceClassification", {"task": "sentence-pair"}, r"give text=\(first, second\)"),
    ("ForSequenceClassification", {"task": "zero-shot"}, "labels= go with task='zero-shot'"),
    ("ForSequenceClassification", {"labels": ["a"]}, "one class called 'entailment'"),
    ("ForSequenceClassification", {"labels": "cat"}, "labels= is a list"),
    ("ForSequenceClassification", {"labels": []}, "labels= is empty"),
    ("ForSequenceClassification", {"labels": ["a"], "hypothesis": "no place"}, "where the label goes"),
    ("ForSequenceClassification", {"labels": ["a"], "hypothesis": "{} {x}"}, "and no other braces"),
    ("ForSequenceClassification", {"labels": ["a"], "hypothesis": "{} {"}, "and no other braces"),
    ("ForSequenceClassification", {"labels": ["a"], "hypothesis": ""}, "where the label goes"),
    ("ForSequenceClassification", {"hypothesis": "This is {}."}, "labels= are put into: give both or"),
    ("ForSequenceClassification", {"tokens": {"encoder": ["a"]}}, "tokens= names the tokens of inputs="),
    ("ForSequenceClassification", {"target": []}, "target= is empty: name what"),
    ("ForSequenceClassification", {"memory": 0}, "memory= is a number, at least 1, not 0"),
    ("ForSequenceClassification", {"output": None}, "output= is one of 'logit'.*, not None"),
    ("ForSequenceClassification", {"seed": -1}, "seed= is a number, at least 0, not -1"),
    ("ForSequenceClassification", {"seed": 1.5}, "seed= is a number, at least 0, not 1.5"),
    ("ForSequenceClassification", {"seed": None}, "seed= is a number, at least 0, not None"),
    ("ForSequenceClassification", {"unit": 5}, "unit= is one of 'token', 'word', 'sentence' or spans.*not 5"),
    ("ForSequenceClassification", {"unit": None}, "unit= is one of 'token', 'word', 'sentence' or spans"),
    ("ForSequenceClassification", {"unit": [1, 2]}, "unit= is one of 'token', 'word', 'sentence' or spans"),
    ("ForSequenceClassification", {"unit": [(1.0, 3.0)]}, "unit= is one of 'token', 'word', 'sentence' or"),
    ("ForSequenceClassification", {"target_text": "the cat"}, "target_text= is an answer to be predicted"),
    ("ForTokenClassification", {"target_text": "the cat"}, "target_text= is an answer to be predicted"),
    ("ForMaskedLM", {"target_text": "the cat"}, "target_text= is an answer to be predicted"),
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


@pytest.mark.parametrize(("asked", "said"), [
    ({"output": None}, "output= is one of 'logit'.*, not None"),
    ({"memory": 0}, "memory= is a number, at least 1, not 0"),
    ({"target_text": "the cat"}, "target_text= is an answer to be predicted"),
])  # fmt: skip
def test_gradients_are_refused_in_the_same_words(asked: dict[str, Any], said: str) -> None:
    model = build("Bert", "ForSequenceClassification")
    with pytest.raises(JtvizError, match=said):
        jtviz.show_gradients(model, TEXT, tokenizer=words(), **asked)


def test_an_answer_goes_with_a_text() -> None:
    model = build("ViT", "ForImageClassification")
    with pytest.raises(JtvizError, match="target_text= and generate= go with a text"):
        jtviz.explain(model, image=torch.zeros(3, 16, 16), target_text="a cat")


def test_an_unknown_keyword_is_answered_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="did you mean 'n_steps'"):
        jtviz.explain(build("Bert", "Model"), TEXT, tokenizer=words(), nsteps=3)


def test_a_model_whose_task_cannot_be_told_is_asked_about() -> None:
    model = build("Bert", "Model")
    with pytest.raises(JtvizError, match="cannot be told") as raised:
        jtviz.explain(model, TEXT, tokenizer=words())
    assert all(name in str(raised.value) for name in TASKS)


def test_labels_that_are_no_numbers_are_not_read_as_no_entity() -> None:
    model = build("Bert", "ForTokenClassification", id2label={0: "O", 1: "B-PER"})
    with torch.no_grad():
        model.classifier.bias[0] = float("nan")
    with pytest.raises(JtvizError, match="the output of the model has NaN or infinity"):
        jtviz.explain(model, TEXT, tokenizer=words())


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
    model = build("Bert", "ForSequenceClassification", num_labels=3)
    hooked = jtviz.hook(model, words())
    found = jtviz.explain(hooked, TEXT, trust=False)
    assert found.traces[0] is hooked.trace(TEXT)
    view = found.view()
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
    view = found.view()
    assert [child.attributions for child in view.children] == [(part,) for part in found.parts]
    assert [sorted(child.trusts) for child in view.children] == [[0], [0]]
    assert "text/html" in found._repr_mimebundle_()
