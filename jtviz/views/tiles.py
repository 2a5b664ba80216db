"""Serve the numbers of a trace to its views, in tiles. Twin: js/src/core/tiles.ts.

Required: one request in, one reply out, under the id of the request; a tile that fails is said in its
place and costs no other tile; only what is asked for is computed; safe on whichever thread the front
end's message arrives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from jtviz.capture import Trace

TILE = 256
BLOCK = 16
WHOLE_LIMIT = 2**18
"""A layer of at most this many weights (heads x queries x keys) is sent whole, as float32."""

PICTURES = ("rows", "tile")
"""Kinds that are only drawn, and so are sent as uint8."""

Key = Mapping[str, Any]
Reply = tuple[dict[str, Any], list[bytes]]


class TileServer:
    """Answer requests ``{id, op: "tiles", keys: [...]}`` for parts of a trace's attention.

    A key has a ``kind``, a ``stage`` and a ``layer``, and

    ========== ============================== =========================================
    kind       further fields                 answer
    ========== ============================== =========================================
    `whole`                                   float32 ``[heads, queries, keys]``
    `row`      ``index``                      float32 ``[heads, keys]``
    `column`   ``index``                      float32 ``[heads, queries]``
    `received`                                float32 ``[heads, keys]``: mean over queries
    `rows`     ``index`` (in blocks of 16)    uint8 ``[heads, up to 16, keys]``
    `tile`     ``heads, level, row, column,`` uint8 ``[up to 256, up to 256]``: mean over the
               ``pool``                       heads, pooled ``2**level`` each way
    ========== ============================== =========================================

    With a tile comes its ``unit``, what to multiply its numbers with: 255 is the largest weight in a uint8
    tile, whatever that is.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._lock = threading.Lock()
        self._kinds: dict[str, Callable[[Key], Tensor]] = {
            "whole": self._whole,
            "row": self._row,
            "column": self._column,
            "received": self._received,
            "rows": self._rows,
            "tile": self._tile,
        }

    def answer(self, message: Mapping[str, Any]) -> Reply | None:
        """Return the reply and its buffers, or None when the message is not a tile request."""
        if message.get("op") != "tiles":
            return None
        reply: dict[str, Any] = {"id": message.get("id"), "op": "tiles"}
        keys = message.get("keys")
        if not isinstance(keys, list):
            return {**reply, "ok": False, "error": "a request for tiles has a list of keys"}, []
        tiles, buffers = [], []
        for key in keys:
            tile, data = self._answer_one(key)
            tiles.append(tile)
            buffers.append(data)
        return {**reply, "ok": True, "tiles": tiles}, buffers

    def _answer_one(self, key: Key) -> tuple[dict[str, Any], bytes]:
        try:
            with self._lock, torch.no_grad():
                tile, unit = self._kinds[key["kind"]](key).cpu(), 1.0
                if key["kind"] in PICTURES:
                    tile, unit = _to_bytes(tile)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is shown where the tile would be
            return {"error": str(error) or type(error).__name__}, b""
        answer = {"shape": list(tile.shape), "dtype": str(tile.dtype).removeprefix("torch."), "unit": unit}
        return answer, tile.contiguous().numpy().tobytes()

    def _size(self, key: Key) -> tuple[int, int, int]:
        trace, stage = self._trace, key["stage"]
        queries = len(trace.tokens[trace.query_side(stage)])
        keys = len(trace.tokens[trace.key_side(stage)])
        return trace.heads(stage, key["layer"]), queries, keys

    def _pattern(self, key: Key, heads: Sequence[int] | None = None, **tile: slice) -> Tensor:
        head = None if heads is None else list(heads)
        return self._trace.attention(key["stage"], layer=key["layer"], head=head, **tile).float()

    def _whole(self, key: Key) -> Tensor:
        heads, queries, keys = self._size(key)
        if heads * queries * keys > WHOLE_LIMIT:
            msg = f"a layer of {heads} x {queries} x {keys} weights is sent in tiles, not whole"
            raise ValueError(msg)
        return self._pattern(key)

    def _row(self, key: Key) -> Tensor:
        return self._pattern(key, rows=slice(key["index"], key["index"] + 1))[:, 0]

    def _column(self, key: Key) -> Tensor:
        return self._pattern(key, cols=slice(key["index"], key["index"] + 1))[:, :, 0]

    def _received(self, key: Key) -> Tensor:
        heads, queries, keys = self._size(key)
        total = torch.zeros(heads, keys)
        for start in range(0, queries, TILE):
            total += self._pattern(key, rows=slice(start, min(start + TILE, queries))).sum(1).cpu()
        return total / queries

    def _rows(self, key: Key) -> Tensor:
        _, queries, _ = self._size(key)
        start = key["index"] * BLOCK
        return self._pattern(key, rows=slice(start, min(start + BLOCK, queries)))

    def _tile(self, key: Key) -> Tensor:
        _, queries, keys = self._size(key)
        factor = 2 ** int(key["level"])
        span = TILE * factor
        rows = slice(key["row"] * span, min((key["row"] + 1) * span, queries))
        cols = slice(key["column"] * span, min((key["column"] + 1) * span, keys))
        pool = F.max_pool2d if key["pool"] == "max" else F.avg_pool2d
        strips = []
        # One strip of pooled rows at a time: a zoomed-out tile covers many more tokens than it shows.
        step = max(factor, TILE)
        for start in range(rows.start, rows.stop, step):
            block = slice(start, min(start + step, rows.stop))
            mean = self._pattern(key, key["heads"], rows=block, cols=cols).mean(0)
            strips.append(mean if factor == 1 else pool(mean[None], factor, ceil_mode=True)[0])
        return torch.cat(strips)


def _to_bytes(weights: Tensor) -> tuple[Tensor, float]:
    """Return weights as uint8 and what 1 stands for: the scale is the tile's own, for faint ones."""
    unit = float(weights.max()) / 255 if weights.numel() else 0.0
    if unit == 0:
        return torch.zeros_like(weights, dtype=torch.uint8), 1.0
    return (weights / unit).round().clamp(0, 255).to(torch.uint8), unit
