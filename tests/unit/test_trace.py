"""What can be asked of a trace, and what is said when it cannot be answered."""

from __future__ import annotations

import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jtviz.capture import HookedTransformer, JtvizError, OutOfRangeError, Trace, hook
from jtviz.demo.sentences import train_tokenizers
from jtviz.demo.seq2seq import Seq2SeqConfig, Seq2SeqTransformer
from jtviz.tokens import TokenizerPair

PAIRS = [
    ("Where is the nearest station?", "最近的车站在哪里？"),
    ("I like to drink tea.", "我喜欢喝茶。"),
] * 3
SOURCE = (torch.tensor([[5, 6, 7, 8, 9]]), torch.tensor([[1, 5, 6]]))


def pair() -> TokenizerPair:
    return TokenizerPair(*train_tokenizers(PAIRS, 80, 60))


def translator(tokenizer: TokenizerPair | None = None) -> Seq2SeqTransformer:
    sizes = (
        (30, 20)
        if tokenizer is None
        else (tokenizer.source.get_vocab_size(), tokenizer.target.get_vocab_size())
    )
    return Seq2SeqTransformer(Seq2SeqConfig(*sizes)).eval()


@pytest.fixture
def trace() -> Trace:
    return hook(translator()).trace(inputs=SOURCE)


@pytest.fixture(scope="module")
def hooked() -> HookedTransformer:
    torch.manual_seed(3)
    tokenizer = pair()
    return hook(translator(tokenizer), tokenizer)


def test_a_trace_names_its_sides_layers_and_heads(trace: Trace) -> None:
    assert trace.stages == ("encoder", "decoder", "cross")
    assert [(trace.query_side(s), trace.key_side(s)) for s in trace.stages] == [
        ("encoder", "encoder"), ("decoder", "decoder"), ("decoder", "encoder"),
    ]  # fmt: skip
    assert [trace.layers(s) for s in trace.stages] == [2, 2, 2]
    assert trace.heads("cross", 1) == 4
    assert len(trace.sites) == 6
    assert list(trace.tokens["encoder"]) == ["0", "1", "2", "3", "4"]


def test_heads_rows_and_columns_are_chosen_as_in_numpy(trace: Trace) -> None:
    whole = trace.attention("cross", layer=1)
    assert whole.shape == (4, 3, 5)
    ask: Any = lambda **which: trace.attention("cross", layer=1, **which)  # noqa: E731
    choices: list[tuple[dict[str, Any], Tensor]] = [
        ({"head": 2}, whole[2]),
        ({"head": [3, 0]}, whole[[3, 0]]),
        ({"head": -1, "rows": -1}, whole[-1, -1]),
        ({"rows": slice(None, None, 2), "cols": [4, 1]}, whole[:, ::2][:, :, [4, 1]]),
        ({"head": 0, "rows": 1, "cols": 2}, whole[0, 1, 2]),
        ({"head": slice(1, 3), "cols": 3}, whole[1:3, :, 3]),
        ({"rows": torch.tensor([0, 2]).numpy()}, whole[:, [0, 2]]),
        ({"rows": []}, whole[:, []]),
    ]
    for which, wanted in choices:
        torch.testing.assert_close(ask(**which), wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(trace.attention("cross", layer=-1), whole)


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        ({"layer": 2}, "layer 2 of the cross is not there: layers are 0 to 1."),
        ({"layer": True}, "layer True of the cross is not there: layers are 0 to 1."),
        ({"layer": 0, "head": 4}, "head 4 is not there: layer 0 of the cross has heads 0 to 3."),
        ({"layer": 0, "head": [0, 9]}, "head 9 is not there: layer 0 of the cross has heads 0 to 3."),
        ({"layer": 0, "rows": 3}, "row 3 is not there: the cross has rows 0 to 2."),
        ({"layer": 0, "cols": [5]}, "column 5 is not there: the cross has columns 0 to 4."),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(
    trace: Trace, which: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(OutOfRangeError) as caught:
        trace.attention("cross", **which)
    assert str(caught.value) == sentence
    assert isinstance(caught.value, IndexError)


def test_a_stage_that_is_not_there_is_answered_with_those_that_are(trace: Trace) -> None:
    for ask in (trace.layers, trace.query_side, trace.key_side, trace.hidden):
        with pytest.raises(
            JtvizError, match="stage 'middle' is not there: this trace has 'encoder', 'decoder', 'cr"
        ):
            ask("middle")


def test_threads_ask_at_once_and_each_is_answered(trace: Trace) -> None:
    wanted = {s: trace.attention(s, layer=1) for s in trace.stages}
    with ThreadPoolExecutor(4) as pool:
        asked = [(s, pool.submit(trace.attention, s, layer=1, cols=[0, 2])) for s in trace.stages * 20]
    for stage, answer in asked:
        assert not answer.result().requires_grad
        torch.testing.assert_close(answer.result(), wanted[stage][:, :, [0, 2]], atol=1e-6, rtol=0)


def test_the_residual_stream_ends_where_the_decoder_norm_begins() -> None:
    model = translator()
    seen: list[Tensor] = []
    norm: Any = model.transformer.decoder.norm
    handle = norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    trace = hook(model).trace(inputs=SOURCE)
    handle.remove()
    hidden = trace.hidden("decoder")
    assert hidden.shape == (3, 3, 192)
    torch.testing.assert_close(hidden[-1], seen[0][0], atol=0, rtol=0)
    torch.testing.assert_close(trace.hidden("cross"), hidden, atol=0, rtol=0)


def test_a_translation_is_generated_then_read_and_each_row_knows_what_it_predicts(
    hooked: HookedTransformer,
) -> None:
    text = "Where is tea?"
    model: Any = hooked.model
    ids = model.generate(torch.tensor([hooked.tokenizer.source.encode(text).ids]), 9)[0].tolist()
    trace = hooked.trace(text, generate=9)
    assert trace.tokens["decoder"].ids == tuple(ids[:-1])
    assert trace.predicts is not None
    assert len(trace.predicts) == len(ids) - 1
    assert trace.logits is not None
    # Greedy: what each row predicts is what the model finds most likely there.
    assert trace.logits.argmax(-1).tolist() == ids[1:]
    assert hooked.generate(text, 9) == hooked.tokenizer.target.decode(ids)


def test_a_given_translation_is_read_up_to_its_end_token(hooked: HookedTransformer) -> None:
    trace = hooked.trace("Where is tea?", target_text="我喜欢茶。")
    assert trace.tokens["decoder"][0] == "<s>"
    assert "".join(trace.tokens["decoder"][1:]) == "我喜欢茶。"
    assert trace.predicts == (*trace.tokens["decoder"][1:], "</s>")


def test_a_model_without_generate_is_decoded_greedily() -> None:
    class Plain(nn.Module):
        def __init__(self, inner: Seq2SeqTransformer) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, source: Tensor, target: Tensor) -> Tensor:
            logits: Tensor = self.inner(source, target)
            return logits

    tokenizer = pair()
    inner = translator(tokenizer)
    wanted = hook(inner, tokenizer).trace("I like tea.", generate=5).tokens["decoder"]
    assert hook(Plain(inner), tokenizer).trace("I like tea.", generate=5).tokens["decoder"] == wanted


@pytest.mark.parametrize("text", ["", "  \n", None, 3])
def test_a_text_with_nothing_in_it_is_refused(hooked: HookedTransformer, text: Any) -> None:
    with pytest.raises(JtvizError, match=r"^[^.]*(text|string)[^.]*\.$"):
        hooked.trace(text)


def test_a_text_longer_than_the_positions_is_refused_with_both_numbers(hooked: HookedTransformer) -> None:
    with pytest.raises(
        JtvizError, match=r"the text has 302 tokens, but the model reads at most 256: shorten it"
    ):
        hooked.trace("tea " * 300)
    with pytest.raises(JtvizError, match=r"at most 256"):
        hooked.trace("tea", target_text="茶" * 300)


def test_bad_requests_are_refused_before_the_model_runs(hooked: HookedTransformer) -> None:
    with pytest.raises(JtvizError, match="either a text or inputs="):
        hooked.trace("tea", inputs=SOURCE)
    with pytest.raises(JtvizError, match="go with a text"):
        hooked.trace(inputs=SOURCE, target_text="茶")
    with pytest.raises(JtvizError, match="names the tokens of inputs="):
        hooked.trace("tea", tokens={"encoder": ["tea"]})
    with pytest.raises(JtvizError, match="number of tokens"):
        hooked.trace("tea", generate=-1)
    with pytest.raises(JtvizError, match="'encoder' and 'decoder', not 'middle'"):
        hooked.trace(inputs=SOURCE, tokens={"middle": []})
    with pytest.raises(JtvizError, match="one string a token"):
        hooked.trace(inputs=SOURCE, tokens={"encoder": "abcde"})
    with pytest.raises(JtvizError, match=r"tokens\['encoder'\] has 2 names, but the encoder has 5 tokens"):
        hooked.trace(inputs=SOURCE, tokens={"encoder": ["a", "b"]})
    with pytest.raises(JtvizError, match=r"tokenizer="):
        hook(translator()).trace("tea")


def test_the_same_request_gives_the_same_trace(hooked: HookedTransformer) -> None:
    assert hooked.trace("I like tea.") is hooked.trace("I like tea.")
    assert hooked.trace("I like tea.") is not hooked.trace("I like tea")
    assert hooked.trace(inputs=SOURCE) is hooked.trace(inputs=tuple(x.clone() for x in SOURCE))
    assert hooked.trace(inputs=SOURCE) is not hooked.trace(inputs=(SOURCE[0] + 1, SOURCE[1]))
    assert hook(hooked.model).trace("I like tea.") is hooked.trace("I like tea.")


def test_a_changed_weight_or_hook_gives_a_new_trace() -> None:
    model = translator()
    hooked = hook(model)
    first = hooked.trace(inputs=SOURCE)
    with torch.no_grad():
        model.project.weight.mul_(1.5)
    second = hooked.trace(inputs=SOURCE)
    assert second is not first
    handle = model.transformer.register_forward_hook(lambda *_: None)
    assert hooked.trace(inputs=SOURCE) is not second
    handle.remove()
    assert hooked.trace(inputs=SOURCE) is second


def test_only_the_last_few_traces_are_kept() -> None:
    hooked = hook(translator())
    first = weakref.ref(hooked.trace(inputs=SOURCE))
    assert first() is not None
    for i in range(8):
        hooked.trace(inputs=(SOURCE[0] + i + 1, SOURCE[1]))
    assert first() is None


def test_hooking_twice_gives_the_same_and_a_new_tokenizer_a_new_one() -> None:
    one, two = pair(), pair()
    model = translator(one)
    hooked = hook(model, one)
    assert hook(model) is hooked
    assert hook(hooked) is hooked
    assert hook(model, one) is hooked
    other = hook(model, two)
    assert other is not hooked
    assert hook(hooked, two) is other
    assert other.tokenizer is two
    assert hooked.tokenizer is one


def test_calling_a_hooked_model_runs_the_model() -> None:
    model = translator()
    with torch.no_grad():
        assert torch.equal(hook(model)(*SOURCE), model(*SOURCE))


def test_a_trace_says_what_there_is(trace: Trace) -> None:
    assert repr(trace) == (
        "Trace(encoder: 5 tokens, decoder: 3 tokens; "
        "attention of encoder: 2 layers, decoder: 2 layers, cross: 2 layers)"
    )


def test_a_trace_is_told_apart_by_identity(trace: Trace) -> None:
    assert trace == trace  # noqa: PLR0124 - that is the promise
    assert len({trace, hook(translator()).trace(inputs=SOURCE)}) == 2
    assert weakref.ref(trace)() is trace


def test_tokens_survive_being_stored(trace: Trace) -> None:
    assert pickle.loads(pickle.dumps(trace.tokens)) == trace.tokens  # noqa: S301 - our own bytes
