"""What looked right and was not: each of these once showed a wrong number, or would have."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import jtviz
from jtviz.capture import JtvizError, Trace, hook
from jtviz.capture.structure import longest
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


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_neither_explained_nor_given_a_probability(side: str) -> None:
    family = FAMILIES["GPT-2"]
    model, words = family.build("sdpa"), [10, 11, 12, 13]
    ids = torch.tensor([[0, 0, *words] if side == "left" else [*words, 0, 0]])
    first = 2 if side == "left" else 0
    mask = torch.zeros_like(ids)
    mask[:, first : first + 4] = 1
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
    alone = hook(model).trace(inputs={"input_ids": torch.tensor([words])}, output="logit")
    trace = hook(model).trace(inputs=inputs, output="logit")
    assert trace.target is not None
    assert alone.target is not None
    assert trace.target.row == first + 3
    assert trace.target.index == alone.target.index
    assert trace.target.value == pytest.approx(alone.target.value, abs=1e-5)
    assert trace.chances is not None
    assert trace.chances[first : first + 4] == pytest.approx(alone.chances, abs=1e-5)
    assert [chance is None for chance in trace.chances] == [not seen for seen in mask[0].tolist()]


@pytest.mark.parametrize("mask", [torch.ones(6, 6, dtype=torch.bool).tril(), torch.ones(6, 6).tril().long()])
def test_a_square_mask_is_not_taken_for_the_batch(mask: Tensor) -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Linear(8, 8)

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            q = self.q(x).view(*x.shape[:2], 2, 4).transpose(1, 2)
            weights = (q @ q.mT).masked_fill(mask == 0, -math.inf).softmax(-1)
            out: Tensor = (weights @ q).transpose(1, 2).flatten(2)
            return out

    model, x = Masked(), torch.randn(3, 6, 8)
    for example in (0, 2):
        trace = hook(model).trace(inputs=(x, mask), example=example)
        alone = hook(model).trace(inputs=(x[example : example + 1], mask))
        found = trace.attention("decoder", layer=0)
        torch.testing.assert_close(found, alone.attention("decoder", layer=0), atol=1e-6, rtol=0)


def test_one_learned_pattern_for_all_examples_is_shown() -> None:
    class Learned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores, self.value = nn.Parameter(torch.randn(1, 2, 5, 5)), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            value = self.value(x).view(len(x), 5, 2, 4).transpose(1, 2)
            out: Tensor = (self.scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
            return out

    model = Learned()
    trace = hook(model).trace(inputs=(torch.randn(2, 5, 8),), example=1)
    wanted = model.scores.detach()[0].softmax(-1)
    torch.testing.assert_close(trace.attention("encoder", layer=0), wanted, atol=1e-6, rtol=0)


def test_the_largest_of_negative_weights_is_negative() -> None:
    class Away(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x @ x.mT).softmax(-1).mul(-1) @ x

    trace = hook(Away()).trace(inputs=(torch.randn(1, 8, 4),))
    pattern = trace.attention("encoder", layer=0)
    assert float(pattern.max()) < 0
    task = trace.overview("encoder", layer=0, size=2, pool="max")
    assert torch.equal(task.result(60).values, F.max_pool2d(pattern, 4))


def test_a_changed_list_of_settings_is_another_trace() -> None:
    model = FAMILIES["GPT-2"].build("sdpa")
    settings: Any = model
    settings.scales = [1.0, 2.0]
    inputs = FAMILIES["GPT-2"].inputs(1, "none")
    first = hook(model).trace(inputs=inputs)
    assert hook(model).trace(inputs=inputs) is first
    settings.scales[1] = 3.0
    assert hook(model).trace(inputs=inputs) is not first


def test_a_text_that_leaves_no_room_to_write_says_so() -> None:
    model = FAMILIES["GPT-2"].build("sdpa")
    most = longest(model, "encoder") or 0
    tokenizer = Tokenizer(models.WordLevel({"a": 5}))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(JtvizError, match=f"fills all {most} positions of the model, and leaves none"):
        hook(model, tokenizer).trace(" ".join("a" * most), generate=3)


def test_checkpointing_with_frozen_weights_is_refused_in_one_sentence() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            def run(x: Tensor) -> Tensor:
                found: Tensor = self.inner(x, x, x, need_weights=False)[0]
                return found

            out: Tensor = checkpoint(run, x, use_reentrant=False)
            return out

    model = Checkpointed().requires_grad_(requires_grad=False)
    with pytest.raises(JtvizError, match="checkpoints its layers, and frozen weights"):
        hook(model).trace(inputs=(torch.randn(1, 4, 8),), target=lambda output: output.sum())


def test_threads_that_read_one_file_see_the_same(tmp_path: Path) -> None:
    q, k = torch.randn(2, 1, 4, 300, 8)
    made = Trace.from_qkv(q, k, k, causal=True)
    made.attention("decoder", layer=0, head=0, cols=3)  # one head's log-sum-exp is known, the rest is not
    made.save(tmp_path / "x.safetensors")
    wanted = made.attention("decoder", layer=0)
    for _ in range(5):
        trace = jtviz.load(tmp_path / "x.safetensors")
        ask = partial(trace.attention, "decoder", layer=0)
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask, cols=c) for c in range(40)]
        found = [answer.result() for answer in asked]
        torch.testing.assert_close(torch.stack(found, -1), wanted[..., :40], atol=1e-6, rtol=0)
