"""Attention of PyTorch's own modules and of hand-written ones, against references outside our code."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jtviz.capture import JtvizError, SiteRefusedError, Trace, hook
from jtviz.demo.seq2seq import Seq2SeqConfig, Seq2SeqTransformer

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")

EXACT = 1e-6


def translator(**sizes: Any) -> Seq2SeqTransformer:
    return Seq2SeqTransformer(Seq2SeqConfig(source_vocabulary=30, target_vocabulary=20, **sizes)).eval()


def ids(*shape: int, below: int = 20) -> Tensor:
    return torch.randint(3, below, shape)


def module_attention(model: nn.Module, run: Callable[[], object]) -> dict[str, Tensor]:
    """Return ``need_weights=True`` of every nn.MultiheadAttention, called again with its own inputs."""
    calls: dict[str, tuple[nn.MultiheadAttention, tuple[Any, ...], dict[str, Any]]] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):

            def note(
                module: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: dict[str, Any], name: str = name
            ) -> None:
                calls[name] = (module, args, kwargs)

            handles.append(module.register_forward_pre_hook(note, with_kwargs=True))
    with torch.no_grad():
        run()
        for handle in handles:
            handle.remove()
        wanted = {"need_weights": True, "average_attn_weights": False}
        return {
            name: module(*args, **{**kwargs, **wanted})[1][0]
            for name, (module, args, kwargs) in calls.items()
        }


def assert_equals(trace: Trace, reference: dict[str, Tensor], tolerance: float = EXACT) -> None:
    seen = set()
    for stage in trace.stages:
        for layer in range(trace.layers(stage)):
            name = trace.site(stage, layer).name
            seen.add(name)
            torch.testing.assert_close(
                trace.attention(stage, layer=layer), reference[name], atol=tolerance, rtol=0
            )
    assert seen == set(reference)


@pytest.mark.parametrize(("source", "target"), [(7, 5), (6, 6), (1, 1), (40, 33)])
def test_the_translators_attention_equals_need_weights_of_its_modules(source: int, target: int) -> None:
    model = translator()
    inputs = (ids(1, source), ids(1, target))
    trace = hook(model).trace(inputs=inputs)
    assert trace.stages == ("encoder", "decoder", "cross")
    assert [len(trace.tokens[side]) for side in ("encoder", "decoder")] == [source, target]
    assert_equals(trace, module_attention(model, lambda: model(*inputs)))
    for stage in trace.stages:
        for layer in range(2):
            rows = trace.attention(stage, layer=layer).sum(-1)
            torch.testing.assert_close(rows, torch.ones_like(rows), atol=EXACT, rtol=0)


def test_padding_in_the_source_is_seen_by_nobody() -> None:
    model = translator()
    inputs = (torch.cat([ids(1, 5), torch.zeros(1, 3, dtype=torch.long)], 1), ids(1, 4))
    trace = hook(model).trace(inputs=inputs)
    assert_equals(trace, module_attention(model, lambda: model(*inputs)))
    for stage in ("encoder", "cross"):
        assert float(trace.attention(stage, layer=0, cols=slice(5, 8)).abs().max()) == 0


def test_of_a_batch_the_first_example_is_shown() -> None:
    model = translator()
    inputs = (ids(3, 6), ids(3, 4))
    trace = hook(model).trace(inputs=inputs)
    assert_equals(trace, module_attention(model, lambda: model(*inputs)))
    assert trace.hidden("decoder").shape == (3, 4, 192)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("causal", [True, False])
def test_a_bare_transformer_has_three_stages(*, batch_first: bool, batch: int, causal: bool) -> None:
    model = nn.Transformer(16, 2, 2, 3, 32, batch_first=batch_first).eval()
    x, y = torch.randn(batch, 5, 16), torch.randn(batch, 5, 16)
    inputs: dict[str, Any] = {
        "src": x if batch_first else x.transpose(0, 1),
        "tgt": y if batch_first else y.transpose(0, 1),
    }
    if causal:
        inputs["tgt_mask"] = nn.Transformer.generate_square_subsequent_mask(5)
    trace = hook(model).trace(inputs=inputs, tokens={"encoder": list("abcde"), "decoder": list("vwxyz")})
    assert {stage: trace.layers(stage) for stage in trace.stages} == {"encoder": 2, "decoder": 3, "cross": 3}
    assert all(trace.site("cross", i).name == f"decoder.layers.{i}.multihead_attn" for i in range(3))
    assert_equals(trace, module_attention(model, lambda: model(**inputs)))
    assert list(trace.tokens["decoder"]) == list("vwxyz")
    assert trace.hidden("encoder").shape == (3, 5, 16)


def test_an_unbatched_transformer_is_traced() -> None:
    model = nn.Transformer(16, 2, 1, 1, 32).eval()
    inputs = {"src": torch.randn(5, 16), "tgt": torch.randn(4, 16)}
    trace = hook(model).trace(inputs=inputs)
    assert trace.stages == ("encoder", "decoder", "cross")
    assert trace.attention("cross", layer=0).shape == (2, 4, 5)
    assert trace.hidden("decoder").shape == (2, 4, 16)


@pytest.mark.parametrize("norm_first", [True, False])
def test_an_encoder_on_its_fast_path_is_traced_and_says_so(*, norm_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x = torch.randn(1, 6, 16)
    trace = hook(model).trace(inputs=(x,))
    assert_equals(trace, module_attention(model, lambda: model(x)))
    assert trace.stages == ("encoder",)
    assert "fast path" in trace.notes[0]
    with torch.no_grad():
        torch.testing.assert_close(trace.hidden("encoder")[-1], model(x)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
def test_attention_modules_are_seen_whatever_they_return(*, need_weights: bool, batch: int) -> None:
    model = nn.MultiheadAttention(16, 4, batch_first=True).eval()
    x = torch.randn(batch, 6, 16)
    inputs = {"query": x, "key": x, "value": x, "need_weights": need_weights}
    trace = hook(model).trace(inputs=inputs)
    with torch.no_grad():
        wanted = model(x, x, x, need_weights=True, average_attn_weights=False)[1][0]
    torch.testing.assert_close(trace.attention("encoder", layer=0), wanted, atol=EXACT, rtol=0)


class Annotated(nn.Module):
    """Multi-head attention in the style of The Annotated Transformer (Rush 2018)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.depth = heads, width // heads
        self.linears = nn.ModuleList([nn.Linear(width, width) for _ in range(4)])
        self.attn: Tensor | None = None
        self.dropout = nn.Dropout(0.1)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        batch = query.size(0)
        q, k, v = (
            linear(x).view(batch, -1, self.heads, self.depth).transpose(1, 2)
            for linear, x in zip(self.linears, (query, key, value), strict=False)
        )
        scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(self.depth)
        if mask is not None:
            scores = scores.masked_fill(mask.unsqueeze(1) == 0, -1e9)
        self.attn = self.dropout(scores.softmax(dim=-1))
        x = torch.matmul(self.attn, v).transpose(1, 2).contiguous().view(batch, -1, self.heads * self.depth)
        out: Tensor = self.linears[-1](x)
        return out


class Matrices(Annotated):
    """The same by ``bmm`` over batch times heads, as the original tensor2tensor ports have it."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        batch = query.size(0)
        q, k, v = (
            linear(x)
            .view(batch, -1, self.heads, self.depth)
            .transpose(1, 2)
            .reshape(batch * self.heads, -1, self.depth)
            for linear, x in zip(self.linears, (query, key, value), strict=False)
        )
        scores = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(self.depth)
        if mask is not None:
            scores = scores.masked_fill(mask.repeat_interleave(self.heads, 0) == 0, -1e9)
        weights = nn.functional.softmax(scores, dim=-1)
        self.attn = weights.view(batch, self.heads, *weights.shape[1:])
        x = torch.bmm(weights, v).view(batch, self.heads, -1, self.depth).transpose(1, 2).flatten(2)
        out: Tensor = self.linears[-1](x)
        return out


class Summed(Annotated):
    """The same by ``einsum``."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = (
            linear(x).unflatten(-1, (self.heads, self.depth))
            for linear, x in zip(self.linears, (query, key, value), strict=False)
        )
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(self.depth)
        if mask is not None:
            scores = scores.masked_fill(mask[:, None] == 0, -torch.inf)
        self.attn = torch.softmax(scores, -1)
        out: Tensor = self.linears[-1](torch.einsum("bhqk,bkhd->bqhd", self.attn, v).flatten(2))
        return out


class Written(nn.Module):
    """A small encoder-decoder round such attention."""

    def __init__(self, attention: type[Annotated], width: int = 16, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, width)
        self.read, self.write, self.look = (
            nn.ModuleList([attention(width, heads) for _ in range(layers)]) for _ in range(3)
        )

    def forward(self, src: Tensor, tgt: Tensor, src_mask: Tensor, tgt_mask: Tensor) -> Tensor:
        memory, x = self.embed(src), self.embed(tgt)
        for layer in self.read:
            memory = memory + layer(memory, memory, memory, src_mask)
        for own, cross in zip(self.write, self.look, strict=True):
            x = x + own(x, x, x, tgt_mask)
            x = x + cross(x, memory, memory, src_mask)
        out: Tensor = x
        return out


@pytest.mark.parametrize("attention", [Annotated, Matrices, Summed])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("lengths", [(6, 4), (5, 5)])
def test_hand_written_attention_is_what_the_model_itself_kept(
    attention: type[Annotated], batch: int, lengths: tuple[int, int]
) -> None:
    model = Written(attention).eval()
    source, target = ids(batch, lengths[0]), ids(batch, lengths[1])
    triangle = torch.ones(batch, lengths[1], lengths[1]).tril()
    seen = torch.ones(batch, 1, lengths[0])
    if attention is Matrices and batch > 1:  # examples before heads here, but heads before examples elsewhere
        with pytest.raises(SiteRefusedError, match="trace one example at a time"):
            hook(model).trace(inputs=(source, target, seen, triangle))
        return
    trace = hook(model).trace(inputs=(source, target, seen, triangle))
    assert {s: trace.layers(s) for s in trace.stages} == {"encoder": 2, "decoder": 2, "cross": 2}
    kept = {
        name: m.attn[0]
        for name, m in model.named_modules()
        if isinstance(m, Annotated) and m.attn is not None
    }
    assert_equals(trace, kept, tolerance=0)


def test_a_decoder_given_its_memory_has_no_encoder_stage() -> None:
    model = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 4, 32, batch_first=True), 2).eval()
    x = torch.randn(1, 5, 16)
    for memory in (torch.randn(1, 5, 16), x):
        trace = hook(model).trace(inputs={"tgt": x, "memory": memory})
        assert {stage: trace.layers(stage) for stage in trace.stages} == {"decoder": 2, "cross": 2}
        assert_equals(trace, module_attention(model, lambda memory=memory: model(x, memory)))  # type: ignore[misc]


def test_a_compiled_model_is_traced_uncompiled_and_says_so() -> None:
    model = translator()
    inputs = (ids(1, 6), ids(1, 4))
    reference = module_attention(model, lambda: model(*inputs))
    model.transformer.compile(backend="eager")
    compiled = torch.compile(model, backend="eager")
    trace = hook(compiled).trace(inputs=inputs)
    assert_equals(trace, reference)
    assert any("torch.compile" in note for note in trace.notes)


def test_two_threads_do_not_mix() -> None:
    models = [translator() for _ in range(2)]
    inputs = [(ids(1, 6 + i), ids(1, 4 + i)) for i in range(2)]
    references = [module_attention(m, lambda m=m, x=x: m(*x)) for m, x in zip(models, inputs, strict=True)]  # type: ignore[misc]
    failures: list[BaseException] = []

    def work(i: int, which: int) -> None:
        try:
            for _ in range(5):
                trace = hook(models[which]).trace(
                    inputs=inputs[which], tokens={"encoder": [str(i)] * (6 + which)}
                )
                assert_equals(trace, references[which])
        except BaseException as error:  # noqa: BLE001 - whatever it is, the main thread reports it
            failures.append(error)

    # Two threads a model: also one model in two threads must not mix.
    threads = [threading.Thread(target=work, args=(i, i % 2)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


class Waits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entered, self.leave = threading.Event(), threading.Event()

    def forward(self, x: Tensor) -> Tensor:
        self.entered.set()
        self.leave.wait(10)
        return x


class Meanwhile(nn.Module):
    """Computes attention while another thread is inside one of its modules."""

    def __init__(self) -> None:
        super().__init__()
        self.other = Waits()

    def forward(self, x: Tensor) -> Tensor:
        thread = threading.Thread(target=self.other, args=(x,))
        thread.start()
        self.other.entered.wait(10)
        out = nn.functional.scaled_dot_product_attention(x, x, x)
        self.other.leave.set()
        thread.join()
        return out


def test_what_another_thread_runs_meanwhile_is_no_part_of_a_trace() -> None:
    trace = hook(Meanwhile()).trace(inputs=(torch.randn(1, 2, 5, 8),))
    assert [site.name for site in trace.sites] == ["Meanwhile"]


def test_a_key_that_belongs_to_no_token_is_not_shown_as_one() -> None:
    model = nn.MultiheadAttention(16, 4, batch_first=True, add_zero_attn=True).eval()
    x = torch.randn(1, 6, 16)
    with pytest.raises(JtvizError, match="positions"):
        hook(model).trace(inputs={"query": x, "key": x, "value": x, "need_weights": False})
