"""What cannot be told is refused, not guessed; what changed is traced anew."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import jtviz
from jtviz.capture import JtvizError, SiteRefusedError, hook
from jtviz.capture.structure import is_encoder_decoder
from tests.zoo.families import FAMILIES


class Mixed(nn.Module):
    """Attention with examples and heads in one axis, whichever way round."""

    def __init__(self, *, head_major: bool = True, temperature: float = 1.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.q = nn.Linear(8, 8)
        self.head_major, self.temperature = head_major, temperature

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x) if not x.is_floating_point() else x
        batch, tokens, _ = x.shape
        q = self.q(x).view(batch, tokens, 2, 4)
        q = q.permute(2, 0, 1, 3) if self.head_major else q.permute(0, 2, 1, 3)
        q = q.reshape(2 * batch, tokens, 4)
        weights = (torch.bmm(q, q.transpose(1, 2)) / self.temperature).softmax(-1)
        return torch.bmm(weights, q)


@pytest.mark.parametrize("head_major", [True, False])
@pytest.mark.parametrize("inputs", [torch.randint(0, 20, (3, 5)), torch.randn(3, 5, 8)])
def test_heads_of_other_examples_are_never_shown_as_heads(head_major: bool, inputs: Tensor) -> None:
    with pytest.raises(SiteRefusedError, match="trace one example at a time"):
        hook(Mixed(head_major=head_major)).trace(inputs=(inputs,))
    one = hook(Mixed(head_major=head_major)).trace(inputs=(inputs[:1],))
    assert one.heads("encoder", 0) == 2


def test_heads_before_examples_are_found() -> None:
    class HeadsFirst(Mixed):
        def forward(self, x: Tensor) -> Tensor:
            q = self.q(self.embedding(x)).view(*x.shape, 2, 4).permute(2, 0, 1, 3)
            out: Tensor = (q @ q.transpose(-1, -2)).softmax(-1) @ q
            return out

    trace = hook(HeadsFirst()).trace(inputs=(torch.randint(0, 20, (1, 4)),))
    assert trace.attention("encoder", layer=0).shape == (2, 4, 4)


def test_a_changed_setting_a_swapped_layer_and_autocast_are_traced_anew() -> None:
    model, ids = Mixed(), torch.tensor([[1, 2, 3]])
    hooked = hook(model)
    first = hooked.trace(inputs=(ids,))
    assert hooked.trace(inputs=(ids,)) is first
    model.temperature = 9.0
    second = hooked.trace(inputs=(ids,))
    assert second is not first
    for _ in range(5):  # freed memory is used again, at the same address
        before = hooked.trace(inputs=(ids,))
        model.q = None  # type: ignore[assignment]
        model.q = nn.Linear(8, 8)
        assert hooked.trace(inputs=(ids,)) is not before
    before = hooked.trace(inputs=(ids,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert hooked.trace(inputs=(ids,)) is not before


def test_a_row_that_may_look_at_nothing_is_said() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x, mask = torch.randn(1, 9, 8), torch.zeros(9, 9)
    mask[1] = -torch.inf
    inputs = {"query": x, "key": x, "value": x, "attn_mask": mask, "need_weights": True}
    with pytest.raises(SiteRefusedError, match="a mask that lets a token look at nothing"):
        hook(attention).trace(inputs=inputs)


def test_labels_name_the_decoder_as_it_reads_them() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BartConfig(
        vocab_size=30, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32,
    )  # fmt: skip
    model: Any = transformers.BartForConditionalGeneration(config).eval()
    tokenizer = jtviz.demo.translator().tokenizer.source
    labels = torch.tensor([[10, 7, 8, -100]])
    trace = hook(model, tokenizer).trace(inputs={"input_ids": torch.tensor([[5, 6, 2]]), "labels": labels})
    read = model.prepare_decoder_input_ids_from_labels(labels)[0].tolist()
    assert trace.tokens["decoder"].ids == tuple(read)


@pytest.mark.parametrize("ids", [[1, 2, 3], [[1, 2, 3]], np.array([1, 2, 3]), torch.tensor([1, 2, 3])])
def test_token_ids_are_welcome_as_people_have_them(ids: Any) -> None:
    model = FAMILIES["GPT-2"].build("sdpa")
    wanted = hook(model).trace(inputs={"input_ids": torch.tensor([[1, 2, 3]])})
    for inputs in (ids, {"input_ids": ids}):
        trace = hook(model).trace(inputs=inputs)
        assert torch.equal(trace.attention("decoder", layer=0), wanted.attention("decoder", layer=0))


@pytest.mark.parametrize("inputs", [[[1, 2], [3]], {"input_ids": [[1, 2], [3]]}])
def test_texts_of_different_length_are_refused_in_one_sentence(inputs: Any) -> None:
    with pytest.raises(JtvizError, match="is no tensor: give numbers, and pad rows that differ"):
        hook(FAMILIES["GPT-2"].build("sdpa")).trace(inputs=inputs)


def test_a_list_as_text_is_refused_in_one_sentence() -> None:
    with pytest.raises(JtvizError, match="text must be a string"):
        jtviz.demo.translator().trace(["I like tea."])  # type: ignore[arg-type]


def test_targets_that_may_be_left_out_do_not_make_a_model_an_encoder_decoder() -> None:
    class Scored(Mixed):
        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            return super().forward(x) if y is None else super().forward(x).sum() - y.sum()

    assert not is_encoder_decoder(Scored())
    assert is_encoder_decoder(jtviz.demo.translator().model)


@pytest.mark.parametrize("need_weights", [False, True])
def test_an_example_of_float_inputs_can_be_chosen(*, need_weights: bool) -> None:
    layer = nn.MultiheadAttention(16, 4, batch_first=True).eval()
    x = torch.randn(3, 5, 16)
    given = {"query": x, "key": x, "value": x, "need_weights": need_weights}
    wanted = layer(x, x, x, average_attn_weights=False)[1]
    for example in range(3):
        trace = hook(layer).trace(inputs=given, example=example)
        torch.testing.assert_close(trace.attention("encoder", layer=0), wanted[example], atol=1e-6, rtol=0)


def test_an_example_that_is_not_there_is_refused() -> None:
    model = FAMILIES["GPT-2"].build("sdpa")
    ids = torch.randint(3, 50, (2, 6))
    with pytest.raises(JtvizError, match="example 2 is not there: examples are 0 to 1"):
        hook(model).trace(inputs={"input_ids": ids}, example=2)
    with pytest.raises(JtvizError, match="example= is the number of one example"):
        hook(model).trace(inputs={"input_ids": ids}, example=-1)
    layer, x = nn.MultiheadAttention(16, 4, batch_first=True).eval(), torch.randn(2, 5, 16)
    with pytest.raises(JtvizError, match="which is example 7 cannot be told"):
        hook(layer).trace(inputs=(x, x, x), example=7)


BAD_INPUTS: list[tuple[Any, str]] = [
    ([1, 10_000], "token 10000 is not there: the model's ids are 0 to"),
    ([1, -1], "token -1 is not there"),
    ([1] * 1000, "the text has 1000 tokens, but the model reads at most"),
    ({"input_ids": []}, r"inputs\['input_ids'\] is empty"),
    ({"input_ids": ["a", "b"]}, r"inputs\['input_ids'\] is no tensor"),
    ([10**30], "is no tensor"),
]


@pytest.mark.parametrize(("inputs", "said"), BAD_INPUTS)
def test_ids_that_cannot_be_read_are_refused_before_the_model_runs(inputs: Any, said: str) -> None:
    with pytest.raises(JtvizError, match=said):
        hook(FAMILIES["GPT-2"].build("sdpa")).trace(inputs=inputs)


def test_lists_and_arrays_of_any_type_are_tensors_of_the_model() -> None:
    model = FAMILIES["GPT-2"].build("sdpa")
    wanted = hook(model).trace(inputs=[1, 2, 3]).attention("decoder", layer=0)
    vectors = model.get_input_embeddings()(torch.tensor([[1, 2, 3]])).detach().double().numpy()
    for inputs in (
        {"input_ids": [[1, 2, 3]], "attention_mask": [[True, True, True]]},
        {"input_ids": np.array([1, 2, 3], dtype=np.int16), "attention_mask": [1.0, 1.0, 1.0]},
        {"inputs_embeds": vectors, "position_ids": [0, 1, 2]},
    ):
        trace = hook(model).trace(inputs=inputs)
        torch.testing.assert_close(trace.attention("decoder", layer=0), wanted, atol=1e-6, rtol=0)
    assert list(trace.tokens["decoder"]) == ["0", "1", "2"], "positions are no ids"


def test_a_tuple_of_lists_is_of_several_inputs() -> None:
    model = jtviz.demo.translator()
    trace = hook(model.model).trace(inputs=([[5, 6, 7]], [[1, 8]]))
    assert [len(tokens) for tokens in trace.tokens.values()] == [3, 2]


def test_labels_of_each_example_are_not_wrapped() -> None:
    transformers = pytest.importorskip("transformers")
    model: Any = transformers.BertForQuestionAnswering(
        transformers.BertConfig(**FAMILIES["BERT"].settings)
    ).eval()
    ends = {"start_positions": torch.tensor([0, 1]), "end_positions": torch.tensor([1, 2])}
    assert hook(model).trace(inputs={"input_ids": torch.tensor([[1, 2, 3], [4, 5, 6]]), **ends}).stages


def test_the_same_array_is_the_same_trace_and_true_is_not_one() -> None:
    model = FAMILIES["GPT-2"].build("sdpa")
    ids = np.array([1, 2, 3])
    assert hook(model).trace(inputs=ids) is hook(model).trace(inputs=ids.copy())
    assert hook(model).trace(inputs=ids) is not hook(model).trace(inputs=ids[::-1].copy())
    hook(model).trace(inputs=ids, target=1)
    with pytest.raises(JtvizError, match="target= is a token"):
        hook(model).trace(inputs=ids, target=True)
