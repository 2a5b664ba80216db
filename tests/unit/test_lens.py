"""The logit lens and the tuned lens: what they say, what they keep, and what they refuse."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from torch import Tensor, nn

import jtviz
from jtviz.analysis import layers
from jtviz.analysis.attribution.progress import Progress
from jtviz.analysis.layers import TunedLens, logit_lens, tuned_lens
from jtviz.analysis.layers import lens as lens_module
from jtviz.capture import JtvizError, OutOfRangeError, hook
from jtviz.capture.lm_head import LMHead
from tests.zoo.families import FAMILIES

SENTENCE = "Where is the nearest station?"


def by_hand(trace: jtviz.Trace, model: Any) -> Tensor:
    """Return the logits of each layer of the translator, its norm and projection named."""
    with torch.no_grad():
        logits: Tensor = model.project(model.transformer.decoder.norm(trace.hidden("decoder")))
    return logits


def test_the_numbers_of_the_translators_decoder_are_those_of_its_norm_and_projection() -> None:
    translator = jtviz.demo.translator()
    trace = translator.trace(SENTENCE)
    lens = logit_lens(trace, top=4)
    log = by_hand(trace, translator.model).double().log_softmax(-1)
    values, indices = log.topk(4)
    assert torch.equal(lens.ids, indices)
    torch.testing.assert_close(lens.probability.double(), values.exp(), atol=1e-5, rtol=1e-4)
    entropy = -(log.exp() * log).sum(-1)
    torch.testing.assert_close(lens.entropy.double(), entropy, atol=1e-4, rtol=1e-4)
    apart = nn.functional.kl_div(log, log[-1:].expand_as(log), log_target=True, reduction="none").sum(-1)
    torch.testing.assert_close(lens.divergence.double(), apart, atol=1e-4, rtol=1e-4)
    assert torch.equal(lens.answer, log[-1].argmax(-1))
    order = log.argsort(-1, descending=True)
    assert torch.equal(lens.rank, order.eq(lens.answer[:, None]).int().argmax(-1) + 1)
    # Words are those of the side that is written.
    assert lens.words(lens.answer) == list(trace.predicts or ())
    assert lens.side == "decoder"


def test_a_table_says_each_number_once() -> None:
    trace = jtviz.demo.induction().trace("abcabcab")
    lens = logit_lens(trace, top=2)
    table = lens.to_pandas()
    assert len(table) == lens.ids.numel()
    row = table[(table.layer == 2) & (table.row == 7) & (table.place == 1)].iloc[0]
    assert (row.reads, row.token, row.answer, row["rank"]) == ("b", "c", "c", 1)
    assert row.probability == pytest.approx(float(trace.probabilities(7).max()), rel=1e-5)


def test_logits_are_given_for_the_rows_that_are_asked_for() -> None:
    trace = jtviz.demo.induction().trace("abcabc")
    lens = logit_lens(trace)
    whole = lens.logits(1)
    torch.testing.assert_close(lens.logits(1, rows=[4, 2]), whole[[4, 2]])
    torch.testing.assert_close(lens.logits(-2, rows=-1), whole[-1])
    assert lens.logits(1, rows=slice(0, 2)).shape == (2, whole.shape[1])
    with pytest.raises(OutOfRangeError, match="layers are 0 to 2"):
        lens.logits(3)


# GPT-2 insists on the length of the text, and can be told which rows are wanted; BART can be given any.
@pytest.mark.parametrize("name", ["Llama", "GPT-2", "BART"])
def test_rows_are_taken_a_few_at_a_time_where_logits_are_large(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = FAMILIES[name]
    model = family.build("sdpa")
    trace = hook(model).trace(inputs=family.inputs(1, "none"))
    whole = logit_lens(trace)
    monkeypatch.setattr(lens_module, "MEMORY", 2 * 60 * 4 * whole.layers)  # two rows
    counts: list[int] = []
    own = lens_module._part

    def counted(head: Any, streams: Tensor, rows: Tensor, *more: Any) -> Any:
        counts.append(len(rows))
        return own(head, streams, rows, *more)

    monkeypatch.setattr(lens_module, "_part", counted)
    parts = logit_lens(trace)
    assert counts == ([2, 2, 2, 1] if name == "BART" else [2, 2, 2, 2, 1])
    torch.testing.assert_close(parts.divergence, whole.divergence, atol=1e-5, rtol=1e-3)
    assert torch.equal(parts.ids, whole.ids)


@pytest.mark.parametrize("name", ["Llama", "GPT-2", "BART", "T5", "BERT"])
@pytest.mark.parametrize("rows", [-1, [4, 1], slice(2, 5)])
def test_the_rows_that_are_asked_for_are_those_of_the_whole(name: str, rows: Any) -> None:
    family = FAMILIES[name]
    model: Any = family.build("sdpa") if name != "BERT" else masked()
    trace = hook(model).trace(inputs=family.inputs(1, "none"))
    whole, some = logit_lens(trace, top=3), logit_lens(trace, top=3, rows=rows)
    at = sorted(torch.arange(len(whole.tokens))[rows].flatten().tolist())
    assert some.rows.tolist() == at
    assert torch.equal(some.ids, whole.ids[:, at])
    assert torch.equal(some.answer, whole.answer[at])
    assert torch.equal(some.rank, whole.rank[:, at])
    for number in ("probability", "entropy", "divergence", "answer_probability"):
        torch.testing.assert_close(getattr(some, number), getattr(whole, number)[:, at], atol=1e-5, rtol=1e-4)
    # The last layer says what the model says.
    torch.testing.assert_close(some.probability[-1], trace.probabilities(at).topk(3).values)
    assert some.to_pandas().row.unique().tolist() == at


def masked() -> Any:
    """Return a masked language model, which has the head that `BertModel` lacks."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(**FAMILIES["BERT"].settings)
        model: Any = transformers.BertForMaskedLM(config)
        return model.eval()


def test_only_the_rows_that_are_asked_for_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    own = LMHead.__call__
    trace = jtviz.demo.translator().trace(SENTENCE)
    logit_lens(trace)

    def counted(head: LMHead, stream: Tensor) -> Tensor:
        given.append(len(stream))
        return own(head, stream)

    monkeypatch.setattr(LMHead, "__call__", counted)
    logit_lens(trace, rows=[1, 3])
    assert given == [2 * 3]


def test_a_path_is_the_probability_and_rank_of_tokens_in_each_layer(tuned: TunedLens) -> None:
    translator = jtviz.demo.translator()
    trace = translator.trace(SENTENCE)
    log = by_hand(trace, translator.model).log_softmax(-1)
    wanted = [5, 1000, int(log[-1, 2].argmax())]
    probability, rank = logit_lens(trace, rows=0).path(2, wanted)
    torch.testing.assert_close(probability, log[:, 2, wanted].exp(), atol=1e-6, rtol=1e-3)
    order = log[:, 2].argsort(-1, descending=True)
    assert rank.tolist() == [[int((one == i).nonzero()) + 1 for i in wanted] for one in order]
    through, _ = tuned(trace).path(2, wanted)
    torch.testing.assert_close(
        through[1], tuned(trace).logits(1, 2).softmax(-1)[wanted], atol=1e-6, rtol=1e-3
    )
    with pytest.raises(OutOfRangeError, match="numbers of the vocabulary, 0 to 2802"):
        logit_lens(trace, rows=0).path(2, [2803])
    with pytest.raises(OutOfRangeError, match="row 99 is not there"):
        logit_lens(trace, rows=0).path(99)
    with pytest.raises(OutOfRangeError, match="row 99 is not there"):
        logit_lens(trace, rows=99)
    with pytest.raises(JtvizError, match="is empty"):
        logit_lens(trace, rows=[])


def test_a_second_look_does_not_run_the_blocks_again() -> None:
    model = FAMILIES["Llama"].build("sdpa")
    lens = logit_lens(hook(model).trace(inputs=FAMILIES["Llama"].inputs(1, "none")))
    wanted = lens.logits(1)
    with_hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, *_: ran.append(type(module).__name__)
    )
    ran: list[str] = []
    assert torch.equal(lens.logits(1), wanted)
    with_hook.remove()
    assert "LlamaForCausalLM" in ran
    assert "LlamaAttention" not in ran


def test_the_model_is_left_as_it_was() -> None:
    hooked = jtviz.demo.translator()
    trace = hooked.trace("I like tea.")
    logit_lens(trace)
    assert all("forward" not in vars(module) for module in hooked.model.modules())
    assert not any(module._forward_hooks for module in hooked.model.modules())
    assert hooked.trace("I like tea.") is trace
    # And the stream, which a head may change in place.
    assert torch.equal(logit_lens(trace).entropy, logit_lens(trace).entropy)


def test_what_a_readers_hook_adds_to_a_block_is_added_once() -> None:
    model = FAMILIES["Llama"].build("sdpa")
    shift = torch.randn(32)
    with_hook = model.model.layers[-1].register_forward_hook(lambda *given: given[2] + shift)
    trace = hook(model).trace(inputs=FAMILIES["Llama"].inputs(1, "none"))
    torch.testing.assert_close(logit_lens(trace).logits(-1), trace.logits, atol=1e-5, rtol=1e-5)
    with_hook.remove()


def test_a_lens_of_a_trace_without_heads_is_without_them() -> None:
    hooked = jtviz.demo.induction()
    intact = logit_lens(hooked.trace("abcabcab"))
    with hooked.ablate(heads={("decoder", 1): None}):
        trace = hooked.trace("abcabcab")
        lens = logit_lens(trace)
        torch.testing.assert_close(lens.logits(-1), trace.logits, atol=1e-5, rtol=1e-5)
    assert torch.equal(lens.ids[:2], intact.ids[:2])
    assert not torch.equal(lens.ids[2], intact.ids[2])


def test_what_cannot_be_looked_through_is_said() -> None:
    translation = jtviz.demo.translator().trace("I like tea.")
    with pytest.raises(JtvizError, match="side='encoder' predicts no tokens in this model"):
        logit_lens(translation, "encoder")
    with pytest.raises(JtvizError, match="top= is a number of tokens"):
        logit_lens(translation, top=0)
    with pytest.raises(JtvizError, match="tells classes apart"):
        logit_lens(jtviz.demo.classifier().trace("Has a runny nose."))
    family = FAMILIES["BERT"]
    model = family.build("sdpa")
    with pytest.raises(JtvizError, match="BertModel returns no logits of tokens"):
        logit_lens(hook(model).trace(inputs=family.inputs(1, "none")))
    query = torch.randn(2, 4, 6, 8)
    with pytest.raises(JtvizError, match="has no model to run"):
        layers.logit_lens(jtviz.Trace.from_qkv(query, query, causal=True))


@pytest.fixture(scope="module")
def tuned() -> TunedLens:
    """Return a lens for the translator, trained on sentences that the tests do not look at."""
    sentences = [
        f"{who} {does} {what}."
        for who in ("I", "We", "My friend")
        for does in ("likes", "wants", "sees")
        for what in ("a book", "some water")
    ]
    return tuned_lens(jtviz.demo.translator(), sentences, steps=40, progress=False)


def test_a_tuned_lens_is_closer_to_the_model_on_texts_that_it_never_saw(tuned: TunedLens) -> None:
    translator = jtviz.demo.translator()
    for sentence in ("They want to drink tea.", "Where is the nearest station?"):
        trace = translator.trace(sentence)
        plain, better = logit_lens(trace), tuned(trace)
        gain = better.divergence.mean(1) / plain.divergence.mean(1)
        assert bool((gain[:-1] < 0.9).all())
        # The last layer is the model's own.
        assert torch.equal(better.logits(-1), plain.logits(-1))
        assert not torch.equal(better.logits(1), plain.logits(1))
    assert bool((tuned.after < 0.7 * tuned.before).all())
    assert list(tuned.to_pandas().columns) == ["layer", "before", "after"]


def test_a_tuned_lens_is_the_affine_map_before_norm_and_projection(tuned: TunedLens) -> None:
    translator = jtviz.demo.translator()
    trace = translator.trace(SENTENCE)
    model: Any = translator.model
    with torch.no_grad():
        stream = trace.hidden("decoder")[1]
        translated = stream + nn.functional.linear(stream, tuned.weight[1], tuned.bias[1])
        wanted = model.project(model.transformer.decoder.norm(translated))
    torch.testing.assert_close(tuned(trace).logits(1), wanted, atol=1e-4, rtol=1e-4)


def test_training_again_gives_the_same_lens_and_no_other_seed_does() -> None:
    hooked = jtviz.demo.induction()
    state = torch.random.get_rng_state()
    trace = hooked.trace("xyzxyzxy")
    texts = ["abcabcabc", "qmzqmzqmz"] * 6
    one, again, other = (tuned_lens(hooked, texts, steps=5, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.weight, again.weight)
    assert torch.equal(one.bias, again.bias)
    assert not torch.equal(one.weight, other.weight)
    # Nothing of the reader's is touched: random state, weights, or the traces that views are linked by.
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in hooked.model.parameters())
    assert hooked.trace("xyzxyzxy") is trace


def test_a_lens_opens_as_it_was_saved(tuned: TunedLens, tmp_path: Path) -> None:
    tuned.save(tmp_path / "lens.safetensors")
    again = TunedLens.load(tmp_path / "lens.safetensors")
    trace = jtviz.demo.translator().trace("I like tea.")
    assert torch.equal(again(trace).logits(0), tuned(trace).logits(0))
    assert (again.rows, again.side, again.model) == (tuned.rows, tuned.side, tuned.model)
    assert torch.equal(again.after, tuned.after)
    assert again.has_seen(jtviz.demo.translator().trace("I likes a book."))
    assert not again.has_seen(trace)
    (tmp_path / "none.safetensors").write_bytes(b"no lens")
    with pytest.raises(JtvizError, match="is no tuned lens"):
        TunedLens.load(tmp_path / "none.safetensors")
    with pytest.raises(JtvizError, match="name a file in a folder that is there"):
        tuned.save(tmp_path / "nowhere" / "lens.safetensors")


@pytest.mark.parametrize("name", ["GPT-2", "Llama", "T5", "BART"])
def test_any_model_with_a_language_model_head_is_tuned(name: str) -> None:
    family = FAMILIES[name]
    model = family.build("sdpa")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    batch = family.inputs(4, "none")
    inputs = [{key: value[i : i + 1] for key, value in batch.items()} for i in range(4)]
    lens = tuned_lens(model, inputs, steps=30)
    assert bool((lens.after < lens.before).all())
    assert lens(hook(model).trace(inputs=inputs[0])).layers == len(lens.before) + 1


def test_texts_come_as_a_list_a_tuple_or_a_data_frame() -> None:
    hooked = jtviz.demo.induction()
    texts = ["abcabcabc", "qmzqmz"]
    wanted = tuned_lens(hooked, texts, steps=3)
    for given in (tuple(texts), pd.DataFrame({"text": texts}), iter(texts), np.array(texts)):
        found = tuned_lens(hooked, given, steps=3)
        assert found.rows == 15
        assert torch.equal(found.weight, wanted.weight)
        assert found.seen == wanted.seen


def test_a_lens_in_training_lets_others_have_the_model() -> None:
    hooked = jtviz.demo.induction()
    trace = hooked.trace("xyzxyz")
    begun = threading.Event()

    class Told(Progress):
        def advance(self, count: int) -> None:
            if count:
                begun.set()
            if is_enough.is_set():
                raise InterruptedError

    def train() -> None:
        with contextlib.suppress(InterruptedError):
            tuned_lens(hooked, ["abcabcabc"], steps=10**6, progress=Told("", 1, shown=False, seconds=0))

    is_enough = threading.Event()
    trainer = threading.Thread(target=train, daemon=True)
    trainer.start()
    try:
        assert begun.wait(30)
        looking = threading.Thread(target=logit_lens, args=(trace,), daemon=True)
        looking.start()
        looking.join(30)
        assert not looking.is_alive()
        assert trainer.is_alive()
    finally:
        is_enough.set()
        trainer.join(30)


def test_what_cannot_be_tuned_is_said(tuned: TunedLens) -> None:
    induction = jtviz.demo.induction()
    with pytest.raises(JtvizError, match="trained for a Seq2SeqTransformer of 2 layers and width 192"):
        tuned(induction.trace("abcabc"))
    with pytest.raises(JtvizError, match="texts= is empty"):
        tuned_lens(induction, [])
    with pytest.raises(JtvizError, match="texts are a list of strings or a data frame, not int"):
        tuned_lens(induction, 5)
    with pytest.raises(JtvizError, match="seed= is a whole number"):
        tuned_lens(induction, ["abc"], seed=-1)
    with pytest.raises(JtvizError, match="side= is 'encoder' or 'decoder', not 'left'"):
        tuned_lens(induction, ["abc"], side="left")
    with pytest.raises(JtvizError, match="steps= is a whole number"):
        tuned_lens(induction, ["abc"], steps=0)
    with pytest.raises(JtvizError, match="rate= is a learning rate"):
        tuned_lens(induction, ["abc"], rate=0)
    with pytest.raises(JtvizError, match="give fewer than 1 texts, or more memory"):
        tuned_lens(induction, ["abc"], memory=10)
