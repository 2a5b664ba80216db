"""A pattern seen from afar: block by block, of any length.

Required: every number is the mean, sum or maximum of the block it stands for, and what was looked at in
part says so; memory does not grow with the square of the length; a long job runs in the background, says
how far it is, and stops when told.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from .ending import stopped_at_the_end
from .kernels import exactly
from .part import Part, positions, whole
from .site import STREAM, Site

T = TypeVar("T")

POOLS = ("mean", "sum", "max")
_GOLDEN = 0.6180339887498949  # steps of this share of one fall evenly, and in no rhythm a text could have


@dataclass(frozen=True, eq=False)
class Overview:
    """A pattern pooled in blocks. Made by `Trace.overview`.

    Attributes
    ----------
    values : Tensor
        ``[heads, blocks of rows, blocks of columns]``, float32.
    pool : str
        What each number is of its block: ``"mean"``, ``"sum"`` or ``"max"``.
    rows, cols : tuple of int
        Where the blocks begin, and after them where the last one ends.
    sampled : int or None
        How many rows of each block were looked at, if not all: then a mean or a sum is an estimate and
        a maximum is the largest of what was seen. None where the numbers are exact.
    """

    values: Tensor
    pool: str
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    sampled: int | None = None

    def __repr__(self) -> str:
        """Say what the numbers are."""
        heads, down, across = self.values.shape
        blocks = f"{self.rows[1] - self.rows[0]} x {self.cols[1] - self.cols[0]}"
        said = "exact" if self.sampled is None else f"sampled, {self.sampled} rows of each block"
        return f"Overview({heads} heads, {down} x {across} blocks of {blocks} tokens, {self.pool}, {said})"


class Task(Generic[T]):
    """Work on its way in the background.

    Parameters
    ----------
    work : callable
        Takes what to call with the share that is done (it raises to stop the work); returns the result.
    """

    def __init__(self, work: Callable[[Callable[[float], None]], T]) -> None:
        self._work = work
        self._progress = 0.0
        self._stop = threading.Event()
        self._future: Future[T] = Future()
        # A daemon: an interpreter that ends does not wait for the whole.
        thread = threading.Thread(target=self._run, name="jtviz task", daemon=True)
        stopped_at_the_end(thread, self._stop)
        thread.start()

    def __repr__(self) -> str:
        """Say how far it is."""
        return f"{type(self).__name__}({self.progress:.0%})"

    @property
    def progress(self) -> float:
        """The share that is done, 0 to 1."""
        return self._progress

    @property
    def is_done(self) -> bool:
        """Whether the work has ended: finished, cancelled or failed."""
        return self._future.done()

    def when_done(self, call: Callable[[Task[T]], None]) -> None:
        """Call this once the work has ended, however it ended: at once if it has, else from its thread."""
        self._future.add_done_callback(lambda _: call(self))

    def cancel(self) -> None:
        """Stop the work at the next block; nothing happens if it has ended."""
        self._stop.set()

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        TimeoutError
            If it is not there by then; the work goes on.
        concurrent.futures.CancelledError
            If it was cancelled.
        """
        return self._future.result(timeout)

    def _run(self) -> None:
        try:
            found = self._work(self._report)
        except CancelledError:
            self._future.cancel()
            self._future.set_running_or_notify_cancel()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the result is told
            self._future.set_exception(error)
        else:
            self._progress = 1.0
            self._future.set_result(found)

    def _report(self, share: float) -> None:
        if self._stop.is_set():
            raise CancelledError
        self._progress = share


class OverviewTask(Task[Overview]):
    """An overview on its way: a sampled one at once, the exact one from the background.

    Parameters
    ----------
    preview : Overview
        What there is to show until the exact one is there.
    work : callable
        As for `Task`.
    """

    def __init__(self, preview: Overview, work: Callable[[Callable[[float], None]], Overview]) -> None:
        self.preview = preview
        super().__init__(work)

    def __repr__(self) -> str:
        """Say how far it is."""
        return f"OverviewTask({self.progress:.0%}, showing {self.current!r})"

    @property
    def current(self) -> Overview:
        """The exact overview if it is there, else the sampled one."""
        ended = self.is_done and not self._future.cancelled() and self._future.exception() is None
        return self._future.result() if ended else self.preview


def pooled(
    site: Site,
    heads: Sequence[int],
    rows: slice,
    cols: slice,
    *,
    size: int,
    pool: str,
    samples: int | None = None,
    report: Callable[[float], None] = lambda _: None,
) -> Overview:
    """Pool a part of a pattern into at most `size` blocks each way.

    Parameters
    ----------
    site : Site
        Whose pattern.
    heads : sequence of int
        Which heads, each by itself.
    rows, cols : slice
        Which part: start and stop.
    size : int
        How many blocks at most, down and across.
    pool : {"mean", "sum", "max"}
        What to say of each block.
    samples : int, optional
        How many rows of each block to look at; all if left out.
    report : callable
        Called with the share that is done, now and then.
    """
    device = site.kept[0].device
    down, across = (max(1, math.ceil((part.stop - part.start) / size)) for part in (rows, cols))
    blocks = _edges(rows, down)
    count = len(blocks) - 1
    start = -math.inf if pool == "max" else 0.0
    values = torch.full((len(heads), count, len(_edges(cols, across)) - 1), start, device=device)
    strips = list(_strips(blocks, site.keys, samples, device))
    for number, head in enumerate(heads):
        for step, strip in enumerate(strips):
            report((number * len(strips) + step) / (len(heads) * len(strips)))
            with exactly(device):
                found = _across(site, head, strip, cols, step=across, pool=pool)
                block = (positions(strip, device) - rows.start) // down
                if pool == "max":
                    values[number].scatter_reduce_(0, block[:, None].expand_as(found), found, "amax")
                else:
                    values[number].index_add_(0, block, found)
    if pool != "max":
        _scale(values, blocks, _edges(cols, across), samples, mean=pool == "mean")
    return Overview(values, pool, blocks, _edges(cols, across), None if _is_exact(samples, down) else samples)


def _edges(part: slice, step: int) -> tuple[int, ...]:
    return (*range(part.start, part.stop, step), part.stop)


def _is_exact(samples: int | None, down: int) -> bool:
    return samples is None or samples >= down


def _strips(blocks: tuple[int, ...], keys: int, samples: int | None, device: torch.device) -> Iterator[Part]:
    """Yield the rows to look at, a few at a time."""
    most = max(1, STREAM // max(1, keys))
    if _is_exact(samples, blocks[1] - blocks[0]):
        for start in range(blocks[0], blocks[-1], most):
            yield slice(start, min(start + most, blocks[-1]))
        return
    chosen = []
    for number, (start, stop) in enumerate(itertools.pairwise(blocks)):
        chosen += spread(start, stop, min(samples or 0, stop - start), number)
    yield from torch.split(torch.tensor(chosen, device=device), most)


def spread(start: int, stop: int, count: int, number: int) -> list[int]:
    """Return evenly spread positions of block `number`, in no rhythm from block to block."""
    shift = number * _GOLDEN % 1
    return [start + int((i + shift) * (stop - start) / count) for i in range(count)]


def _across(site: Site, head: int, rows: Part, cols: slice, *, step: int, pool: str) -> Tensor:
    """Return some rows of one head, ``[rows, blocks of columns]``, summed or the largest in each block."""
    if whole(cols, site.keys):
        weights, total = site.unscaled(head, rows)
    else:
        weights, total = site.tile([head], rows, cols)[0], None
    blocks = math.ceil((cols.stop - cols.start) / step)
    out = torch.zeros(len(weights), blocks, device=weights.device)
    # Later keys that nobody here sees are left out of the weights.
    even = weights.shape[1] // step
    full, rest = torch.unflatten(weights[:, : even * step], 1, (even, step)), weights[:, even * step :]
    if pool == "max":
        out[:, :even] = full.amax(-1)
    else:
        out[:, :even] = full.sum(-1)
    if rest.shape[1]:
        out[:, even] = rest.amax(-1) if pool == "max" else rest.sum(-1)
    return out if total is None else out.div_(total)


def _scale(
    values: Tensor, rows: tuple[int, ...], cols: tuple[int, ...], samples: int | None, *, mean: bool
) -> None:
    """Turn sums over the rows that were looked at into means over blocks, or sums over all rows, in place."""
    device = values.device
    heights, widths = (torch.tensor(edges, device=device).diff() for edges in (rows, cols))
    seen = heights if samples is None else heights.clamp(max=samples)
    values.mul_((1 / seen if mean else heights / seen)[:, None])
    if mean:
        values.div_(widths)
