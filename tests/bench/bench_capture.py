"""What a trace costs: time, memory and bytes kept, beside the plain forward and beside eager attention.

Run with ``make bench``, or this file alone with ``.venv/bin/pytest tests/bench/bench_capture.py -s``. The
model has the shape of GPT-2 small without its language-model head and random weights; each figure is the
median of runs in pairs, one of each kind after the other, in a process of its own for each length.
"""

from __future__ import annotations

import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jtviz.capture import Trace, hook
from jtviz.capture.site import FusedSite

LENGTHS = (16, 128, 512, 1024, 2048, 4096)
HEADS, WIDTH = 12, 64
PAIRS = {16: 41, 128: 31, 512: 15, 1024: 9, 2048: 5, 4096: 3}


def gpt2(length: int, implementation: str) -> Any:
    from transformers import GPT2Config, GPT2Model

    config = GPT2Config(n_positions=max(length, 1024))
    torch.manual_seed(0)
    model: Any = GPT2Model
    return model._from_config(config, attn_implementation=implementation).eval()


class OneLayer(nn.Module):
    """Attention of 12 heads x 64, with the projections of GPT-2 small."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(768, 3 * 768), nn.Linear(768, 768)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (HEADS, WIDTH)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed: Tensor = self.out(out.transpose(1, 2).flatten(-2))
        return x + mixed


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_pairs(plain: Callable[[], Any], traced: Callable[[], Any], pairs: int) -> dict[str, float]:
    """Return medians in milliseconds, of the ratio and of the difference within each pair."""
    plain()
    traced()
    times = [(seconds(plain), seconds(traced)) for _ in range(pairs)]
    return {
        "plain": statistics.median(a for a, _ in times) * 1e3,
        "traced": statistics.median(b for _, b in times) * 1e3,
        "ratio": statistics.median(b / a for a, b in times),
        "more": statistics.median(b - a for a, b in times) * 1e3,
    }


def peak() -> int:
    """Return the most memory this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def held() -> dict[int, int]:
    """Return the storages of all live tensors: address and bytes."""
    gc.collect()
    live = [x for x in gc.get_objects() if isinstance(x, Tensor)]
    return {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in live}


# -- each in a process of its own --------------------------------------------------------------------


def measure_time(length: int) -> dict[str, float]:
    model = gpt2(length, "sdpa")
    hooked = hook(model)
    ids = iter(torch.randint(0, 50257, (2 * PAIRS[length] + 2, 1, length)))

    @torch.no_grad()
    def plain() -> None:
        model(input_ids=next(ids), use_cache=False)

    def traced() -> None:
        trace = hooked.trace(inputs={"input_ids": next(ids)})
        kernels = [site for site in trace.sites if isinstance(site, FusedSite)]
        assert len(kernels) == 12
        assert all(site.lse is not None for site in kernels)

    return in_pairs(plain, traced, PAIRS[length])


def measure_memory(length: int, kind: str) -> dict[str, float]:
    model = gpt2(length, "eager" if kind == "eager" else "sdpa")
    ids = torch.randint(0, 50257, (1, length))
    with torch.no_grad():
        model(input_ids=ids[:, :8])
    before, started = peak(), held()
    kept: Any
    if kind == "traced":
        kept = hook(model).trace(inputs={"input_ids": ids})
    else:
        with torch.no_grad():
            kept = model(input_ids=ids, use_cache=False, output_attentions=kind == "eager")
    more = float(peak() - before)
    # What the model was given is the reader's.
    pinned = sum(size for address, size in held().items() if address not in started)
    out = {"peak": more, "pinned": float(pinned)}
    if isinstance(kept, Trace):
        stream = kept.hidden("decoder")
        qkv = sum(x.numel() * x.element_size() for site in kept.sites for x in site.kept)
        out["needed"] = float(qkv + stream.numel() * 4)
    return out


def measure_layer(length: int) -> dict[str, float]:
    model = OneLayer().eval()
    hooked = hook(model)
    inputs = iter(torch.randn(8, 1, length, 768))

    @torch.no_grad()
    def plain() -> None:
        model(next(inputs))

    return in_pairs(plain, lambda: hooked.trace(inputs=(next(inputs),)), 3)


def measure_tiles(length: int) -> dict[str, float]:
    """Milliseconds of a tile, a row and a column, on one core, and of a sampled overview, on all."""
    trace = hook(OneLayer().eval()).trace(inputs=(torch.randn(1, length, 768),))
    (stage,) = trace.stages
    middle = length // 2
    tile, row = slice(middle, middle + 512), [middle]
    earlier = slice(middle - 1024, middle - 512)
    return _tiles(trace, stage, tile, earlier, row)


def measure_from_qkv(length: int) -> dict[str, float]:
    """The same for queries and keys that come from elsewhere: nobody gives their log-sum-exp."""
    trace = Trace.from_qkv(*torch.randn(2, 1, HEADS, length, WIDTH), causal=True)
    middle = length // 2
    earlier = slice(middle - 1024, middle - 512)
    started = time.perf_counter()
    trace.attention("decoder", layer=0, head=0, rows=slice(middle, middle + 512), cols=earlier)
    first = time.perf_counter() - started
    found = _tiles(trace, "decoder", slice(middle, middle + 512), earlier, [middle])
    return {**found, "first tile": first * 1e3}


def _tiles(trace: Trace, stage: str, rows: slice, cols: slice, row: Sequence[int]) -> dict[str, float]:
    questions: dict[str, Callable[[], Any]] = {
        "tile": lambda: trace.attention(stage, layer=0, head=0, rows=rows, cols=cols),
        "row": lambda: trace.attention(stage, layer=0, head=0, rows=row),
        "row, 12 heads": lambda: trace.attention(stage, layer=0, rows=row),
    }
    site = trace.sites[0]
    assert isinstance(site, FusedSite)
    if site.lse is not None and not bool(site.lse.isnan().any()):
        questions["column"] = lambda: trace.attention(stage, layer=0, head=0, cols=row)
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    out = {}
    for name, question in questions.items():
        question()
        out[name] = statistics.median(seconds(question) for _ in range(9)) * 1e3
    torch.set_num_threads(cores)

    def preview() -> None:
        task = trace.overview(stage, layer=0, head=0, size=512)
        times.append(time.perf_counter())
        task.cancel()
        assert task.preview.sampled == 1
        assert task.preview.values.shape == (1, 512, 512)

    took = []
    for _ in range(5):
        times: list[float] = []
        started = time.perf_counter()
        preview()
        took.append(times[0] - started)
    out["preview"] = statistics.median(took) * 1e3
    return out


MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    "time": measure_time,
    "memory": measure_memory,
    "layer": measure_layer,
    "tiles": measure_tiles,
    "from_qkv": measure_from_qkv,
}


def measured(what: str, *arguments: Any) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", __name__, what, json.dumps(arguments)]
    found: dict[str, float] = json.loads(subprocess.check_output(command).splitlines()[-1])
    return found


# -- the table ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
def test_time_beside_the_plain_forward(length: int) -> None:
    found = measured("time", length)
    print(
        f"\n{length:>6} tokens: plain {found['plain']:8.1f} ms, traced {found['traced']:8.1f} ms, "
        f"{found['ratio']:.3f} times, {found['more']:.1f} ms more"
    )


@pytest.mark.parametrize("length", [512, 2048, 4096])
def test_memory_beside_eager(length: int) -> None:
    found = {kind: measured("memory", length, kind) for kind in ("plain", "traced", "eager")}
    traced, eager = found["traced"], found["eager"]
    print(
        f"\n{length:>6} tokens: peak plain {found['plain']['peak'] / 2**20:.0f}, traced "
        f"{traced['peak'] / 2**20:.0f}, eager {eager['peak'] / 2**20:.0f} MiB; traced is "
        f"{traced['peak'] / eager['peak']:.3f} of eager; the trace keeps {traced['pinned'] / 2**20:.0f} MiB, "
        f"{traced['pinned'] / traced['needed']:.3f} times Q, K, V and the residual stream"
    )


@pytest.mark.parametrize("length", [16384, 32768])
def test_one_long_layer(length: int) -> None:
    found = measured("layer", length)
    print(
        f"\n{length:>6} tokens, one layer: plain {found['plain']:.0f} ms, traced {found['traced']:.0f} ms, "
        f"{found['ratio']:.3f} times"
    )


@pytest.mark.parametrize(("what", "length"), [("tiles", 16384), ("tiles", 32768), ("from_qkv", 131072)])
def test_what_is_looked_at(what: str, length: int) -> None:
    found = measured(what, length)
    said = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
    print(f"\n{length:>6} tokens, {what}, ms: {said}")


if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](*json.loads(sys.argv[2]))))
