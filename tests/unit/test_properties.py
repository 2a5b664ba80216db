"""Whatever the shapes, masks, heads and types: any tile is the same part of the dense pattern.

The dense pattern is computed here in float64, from the definition of scaled dot-product attention.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import jtviz
from jtviz.capture import Trace, TraceFileError, hook, load
from jtviz.capture.overview import POOLS

# The same cases every time; another profile explores.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

KINDS = (
    "none", "flag", "causal", "padding", "left padding", "window", "random", "per head", "bias", "relative",
    "relative and padding",
)  # fmt: skip
FILLS = (-math.inf, -1e9, torch.finfo(torch.float32).min)
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-5, torch.float16: 1e-5}


@dataclass(frozen=True)
class Case:
    """One call of the kernel, and what it was given."""

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    is_causal: bool
    scale: float | None

    @property
    def dense(self) -> Tensor:
        """The pattern ``[heads, queries, keys]`` by the definition, float64."""
        query, key = self.query[0].double(), self.key[0].double()
        key = key.repeat_interleave(len(query) // len(key), 0)
        scores = query @ key.mT * (self.scale or query.shape[-1] ** -0.5)
        if self.is_causal:
            later = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        if self.mask is not None and self.mask.dtype is torch.bool:
            scores = scores.masked_fill(~self.mask[0], -math.inf)
        elif self.mask is not None:
            # As the kernel adds it: in float32, where the smallest float swallows a score.
            scores = (scores.float() + self.mask[0].float()).double()
        return scores.softmax(-1).nan_to_num()


@st.composite
def cases(draw: Any) -> Case:
    group, key_heads = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    queries = draw(st.integers(1, 12))
    kind = draw(st.sampled_from(KINDS))
    keys = queries if kind in {"flag", "causal", "window"} else draw(st.integers(1, 12))
    width = draw(st.sampled_from([1, 4, 8]))
    dtype = draw(st.sampled_from(list(TOLERANCE)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    heads = group * key_heads
    mask = _mask(kind, heads, queries, keys, random)
    if mask is not None and mask.dtype is torch.bool and draw(st.booleans()):
        fill = draw(st.sampled_from(FILLS))
        mask = torch.zeros(mask.shape).masked_fill_(~mask, fill)
    if mask is not None and mask.is_floating_point():
        # The kernel wants one type, and half a type has no -1e9.
        dtype = torch.float32
    return Case(
        query=random(1, heads, queries, width).to(dtype),
        key=random(1, key_heads, keys, width).to(dtype),
        value=random(1, key_heads, keys, width).to(dtype),
        mask=mask,
        is_causal=kind == "flag",
        scale=draw(st.sampled_from([None, 0.3, 1.0])),
    )


def _mask(kind: str, heads: int, queries: int, keys: int, random: Any) -> Tensor | None:
    earlier = torch.ones(queries, keys, dtype=torch.bool).tril()
    padding, left = torch.arange(keys) < max(1, keys - 2), torch.arange(keys) >= min(2, keys - 1)
    steps = torch.arange(keys) - torch.arange(queries)[:, None] + queries - 1
    relative = random(heads, queries + keys)[:, steps]
    found = {
        "none": None,
        "flag": None,
        "causal": earlier,
        "padding": padding.expand(queries, keys),
        "left padding": earlier & left,
        "window": earlier & ~earlier.tril(-3),
        "random": random(queries, keys) > -0.5,
        "per head": random(heads, queries, keys) > -0.5,
        "bias": random(heads, queries, keys),
        "relative": relative,
        "relative and padding": relative.masked_fill(~padding, -math.inf),
    }[kind]
    return None if found is None else found.expand(1, heads, queries, keys).contiguous()


class Kernel(nn.Module):
    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
    ) -> Tensor:
        shared = query.shape[1] != key.shape[1]
        return F.scaled_dot_product_attention(query, key, value, mask, enable_gqa=shared, **options)


def traced(case: Case) -> tuple[Trace, str]:
    trace = hook(Kernel()).trace(inputs=vars(case))
    return trace, trace.stages[0]


def part(draw: Any, count: int) -> Any:
    """Any way of saying which positions of an axis."""
    ints = st.integers(-count, count - 1)
    edges = st.one_of(st.none(), st.integers(-count - 1, count + 1))
    return draw(
        st.one_of(
            st.none(),
            ints,
            st.lists(ints, min_size=1, max_size=4),
            st.builds(slice, edges, edges, st.sampled_from([None, 1, 2, -1])),
        )
    )


def taken(dense: Tensor, *parts: Any) -> Tensor:
    """What NumPy would take."""
    for dim in (2, 1, 0):
        index = parts[dim]
        if isinstance(index, slice):
            index = list(range(*index.indices(dense.shape[dim])))
        if index is not None:
            picked = torch.tensor(index, dtype=torch.long) % dense.shape[dim]
            dense = dense.select(dim, int(picked)) if picked.ndim == 0 else dense.index_select(dim, picked)
    return dense


@settings(max_examples=300)
@given(case=cases(), data=st.data())
def test_any_tile_is_the_same_part_of_the_dense_pattern(case: Case, data: st.DataObject) -> None:
    trace, stage = traced(case)
    heads, queries, keys = case.dense.shape
    parts = part(data.draw, heads), part(data.draw, queries), part(data.draw, keys)
    found = trace.attention(stage, layer=0, head=parts[0], rows=parts[1], cols=parts[2])
    wanted = taken(case.dense, *parts)
    assert found.dtype == torch.float32
    assert found.shape == wanted.shape
    torch.testing.assert_close(found.double(), wanted, atol=TOLERANCE[case.query.dtype], rtol=1e-4)


@settings(max_examples=100)
@given(case=cases(), data=st.data())
def test_any_overview_pools_the_dense_pattern(case: Case, data: st.DataObject) -> None:
    trace, stage = traced(case)
    size, pool = data.draw(st.integers(1, 13)), data.draw(st.sampled_from(POOLS))
    found = trace.overview(stage, layer=0, size=size, pool=pool).result(60)
    for down, (top, bottom) in enumerate(zip(found.rows, found.rows[1:], strict=False)):
        for across, (left, right) in enumerate(zip(found.cols, found.cols[1:], strict=False)):
            block = case.dense[:, top:bottom, left:right].flatten(1)
            wanted = {"mean": block.mean(1), "sum": block.sum(1), "max": block.amax(1)}[pool]
            torch.testing.assert_close(found.values[:, down, across].double(), wanted, atol=1e-5, rtol=1e-4)


@settings(max_examples=100)
@given(case=cases())
def test_what_is_saved_is_what_is_opened(case: Case) -> None:
    trace, stage = traced(case)
    with tempfile.TemporaryDirectory() as folder:
        trace.save(f"{folder}/trace.safetensors")
        opened = load(f"{folder}/trace.safetensors")
        assert (opened.stages, opened.tokens, opened.check()) == (trace.stages, trace.tokens, trace.check())
        for mine, others in zip(opened.site(stage, 0).kept, trace.site(stage, 0).kept, strict=True):
            assert torch.equal(mine, others)
        for cols in (None, [0]):
            found = opened.attention(stage, layer=0, cols=cols).double()
            torch.testing.assert_close(found, taken(case.dense, None, None, cols), atol=1e-5, rtol=1e-4)


@cache
def saved() -> tuple[bytes, list[Tensor]]:
    """A trace as it is in its file, and everything in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.safetensors"
        jtviz.hook(jtviz.demo.induction()).trace("abcabcab", target=4).save(
            path, along=["output_projections"]
        )
        return path.read_bytes(), everything(load(path))


def everything(trace: Trace) -> list[Tensor]:
    found = [trace.hidden("decoder"), trace.probabilities()]
    for layer in range(trace.layers("decoder")):
        found += [trace.attention("decoder", layer=layer), trace.gradient("decoder", layer=layer)]
        found += [
            trace.attention("decoder", layer=layer, cols=[1]),
            trace.output_projection("decoder", layer),
        ]
    return found


changes = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 10**6), st.just(b"")),
    st.tuples(st.just("replace"), st.integers(0, 10**6), st.binary(min_size=1, max_size=40)),
    # The header is where most can go wrong.
    st.tuples(st.just("replace"), st.integers(0, 5000), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("insert"), st.integers(0, 10**6), st.binary(min_size=1, max_size=40)),
)


@settings(max_examples=300)
@given(mutations=st.lists(changes, min_size=1, max_size=3))
def test_a_mutated_file_is_refused_or_says_the_same_and_raises_nothing_else(
    mutations: list[tuple[str, int, bytes]],
) -> None:
    whole, wanted = saved()
    data = bytearray(whole)
    for how, where, new in mutations:
        at = where % (len(data) + 1)
        data = (
            data[:at]
            if how == "cut"
            else data[:at] + new + data[at + (len(new) if how == "replace" else 0) :]
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.safetensors"
        path.write_bytes(data)
        try:
            found = everything(load(path))
        except TraceFileError:
            return
        # White space in the header, or bytes that were already so.
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
