"""A compact mask says exactly what the kernel was given, and any tile is the same part of the whole."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from jtviz.capture import hook
from jtviz.capture.mask import Bias, Diagonals, MaskBook, Packed, Rule, compact
from jtviz.capture.part import Part, size

HEADS, QUERIES, KEYS = 4, 7, 7
SMALLEST = torch.finfo(torch.float32).min


def triangle() -> Tensor:
    return torch.ones(QUERIES, KEYS, dtype=torch.bool).tril()


def added(visible: Tensor, fill: float) -> Tensor:
    return torch.zeros(visible.shape).masked_fill(~visible, fill)


def window() -> Tensor:
    return triangle() & ~triangle().tril(-3)


def padded() -> Tensor:
    return torch.arange(KEYS) < KEYS - 2


def distances() -> Tensor:
    steps = torch.arange(KEYS) - torch.arange(QUERIES)[:, None]
    return torch.randn(HEADS, 2 * KEYS)[:, steps + KEYS]


MASKS: dict[str, tuple[Any, type]] = {
    "causal": (triangle(), Rule),
    "causal -inf": (added(triangle(), -math.inf), Rule),
    "causal -1e9": (added(triangle(), -1e9), Rule),
    "causal smallest": (added(triangle(), SMALLEST), Rule),
    "padding": (padded()[None], Rule),
    "padding for each row": (padded().expand(1, 1, QUERIES, KEYS), Rule),
    "causal and padding": (triangle() & padded(), Rule),
    "padding on the left": (added(triangle() & (torch.arange(KEYS) > 1), SMALLEST), Rule),
    # CLIP under transformers 4 hides twice, and 2 * finfo.min is -inf.
    "causal plus padding on the left": (
        added(triangle(), SMALLEST) + added((torch.arange(KEYS) > 1).expand(QUERIES, KEYS), SMALLEST),
        Bias,
    ),
    "nobody": (torch.zeros(QUERIES, KEYS, dtype=torch.bool), Rule),
    "window": (window(), Diagonals),
    "window, padding on the left": (window() & (torch.arange(KEYS) > 1), Diagonals),
    "window, padding on the right": (added(window() & padded(), SMALLEST), Diagonals),
    "window with a hole": (window() & (torch.arange(KEYS) != 3), Packed),
    "one for each head": (torch.rand(1, HEADS, QUERIES, KEYS) > 0.3, Packed),
    "padding for each head": (torch.rand(1, HEADS, 1, KEYS) > 0.3, Packed),
    "relative": (distances()[None], Diagonals),
    "relative and causal": (distances().masked_fill(~triangle(), -math.inf)[None], Diagonals),
    "relative and padding": (distances().masked_fill(~padded(), SMALLEST)[None], Diagonals),
    "relative, causal, padding on the left": (
        distances().masked_fill(~triangle() | (torch.arange(KEYS) < 2), -math.inf)[None],
        Diagonals,
    ),
    "bias": (torch.randn(1, HEADS, QUERIES, KEYS), Bias),
    "bias on keys": (torch.randn(1, HEADS, 1, KEYS), Bias),
    "bias and padding": (torch.randn(1, HEADS, QUERIES, KEYS).masked_fill(~padded(), -math.inf), Bias),
}


def tile(mask: Any, rows: Part, cols: Part) -> Tensor:
    scores = torch.zeros(HEADS, size(rows), size(cols))
    mask.add_to(scores, range(HEADS), rows, cols)
    return scores


@pytest.mark.parametrize("name", MASKS)
def test_a_compact_mask_adds_what_the_mask_adds(name: str) -> None:
    given, kind = MASKS[name]
    mask = compact(given, QUERIES, KEYS, is_causal=False)
    assert isinstance(mask, kind)
    whole = (added(given, -math.inf) if given.dtype == torch.bool else given).expand(1, HEADS, QUERIES, KEYS)[
        0
    ]
    assert torch.equal(tile(mask, slice(0, QUERIES), slice(0, KEYS)), whole)
    rows, cols = torch.tensor([5, 0, 2]), torch.tensor([1, 6])
    assert torch.equal(tile(mask, rows, cols), whole[:, rows][:, :, cols])
    assert torch.equal(tile(mask, rows, slice(2, 6)), whole[:, rows, 2:6])
    for start in range(QUERIES - 1):
        assert torch.equal(tile(mask, slice(start, start + 2), slice(1, 4)), whole[:, start : start + 2, 1:4])


@pytest.mark.parametrize("name", ["one for each head", "relative", "bias", "causal"])
def test_a_compact_mask_knows_its_heads(name: str) -> None:
    mask = compact(MASKS[name][0], QUERIES, KEYS, is_causal=False)
    whole = tile(mask, slice(0, QUERIES), slice(0, KEYS))
    scores = torch.zeros(2, QUERIES, KEYS)
    assert mask is not None
    mask.add_to(scores, [3, 1], slice(0, QUERIES), slice(0, KEYS))
    assert torch.equal(scores, whole[[3, 1]])


CAUSAL = {
    "causal", "causal smallest", "causal and padding", "window", "window, padding on the left",
    "relative and causal", "relative, causal, padding on the left",
}  # fmt: skip


@pytest.mark.parametrize("name", [*sorted(CAUSAL), "padding", "relative", "bias"])
def test_a_mask_knows_whether_it_is_causal(name: str) -> None:
    mask = compact(MASKS[name][0], QUERIES, KEYS, is_causal=False)
    assert mask is not None
    assert mask.causal is (name in CAUSAL)


def test_a_mask_that_hides_nothing_is_no_mask() -> None:
    assert compact(torch.ones(QUERIES, KEYS, dtype=torch.bool), QUERIES, KEYS, is_causal=False) is None
    assert compact(torch.zeros(QUERIES, KEYS), QUERIES, KEYS, is_causal=False) is None


def test_masks_that_say_the_same_are_kept_once() -> None:
    book = MaskBook()
    first = book.enter(MASKS["window"][0], QUERIES, KEYS, is_causal=False)
    assert book.enter(MASKS["window"][0].clone(), QUERIES, KEYS, is_causal=False) is first
    assert book.enter(MASKS["causal"][0], QUERIES, KEYS, is_causal=False) is not first


class Kernel(nn.Module):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        return scaled_dot_product_attention(
            query, key, value, mask, is_causal=causal, scale=0.3, enable_gqa=query.shape[1] != key.shape[1]
        )


@pytest.mark.parametrize("name", [*MASKS, "none", "flag"])
@pytest.mark.parametrize("key_heads", [HEADS, 2])
def test_any_tile_equals_the_same_part_of_softmax(name: str, key_heads: int) -> None:
    query = torch.randn(1, HEADS, QUERIES, 8)
    key, value = torch.randn(1, key_heads, KEYS, 8), torch.randn(1, key_heads, KEYS, 8)
    mask = MASKS[name][0] if name in MASKS else None
    trace = hook(Kernel()).trace(inputs=(query, key, value, mask, name == "flag"))
    bias = triangle() if name == "flag" else mask
    if bias is None:
        bias = torch.zeros(QUERIES, KEYS)
    bias = added(bias, -math.inf) if bias.dtype == torch.bool else bias
    scores = 0.3 * query @ key.repeat_interleave(HEADS // key_heads, 1).mT + bias
    # A row that sees nothing is zero, as the kernel has it.
    whole = scores.softmax(-1).nan_to_num()[0]
    stage = trace.stages[0]
    found = trace.attention(stage, layer=0)
    torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)
    for rows, cols in ((slice(0, 3), slice(2, 5)), ([6, 1], None), (None, [3]), ([5], [0, 6])):
        part = trace.attention(stage, layer=0, rows=rows, cols=cols)
        wanted = whole[:, rows if rows is not None else slice(None)][
            :, :, cols if cols is not None else slice(None)
        ]
        torch.testing.assert_close(part, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", [*MASKS, "flag"])
def test_a_log_sum_exp_computed_in_blocks_is_the_kernels(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("jtviz.capture.site.STREAM", 2 * KEYS)
    inputs = [torch.randn(1, HEADS, QUERIES, 8) for _ in range(3)]
    mask = MASKS[name][0] if name in MASKS else None
    site: Any = hook(Kernel()).trace(inputs=(*inputs, mask, name == "flag")).sites[0]
    given = site.lse
    assert given is not None, "the kernel gives it"
    site.lse = None
    few = site.log_sum_exp([2], torch.tensor([5, 1]))
    assert int(site.lse.isnan().sum()) == HEADS * QUERIES - 2, "only what is asked for is computed"
    torch.testing.assert_close(few, given[[2]][:, [5, 1]], atol=1e-5, rtol=1e-6)
    found = site.log_sum_exp(site.all_heads, slice(0, QUERIES))
    torch.testing.assert_close(found, given, atol=1e-5, rtol=1e-6)


def test_a_long_text_keeps_no_square() -> None:
    length = 2048
    inputs = [torch.randn(1, HEADS, length, 8) for _ in range(3)]
    trace = hook(Kernel()).trace(inputs=(*inputs, torch.ones(length, length, dtype=torch.bool).tril(), False))
    # Queries, keys, values and the log-sum-exp of each row.
    assert trace.nbytes == (3 * 8 + 1) * HEADS * length * 4
    site: Any = trace.sites[0]
    assert isinstance(site.mask, Rule)
    assert site.mask.keys is None
