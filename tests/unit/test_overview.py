"""Overviews: each number is the mean, sum or maximum of its block, and says so where it was sampled."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import CancelledError
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jtviz.capture import JtvizError, OutOfRangeError, Trace, from_arrays

LENGTH, HEADS, KEY_HEADS, WIDTH = 45, 4, 2, 8


def fused(mask: Tensor | None = None, *, causal: bool = False) -> Trace:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, HEADS, LENGTH, WIDTH, generator=generator)
    key = torch.randn(1, KEY_HEADS, LENGTH, WIDTH, generator=generator)
    return Trace.from_qkv(query, key, causal=causal, mask=mask)


def written() -> Trace:
    return from_arrays(torch.rand(1, HEADS, LENGTH, LENGTH).softmax(-1))


def padded_with_the_smallest() -> Trace:
    visible = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril() & (torch.arange(LENGTH) > 6)
    return fused(torch.zeros(LENGTH, LENGTH).masked_fill(~visible, torch.finfo(torch.float32).min))


TRACES = {
    "plain": fused,
    "causal": lambda: fused(causal=True),
    "window": lambda: fused(torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril().triu(-5)),
    "padding that looks at everything": padded_with_the_smallest,
    "nobody to look at": lambda: fused(torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril(-1)),
    "written": written,
}
PARTS = {"whole": (None, None), "part": (slice(4, 41), slice(3, 20))}


def dense(trace: Trace, pool: str, size: int, rows: slice | None, cols: slice | None) -> Tensor:
    """The reference: PyTorch's own pooling of the whole pattern."""
    pattern = trace.attention(trace.stages[0], layer=0)[:, rows or slice(None), cols or slice(None)]
    down, across = (-(-n // size) for n in pattern.shape[1:])
    if pool == "max":
        return F.max_pool2d(pattern, (down, across), ceil_mode=True)
    mean = F.avg_pool2d(pattern, (down, across), ceil_mode=True)
    if pool == "mean":
        return mean
    ones = F.avg_pool2d(torch.ones_like(pattern), (down, across), ceil_mode=True, divisor_override=1)
    return mean * ones


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("pool", ["mean", "sum", "max"])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("size", [1, 7, 10, 100])
def test_an_exact_overview_is_the_pooled_pattern(
    monkeypatch: pytest.MonkeyPatch, name: str, pool: str, part: str, size: int
) -> None:
    monkeypatch.setattr("jtviz.capture.overview.STREAM", 3 * LENGTH)
    trace, (rows, cols) = TRACES[name](), PARTS[part]
    task = trace.overview(trace.stages[0], layer=0, rows=rows, cols=cols, size=size, pool=pool)
    found = task.result(60)
    assert found.sampled is None
    torch.testing.assert_close(found.values, dense(trace, pool, size, rows, cols), atol=1e-5, rtol=1e-5)
    assert found.rows[0] == (rows.start if rows else 0)
    assert found.cols[-1] == (cols.stop if cols else LENGTH)
    assert (task.current, task.progress, task.is_done) == (found, 1.0, True)


@pytest.mark.parametrize("pool", ["mean", "sum", "max"])
def test_a_sampled_overview_pools_the_rows_it_looked_at_and_says_so(pool: str) -> None:
    trace = fused()
    task = trace.overview("encoder", layer=0, head=2, size=9, pool=pool)
    assert task.preview.sampled == 1
    assert "sampled, 1 rows of each block" in repr(task.preview)
    pattern = trace.attention("encoder", layer=0, head=2)
    for block, found in enumerate(task.preview.values[0]):
        rows = torch.unflatten(pattern[5 * block : 5 * block + 5], 1, (9, 5))
        wanted = {"mean": rows.mean(-1), "sum": 5 * rows.sum(-1), "max": rows.amax(-1)}[pool]
        assert min(float((row - found).abs().max()) for row in wanted) < 1e-6
    task.result(60)


def test_where_every_row_is_looked_at_nothing_is_called_sampled() -> None:
    assert fused().overview("encoder", layer=0, size=100).preview.sampled is None


def test_means_over_all_columns_are_what_a_row_sums_to() -> None:
    preview = fused().overview("encoder", layer=0, size=9, pool="mean").preview
    torch.testing.assert_close(preview.values.sum(-1) * 5, torch.ones(HEADS, 9))


def test_heads_can_be_chosen() -> None:
    trace = fused()
    found = trace.overview("encoder", layer=0, head=[3, 1], size=5).result(60).values
    torch.testing.assert_close(found, dense(trace, "mean", 5, None, None)[[3, 1]], atol=1e-6, rtol=0)


class Slow:
    """A site whose rows are computed one strip at a time, each when it is let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.trace, self.gate, self.calls = fused(), threading.Semaphore(0), 0
        site: Any = self.trace.sites[0]
        real = site.unscaled

        def unscaled(head: int, rows: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                self.gate.acquire(timeout=60)
                self.calls += 1
                if error is not None:
                    raise error
            return real(head, rows)

        monkeypatch.setattr("jtviz.capture.overview.STREAM", 9 * LENGTH)
        monkeypatch.setattr(site, "unscaled", unscaled)


def test_the_background_says_how_far_it_is_and_stops_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    task = slow.trace.overview("encoder", layer=0, head=[0, 1], size=5)
    assert task.current is task.preview
    with pytest.raises(TimeoutError):
        task.result(0.01)
    slow.gate.release(3)
    while slow.calls < 3:
        threading.Event().wait(0.001)
    assert 0.2 <= task.progress <= 0.3
    task.cancel()
    slow.gate.release(20)
    with pytest.raises(CancelledError):
        task.result(60)
    assert slow.calls <= 4
    assert task.is_done
    assert task.current is task.preview


def test_what_goes_wrong_in_the_background_is_told_to_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, MemoryError("no memory"))
    task = slow.trace.overview("encoder", layer=0, size=5)
    slow.gate.release(1)
    with pytest.raises(MemoryError, match="no memory"):
        task.result(60)
    assert task.current is task.preview


def test_an_interpreter_that_ends_does_not_wait_for_the_whole_and_ends_well() -> None:
    code = (
        "import torch, jtviz\n"
        "trace = jtviz.Trace.from_qkv(*torch.randn(2, 1, 12, 20000, 64))\n"
        "print(trace.overview('encoder', layer=0).is_done)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "False"


def test_bad_requests_get_a_sentence() -> None:
    trace = fused()
    for wrong, said in (
        ({"pool": "median"}, "pool= is one of 'mean', 'sum', 'max'"),
        ({"size": 0}, "size= is a number of blocks"),
        ({"rows": slice(0, 9, 2)}, "rows= is a slice without steps"),
        ({"cols": slice(60, 70)}, "cols=slice\\(60, 70, None\\) is empty"),
        ({"rows": 3}, "rows= is a slice"),
    ):
        request: dict[str, Any] = {"layer": 0, **wrong}
        with pytest.raises(JtvizError, match=said):
            trace.overview("encoder", **request)
    with pytest.raises(OutOfRangeError, match="head 9"):
        trace.overview("encoder", layer=0, head=9)
