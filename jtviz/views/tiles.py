"""Serve the numbers of a trace to its views, in tiles. Twin: js/src/core/tiles.ts.

Required: one request in, one reply out, under the id of the request; a tile that fails is said in its
place and costs no other tile; only what is asked for is computed; what takes long is sampled first and
follows when it is exact; safe on whichever thread the front end's message arrives.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from jtviz.analysis import align, products
from jtviz.capture import JtvizError, Trace
from jtviz.capture.overview import Task

from .measured import measured
from .shown import Choice, Shown
from .source import Source
from .thumbnails import thumbnails

TILE = 256
BLOCK = 16
WHOLE_LIMIT = 2**18
"""A layer of at most this many weights (heads x queries x keys) is sent whole to a live view."""

EXACT_LIMIT = 2**15
"""A layer of at most this many weights is sent as float32; a larger one as float16, three digits."""

AT_ONCE = 2**24
"""Weights that a reply may wait for: some 50 ms. What needs more is sampled first."""

SEEN = 2**26
"""Weights looked at for a mean over all queries, at most: beyond, of some queries."""

PICTURES = ("block", "tile", "thumbnails", "mask")
"""Kinds that are only drawn, and so are sent as bytes."""

Key = Mapping[str, Any]
Reply = tuple[dict[str, Any], list[bytes]]
Send = Callable[[dict[str, Any], list[bytes]], None]


def name_of(key: Key) -> str:
    """Return the name of a tile: its key as the front end writes it."""
    return json.dumps(key, separators=(",", ":"), ensure_ascii=False)


@dataclass
class Answer:
    """One tile: its numbers, and what there is to say of them."""

    values: Tensor
    info: dict[str, Any] = field(default_factory=dict)


class TileServer:
    """Answer requests ``{id, op: "tiles", keys: [...]}`` for parts of a trace's attention.

    A key has a ``kind``, a ``stage``, a ``layer`` and a ``weighting``, and

    ============ ============================== =========================================
    kind         further fields                 answer
    ============ ============================== =========================================
    `whole`                                     ``[heads, queries, keys]``
    `row`        ``index``                      float32 ``[heads, keys]``
    `column`     ``index``, and a choice        float32 ``[heads, queries]``
    `received`                                  float32 ``[heads, keys]``: mean over queries
    `block`      ``index, from, to``, a choice  bytes ``[heads, up to 16, keys]``
    `tile`       ``level, row, column, pool``,  bytes ``[up to 256, up to 256]``: the picture of a
                 and a choice                   choice, pooled ``2**level`` each way
    `mask`       ``level, row, column, unit``   bytes, 1 where a query cannot look
    `hidden`     a choice                       float32 ``[heads]``: the share hidden, mean over queries
    `thumbnails` ``size``                       bytes ``[heads, size, size]``
    `measures`                                  float32 ``[measures, layers, heads]``
    `products`   ``head, query, key``           float32 ``[2, d]``: query and key
    `alignment`  ``heads``                      float32 ``[written, words]``
    ============ ============================== =========================================

    A choice is what `jtviz.views.shown.Choice` says. With a tile comes its ``unit``, what to multiply its
    numbers with: 255 (127 where some are negative) is the largest weight in a tile of bytes.

    Parameters
    ----------
    trace : Trace
        Whose attention.
    send : callable, optional
        Takes a message and its buffers: what is exact later goes to ``{op: "tile", name, ...}``, how far it
        is to ``{op: "progress", name, share}``. Left out, everything is exact at once.
    whole_limit : int
        A layer of at most this many weights (heads x queries x keys) is sent whole.
    """

    def __init__(self, trace: Trace, send: Send | None = None, whole_limit: int = WHOLE_LIMIT) -> None:
        self.trace = trace
        self.send = send
        self.versions: dict[int, TileServer] = {}
        """Other traces of the same tokens, which a key names by its ``version``."""
        self._whole_limit = whole_limit
        self.source = Source(trace)
        self._shown: dict[Choice, Shown] = {}
        self._tasks: dict[str, Task[Answer]] = {}
        self._lock = threading.Lock()
        self._kinds: dict[str, Callable[[Key], Answer]] = {
            "whole": self._whole,
            "row": self._row,
            "column": self._column,
            "received": self._received,
            "block": self._block,
            "tile": self._tile,
            "mask": self._mask,
            "hidden": self._hidden,
            "thumbnails": self._thumbnails,
            "measures": self._measures,
            "products": self._products,
            "alignment": self._alignment,
        }

    def answer(self, message: Mapping[str, Any]) -> Reply | None:
        """Return the reply and its buffers, or None when the message needs none."""
        if message.get("op") == "cancel":
            self.cancel(keep=message.get("keep", ()))
            return None
        if message.get("op") != "tiles":
            return None
        reply: dict[str, Any] = {"id": message.get("id"), "op": "tiles"}
        keys = message.get("keys")
        if not isinstance(keys, list):
            return {**reply, "ok": False, "error": "a request for tiles has a list of keys"}, []
        tiles, buffers = [], []
        for key in keys:
            tile, data = self._of_version(key)
            tiles.append(tile)
            buffers.append(data)
        return {**reply, "ok": True, "tiles": tiles}, buffers

    def _of_version(self, key: Key) -> tuple[dict[str, Any], bytes]:
        version = key.get("version", 0)
        server = self.versions.get(version) if version else self
        if server is None:
            return {"error": "this attention is of a choice that was changed since"}, b""
        return server.answer_one(key)

    def answer_one(self, key: Key) -> tuple[dict[str, Any], bytes]:
        """Return what goes with one tile, and its bytes."""
        try:
            with self._lock, torch.no_grad():
                found = self._kinds[key["kind"]](key)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is shown where the tile would be
            return {"error": str(error) or type(error).__name__}, b""
        return _pack(key["kind"], found)

    def cancel(self, keep: object = ()) -> None:
        """Stop what is being computed for nobody any more: all but the tiles of these names."""
        for other in [*self.versions.values()]:
            other.cancel(keep)
        wanted = set(keep) if isinstance(keep, (list, tuple)) else set()
        for name, task in [*self._tasks.items()]:
            if name not in wanted:
                task.cancel()
                self._tasks.pop(name, None)  # it may have ended meanwhile

    def shown(self, key: Key) -> Shown:
        """Return the numbers of the choice that a key makes."""
        members = key.get("members")
        if members is None:
            layer = key["layer"]
            heads = self.source.heads(key.get("weighting", "raw"), key["stage"], layer)
            members = [[layer, head] for head in range(heads)]
        choice = Choice.of({**key, "members": members})
        if choice not in self._shown:
            if len(self._shown) > 64:
                self._shown.clear()
            self._shown[choice] = Shown(self.source, choice)
        return self._shown[choice]

    def _size(self, key: Key) -> tuple[int, int, int]:
        trace, stage = self.trace, key["stage"]
        queries = len(trace.tokens[trace.query_side(stage)])
        keys = len(trace.tokens[trace.key_side(stage)])
        return self.source.heads(key.get("weighting", "raw"), stage, key["layer"]), queries, keys

    def _weights(self, key: Key, rows: slice, cols: slice | None = None) -> Tensor:
        heads = range(self._size(key)[0])
        weighting = key.get("weighting", "raw")
        return self.source.tile(weighting, key["stage"], key["layer"], heads, rows=rows, cols=cols)

    def _whole(self, key: Key) -> Answer:
        heads, queries, keys = self._size(key)
        if heads * queries * keys > self._whole_limit:
            msg = f"a layer of {heads} x {queries} x {keys} weights is sent in tiles, not whole"
            raise ValueError(msg)
        weights = self._weights(key, slice(0, queries))
        return Answer(weights if weights.numel() <= EXACT_LIMIT else weights.half())

    def _row(self, key: Key) -> Answer:
        return Answer(self._weights(key, slice(key["index"], key["index"] + 1))[:, 0])

    def _column(self, key: Key) -> Answer:
        heads, queries, keys = self._size(key)
        shown, index = self.shown(key), key["index"]
        if shown.choice.renormalise and heads * queries * keys > SEEN:
            raise JtvizError(
                f"who looks at a token is not renormalised for {queries:,} queries: switch renormalising off."
            )
        col = slice(index, index + 1)
        site = self.trace.site(key["stage"], key["layer"])
        if self.send is None or site.is_summed or heads * queries * keys <= SEEN:
            return Answer(shown.weights(None, col)[:, :, 0])

        def work(report: Callable[[float], None]) -> Answer:
            parts = []
            for start in range(0, queries, TILE):
                report(start / queries)
                parts.append(shown.weights(slice(start, min(start + TILE, queries)), col)[:, :, 0])
            return Answer(torch.cat(parts, 1))

        self._follow(key, work)
        return Answer(torch.empty(heads, 0), {"later": True})

    def _received(self, key: Key) -> Answer:
        heads, queries, keys = self._size(key)
        rows = range(0, queries, max(1, -(-heads * queries * keys // SEEN)))
        total = torch.zeros(heads, keys)
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            if rows.step == 1:
                total += self._weights(key, slice(some[0], some[-1] + 1)).sum(1).cpu()
            else:
                for row in some:
                    total += self._weights(key, slice(row, row + 1)).sum(1).cpu()
        return Answer(total / len(rows), _sampled(len(rows), rows.step))

    def _block(self, key: Key) -> Answer:
        shown, start = self.shown(key), key["index"] * BLOCK
        rows = slice(start, min(start + BLOCK, len(shown.query)))
        return Answer(shown.weights(rows, slice(key["from"], min(key["to"], len(shown.key)))))

    def _tile(self, key: Key) -> Answer:
        shown, factor = self.shown(key), 2 ** int(key["level"])
        rows, cols = (
            slice(part * TILE * factor, min((part + 1) * TILE * factor, len(axis)))
            for part, axis in ((key["row"], shown.query), (key["column"], shown.key))
        )
        work = partial(shown.pooled, rows, cols, factor=factor, pool=key["pool"])
        cost = (rows.stop - rows.start) * (cols.stop - cols.start) * len(shown.choice.members)
        if self.send is None or cost <= AT_ONCE:
            return Answer(work().values[0])
        preview = work(samples=max(1, AT_ONCE * factor // cost // 2))
        if preview.sampled is None:
            return Answer(preview.values[0])
        self._follow(key, lambda report: Answer(work(report=report).values[0]))
        return Answer(preview.values[0], {"sampled": preview.sampled, "later": True})

    def _follow(self, key: Key, work: Callable[[Callable[[float], None]], Answer]) -> None:
        """Compute a tile in the background, and send it under the name of its key."""
        send, name = self.send, name_of(key)
        if send is None or name in self._tasks:
            return
        told = time.monotonic()

        def run(report: Callable[[float], None]) -> Answer:
            def say(share: float) -> None:
                nonlocal told
                report(share)
                if time.monotonic() - told > 0.5:
                    told = time.monotonic()
                    send({"op": "progress", "name": name, "share": share}, [])

            with torch.no_grad():
                return work(say)

        def finish(task: Task[Answer]) -> None:
            newest = self._tasks.get(name, task)
            if newest is task:
                self._tasks.pop(name, None)
            try:
                answer, data = _pack(key["kind"], task.result())
            except CancelledError:
                if newest is not task:  # the tile was asked for again
                    return
                answer, data = {"cancelled": True}, b""
            except Exception as error:  # noqa: BLE001 - shown where the tile would be
                answer, data = {"error": str(error)}, b""
            send({"op": "tile", "name": name, **answer}, [data])

        task = self._tasks[name] = Task(run)
        task.when_done(finish)

    def _mask(self, key: Key) -> Answer:
        shown, step = self.shown(key), 2 ** int(key["level"])
        down, across = (
            range(part * TILE * step, min((part + 1) * TILE * step, len(axis)), step)
            for part, axis in ((key["row"], shown.query), (key["column"], shown.key))
        )
        # The end of a query word sees most, and the start of a key word is seen by most.
        rows = [shown.query.starts[row + 1] - 1 for row in down]
        cols = [shown.key.starts[col] for col in across]
        blind = self.trace.mask(key["stage"], layer=key["layer"], head=0, rows=rows, cols=cols)
        return Answer(blind.to(torch.uint8))

    def _hidden(self, key: Key) -> Answer:
        heads, queries, keys = self._size(key)
        shown = self.shown(key)
        rows = range(0, queries, max(1, -(-heads * queries * keys // AT_ONCE)))
        if rows.step == 1:
            return Answer(shown.hidden_share().mean(1))
        share = torch.stack([shown.hidden_share(slice(row, row + 1))[:, 0] for row in rows])
        return Answer(share.mean(0), _sampled(len(rows), rows.step))

    def _thumbnails(self, key: Key) -> Answer:
        pictures, seen = thumbnails(self.source, key["weighting"], key["stage"], key["layer"], key["size"])
        return Answer(pictures, {"sampled": seen} if seen else {})

    def _measures(self, key: Key) -> Answer:
        values, info = measured(self.trace, key["stage"])
        return Answer(values, info)

    def _products(self, key: Key) -> Answer:
        found = products(
            self.trace,
            key["stage"],
            layer=key["layer"],
            head=key["head"],
            query=key["query"],
            key=key["key"],
        )
        # JSON has no infinity.
        added = found.added if found.added > -1e30 else None
        said = {"scale": found.scale, "added": added, "lse": found.log_sum_exp, "weight": found.weight}
        return Answer(torch.stack([found.query, found.key]), said)

    def _alignment(self, key: Key) -> Answer:
        found = align(self.trace, key["layer"], key["heads"])
        return Answer(found.weights, {"written": list(found.written), "words": list(found.words)})


def _sampled(seen: int, step: int) -> dict[str, Any]:
    return {} if step == 1 else {"sampled": seen}


def _pack(kind: str, found: Answer) -> tuple[dict[str, Any], bytes]:
    values, unit = found.values.cpu(), 1.0
    if kind in PICTURES and values.dtype != torch.uint8:
        values, unit = _to_bytes(values)
    said = {"shape": list(values.shape), "dtype": str(values.dtype).removeprefix("torch."), "unit": unit}
    return {**said, **found.info}, values.contiguous().numpy().tobytes()


def _to_bytes(weights: Tensor) -> tuple[Tensor, float]:
    """Return weights as bytes and what 1 stands for: the scale is the tile's own, for faint ones."""
    most = float(weights.abs().max()) if weights.numel() else 0.0
    if most == 0:
        return torch.zeros_like(weights, dtype=torch.uint8), 1.0
    if float(weights.min()) < 0:
        return (weights * (127 / most)).round().to(torch.int8), most / 127
    return (weights * (255 / most)).round().to(torch.uint8), most / 255
