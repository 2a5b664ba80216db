"""What looked right and was not: each of these once showed a wrong number, or would have."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from jtviz.capture import JtvizError, Trace, hook
from tests.zoo.families import FAMILIES


def test_a_masked_model_is_explained_in_its_place() -> None:
    settings = FAMILIES["BERT"].settings
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Any = transformers.BertForMaskedLM(transformers.BertConfig(**settings))
    model = model.eval()
    ids = torch.tensor([[1, 10, 11, 12, 13, 2]])
    trace = hook(model).trace(inputs={"input_ids": ids}, target=3)
    assert trace.target is not None
    assert trace.logits is not None
    assert trace.target.index == int(trace.logits[3].argmax()), "not the token after it"


def test_a_graph_that_is_cut_is_refused_not_shown_as_zero() -> None:
    family = FAMILIES["GPT-2"]
    model, inputs = family.build("sdpa"), family.inputs(1, "none")
    with pytest.raises(JtvizError, match="cannot be differentiated"):
        hook(model).trace(inputs=inputs, target=lambda output: output.logits[0, -1].argmax())

    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.inner(x, x, x, need_weights=False)[0]
            out: Tensor = self.head(x)
            return out

    with pytest.raises(JtvizError, match="inner runs without gradients"):
        hook(Frozen()).trace(inputs=(torch.randn(1, 4, 8),), target=lambda output: output.sum())


@pytest.mark.parametrize("dtype", [torch.long, torch.bool, torch.float32])
def test_padding_is_no_part_of_the_loss_whatever_type_the_mask_has(dtype: torch.dtype) -> None:
    model = FAMILIES["GPT-2"].build("sdpa")
    ids = torch.tensor([[10, 11, 12, 13, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).to(dtype)}
    trace = hook(model).trace(inputs=inputs, output="loss")
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=(ids != 0).long()).logits[0]
    assert trace.target is not None
    assert trace.target.value == pytest.approx(float(F.cross_entropy(logits[:3], ids[0, 1:4])), abs=1e-5)


def test_the_loss_against_labels_is_the_models_own() -> None:
    model = FAMILIES["BART"].build("sdpa")
    inputs = {
        "input_ids": torch.tensor([[5, 6, 7, 2]]),
        "labels": torch.tensor([[20, 21, 22, 2, -100, -100]]),
    }
    trace = hook(model).trace(inputs=inputs, output="loss")
    with torch.no_grad():
        wanted = float(model(**inputs).loss)
    assert trace.target is not None
    assert trace.target.value == pytest.approx(wanted, abs=1e-5)


class Projected(nn.Module):
    """Attention whose output goes through more than one weight, or lies otherwise."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.base, self.other = how, nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        heads = torch.unflatten(x, -1, (2, 4)).transpose(1, 2)
        out = F.scaled_dot_product_attention(heads, heads, heads)
        if self.how == "interleaved":
            return self.base(out.permute(0, 2, 3, 1).reshape(x.shape))  # type: ignore[no-any-return]
        mixed = out.transpose(1, 2).reshape(x.shape)
        if self.how == "second product":
            return self.base(mixed) + self.other(mixed)  # type: ignore[no-any-return]
        if self.how == "gate":
            return self.base(mixed * self.other(mixed).sigmoid())  # type: ignore[no-any-return]
        return self.base(mixed)  # type: ignore[no-any-return]


@pytest.mark.parametrize("how", ["plain", "interleaved", "second product", "gate"])
def test_an_output_projection_is_all_that_heads_go_through_or_unknown(how: str) -> None:
    model = Projected(how)
    trace = hook(model).trace(inputs=(torch.randn(1, 5, 8),))
    if how == "plain":
        wanted = model.base.weight.detach().T.reshape(2, 4, 8)
        assert torch.equal(trace.output_projection("encoder", 0), wanted)
    else:
        with pytest.raises(JtvizError, match="is not known"):
            trace.output_projection("encoder", 0)


def test_a_step_of_a_fused_optimiser_is_noticed() -> None:
    family = FAMILIES["GPT-2"]
    model, inputs = family.build("sdpa"), family.inputs(1, "none")
    before = hook(model).trace(inputs=inputs)
    model(**inputs).logits.logsumexp(-1).sum().backward()
    torch.optim.AdamW(model.parameters(), lr=0.05, fused=True).step()
    assert hook(model).trace(inputs=inputs) is not before
    with pytest.raises(JtvizError, match="was changed since the trace"):
        before.unembedding()


def test_another_type_of_autocast_is_another_trace() -> None:
    family = FAMILIES["GPT-2"]
    model, inputs = family.build("sdpa"), family.inputs(1, "none")
    found = []
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=dtype):
            found.append(hook(model).trace(inputs=inputs).sites[0].kept[0].dtype)
    assert found == [torch.bfloat16, torch.float16]


def test_a_column_asked_for_in_inference_mode_can_be_asked_for_again_outside() -> None:
    trace = Trace.from_qkv(*torch.randn(2, 1, 2, 6, 8))
    with torch.inference_mode():
        first = trace.attention("encoder", layer=0, rows=[0], cols=[0])
    assert torch.equal(trace.attention("encoder", layer=0, cols=[0])[:, :1], first)


@pytest.mark.parametrize("fill", [-1e4, -1e9, -math.inf])
def test_a_causal_bias_is_causal_whatever_hides_later_keys(fill: float) -> None:
    class Alibi(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            length = x.shape[2]
            distance = torch.arange(length) - torch.arange(length)[:, None]
            later = torch.ones(length, length, dtype=torch.bool).triu(1)
            mask = 0.1 * distance.float() + torch.zeros(length, length).masked_fill(later, fill)
            return F.scaled_dot_product_attention(x, x, x, mask)

    assert hook(Alibi()).trace(inputs=(torch.randn(1, 2, 6, 8),)).stages == ("decoder",)


@pytest.mark.parametrize("fill", [-5e3, -1e4, -2e4])
def test_an_overview_sees_what_rows_of_padding_look_at(fill: float) -> None:
    length = 64
    hidden = ~torch.ones(length, length, dtype=torch.bool).tril() | (torch.arange(length) < 20)
    mask = torch.zeros(length, length).masked_fill(hidden, fill)
    trace = Trace.from_qkv(*torch.randn(2, 1, 1, length, 8), mask=mask)
    (stage,) = trace.stages
    found = trace.overview(stage, layer=0, size=8, pool="sum").result(60).values[0]
    pattern = trace.attention(stage, layer=0)[0]
    wanted = pattern.view(8, 8, 8, 8).sum((1, 3))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_rows_are_chosen_by_true_and_false_as_in_numpy() -> None:
    trace = Trace.from_qkv(*torch.randn(2, 1, 2, 4, 8))
    chosen: Any = torch.tensor([False, True, True, False])
    found = trace.attention("encoder", layer=0, rows=chosen)
    assert torch.equal(found, trace.attention("encoder", layer=0, rows=[1, 2]))
    wrong: Any = [0.9]
    with pytest.raises(JtvizError, match="head must be whole numbers"):
        trace.attention("encoder", layer=0, head=wrong)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_heads_before_examples_in_einsum_are_told_by_the_values(batch: int) -> None:
    class HeadsFirst(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            heads = torch.unflatten(x, -1, (2, 4))
            self.pattern = torch.einsum("bqhd,bkhd->hbqk", heads, heads).softmax(-1)
            return torch.einsum("hbqk,bkhd->bqhd", self.pattern, heads)

    model = HeadsFirst()
    trace = hook(model).trace(inputs=(torch.randn(batch, 5, 8),), example=batch - 1)
    torch.testing.assert_close(trace.attention("encoder", layer=0), model.pattern[:, batch - 1])


def test_heads_in_several_axes_are_refused_not_lost() -> None:
    class Grouped(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x[:, :, :1], x[:, :, :1])

    with pytest.raises(JtvizError, match="which of them are heads cannot be told"):
        hook(Grouped()).trace(inputs=(torch.randn(1, 2, 2, 5, 4),))
