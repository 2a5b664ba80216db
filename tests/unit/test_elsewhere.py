"""Attention computed elsewhere: opened as it was given, or refused with what is wrong with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import jtviz
from jtviz.capture import JtvizError, Trace, from_arrays

from .test_capture_huggingface import build, inputs_of

NAMES = ["the", "cat", "sat", "on", "it"]


def patterns(layers: int = 2, heads: int = 3, queries: int = 5, keys: int = 5) -> Tensor:
    return torch.rand(layers, heads, queries, keys).softmax(-1)


@pytest.mark.parametrize(
    "turned",
    [
        lambda w: w,
        lambda w: w.numpy(),
        lambda w: w.tolist(),
        list,
        lambda w: tuple(w.numpy()),
        lambda w: w.unsqueeze(1),
        lambda w: [layer[None] for layer in w],
    ],
    ids=["tensor", "numpy", "lists", "a tensor a layer", "an array a layer", "batch", "batch a layer"],
)
def test_weights_are_shown_as_they_were_given(turned: Any) -> None:
    weights = patterns()
    trace = from_arrays(turned(weights), NAMES)
    assert trace.stages == ("encoder",)
    assert list(trace.tokens["encoder"]) == NAMES
    for layer in range(2):
        torch.testing.assert_close(trace.attention("encoder", layer=layer), weights[layer])
    torch.testing.assert_close(
        trace.attention("encoder", layer=1, head=2, cols=[4, 0]), weights[1, 2][:, [4, 0]]
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_float_type_is_welcome(dtype: torch.dtype) -> None:
    weights = patterns().to(dtype)
    found = from_arrays(weights).attention("encoder", layer=0)
    torch.testing.assert_close(found, weights[0].float())


def test_layers_may_differ_in_heads_and_one_example_of_a_batch_is_chosen() -> None:
    trace = from_arrays([patterns(1, 2)[0], patterns(1, 4)[0]])
    assert [trace.heads("encoder", layer) for layer in (0, 1)] == [2, 4]
    batch = patterns(3)
    torch.testing.assert_close(from_arrays([batch], example=2).attention("encoder", layer=0), batch[2])
    with pytest.raises(JtvizError, match="example 3 is not there: layer 0 has 3 examples"):
        from_arrays([batch], example=3)
    with pytest.raises(JtvizError, match="example=2 needs a batch"):
        from_arrays(batch, example=2)
    lists = [patterns(1, 2)[0].tolist(), patterns(1, 4)[0].tolist()]
    assert from_arrays(lists).heads("encoder", 1) == 4
    with pytest.raises(JtvizError, match="a mapping names its stages itself"):
        from_arrays({"encoder": batch}, stage="encoder")


def test_a_change_of_the_given_array_does_not_change_the_picture() -> None:
    given = patterns().numpy()
    trace = from_arrays(given)
    before = trace.attention("encoder", layer=0).clone()
    given[:] = 0
    assert torch.equal(trace.attention("encoder", layer=0), before)


@pytest.mark.parametrize("family", ["Bert", "GPT2", "Bart"])
@pytest.mark.parametrize("padding", ["none", "left"])
def test_outputs_of_hugging_face_open_as_they_are(family: str, padding: str) -> None:
    model = build(family, "eager")
    inputs = inputs_of(model, padding)
    with torch.no_grad():
        output = model(**inputs, output_attentions=True)
    traced = jtviz.hook(model).trace(inputs=inputs)
    if model.config.is_encoder_decoder:
        given = {s: getattr(output, f"{s}_attentions") for s in ("encoder", "decoder", "cross")}
        opened = from_arrays(given)
    else:
        opened = from_arrays(output.attentions)
    assert opened.stages == traced.stages
    for stage in opened.stages:
        for layer in range(opened.layers(stage)):
            torch.testing.assert_close(
                opened.attention(stage, layer=layer), traced.attention(stage, layer=layer), atol=1e-5, rtol=0
            )


@pytest.mark.parametrize(
    ("given", "tokens", "sentence"),
    [
        (-torch.ones(1, 1, 2, 2), None, "encoder.0 has negative weights"),
        (torch.full((1, 1, 2, 2), torch.nan), None, "layer 0 holds NaN or infinity"),
        (torch.ones(2, 2), None, r"not one of shape \[2, 2\]"),
        ("attention", None, "no array of numbers"),
        (torch.rand(1, 1, 2, 2), ["one"], "the encoder has 2 tokens, but 1 names were given"),
        (torch.rand(1, 1, 2, 3), ["one", "two"], "names of both sides"),
        (torch.rand(1, 1, 2, 2), {"decoder": ["one", "two"]}, "no side 'decoder' to name"),
        ({"middle": torch.rand(1, 1, 2, 2)}, None, "a stage is one of 'encoder', 'decoder', 'cross'"),
        ([torch.rand(1, 2, 2), torch.rand(1, 3, 3)], None, "attends over 3 positions"),
        (torch.full((1, 1, 2, 2), torch.inf), None, "layer 0 holds NaN or infinity"),
        (torch.ones(1, 1, 2, 2, dtype=torch.complex64), None, "complex numbers"),
        (torch.empty(0, 1, 2, 2), None, r"not one of shape \[0, 1, 2, 2\]"),
        ({}, None, "the mapping is empty"),
        (torch.rand(1, 1, 2, 2), 5, "one string a token, not int"),
        (torch.rand(1, 1, 2, 2), "ab", "one string a token, not one string"),
    ],
)
def test_what_is_no_attention_is_refused(given: Any, tokens: Any, sentence: str) -> None:
    with pytest.raises(JtvizError, match=sentence):
        from_arrays(given, tokens)


def test_rows_that_do_not_sum_to_one_are_said() -> None:
    (note,) = from_arrays(patterns() * 0.5).notes[:1]
    assert note == "rows of encoder.0 sum to 0.5 to 0.5, not to one"
    assert from_arrays(patterns()).notes == ()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_queries_and_keys_give_the_pattern_that_the_kernel_would(causal: bool, key_heads: int) -> None:
    query, key = torch.randn(2, 4, 6, 8), torch.randn(2, key_heads, 6, 8)
    value = torch.eye(6).expand(2, key_heads, 6, 6)
    trace = Trace.from_qkv(query, key, value, causal=causal)
    stage = "decoder" if causal else "encoder"
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=causal, enable_gqa=True)
    for layer in range(2):
        found = trace.attention(stage, layer=layer)
        torch.testing.assert_close(found, expected[layer], atol=1e-6, rtol=1e-5)
        column = trace.attention(stage, layer=layer, cols=[3])
        torch.testing.assert_close(column, expected[layer][..., [3]], atol=1e-6, rtol=1e-5)


def test_a_mask_hides_what_it_hides() -> None:
    query, key = torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 8)
    mask = torch.rand(5, 5) > 0.4
    mask.fill_diagonal_(fill_value=True)
    expected = (query[0] @ key[0].mT * 0.3).masked_fill(~mask, -torch.inf).softmax(-1)
    found = Trace.from_qkv(query, key, mask=mask, scale=0.3).attention("encoder", layer=0)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    with pytest.raises(JtvizError, match="not both"):
        Trace.from_qkv(query, key, mask=mask, causal=True)


@pytest.mark.parametrize(
    "mask",
    [
        torch.ones(5, dtype=torch.long),
        torch.ones(3, 5, 5) > 0,
        torch.zeros(9, 5),
        torch.full((5, 5), torch.nan),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask: Tensor) -> None:
    query, key = torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 8)
    with pytest.raises(JtvizError, match="mask must"):
        Trace.from_qkv(query, key, mask=mask)


def test_a_mask_of_numpy_is_kept_once_for_all_layers() -> None:
    mask = np.random.default_rng(0).random((5, 5)) > 0.5
    np.fill_diagonal(mask, 1)
    trace = Trace.from_qkv(*torch.randn(2, 3, 2, 5, 8), mask=mask)
    assert len({id(getattr(site, "mask", None)) for site in trace.sites}) == 1
    hidden = ~torch.as_tensor(mask)
    assert not trace.attention("encoder", layer=2)[:, hidden].any()


def test_more_keys_than_queries_are_cross_attention() -> None:
    query, key = torch.randn(1, 2, 3, 8), torch.randn(1, 2, 5, 8)
    trace = Trace.from_qkv(query, key)
    assert trace.stages == ("cross",)
    assert (len(trace.tokens["decoder"]), len(trace.tokens["encoder"])) == (3, 5)
    with pytest.raises(JtvizError, match="as many keys as queries"):
        Trace.from_qkv(query, key, causal=True)


def test_queries_and_keys_that_do_not_fit_are_refused() -> None:
    query = torch.randn(1, 4, 5, 8)
    for key in (torch.randn(1, 3, 5, 8), torch.randn(1, 4, 5, 6)):
        with pytest.raises(JtvizError, match=r"encoder.0 do not fit each other: \[4, 5, 8\], \["):
            Trace.from_qkv(query, key)
    with pytest.raises(JtvizError, match="1, 2 and 1 layers"):
        Trace.from_qkv(query, torch.randn(2, 4, 5, 8))


def test_a_part_of_a_hundred_thousand_tokens_costs_only_itself() -> None:
    query, key = torch.randn(1, 1, 131_072, 16), torch.randn(1, 1, 131_072, 16)
    trace = Trace.from_qkv(query, key)
    row = trace.attention("encoder", layer=0, head=0, rows=70_000)
    expected = (query[0, 0, 70_000] @ key[0, 0].T / 4).softmax(-1)
    torch.testing.assert_close(row, expected, atol=1e-6, rtol=1e-4)
    assert trace.nbytes < 4 * query.numel() * 4


def test_what_was_computed_elsewhere_is_shown_in_the_view() -> None:
    view = jtviz.show_attention(
        from_arrays(np.full((2, 3, 5, 5), 0.2), NAMES), layer=1, heads=[2], mode="matrix"
    )
    assert (view.stage, view.layer, view.heads) == ("encoder", 1, [2])
    shown = jtviz.show_attention(trace=Trace.from_qkv(*torch.randn(2, 1, 2, 5, 8), tokens=NAMES))
    assert shown.stage == "encoder"
