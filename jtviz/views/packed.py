"""The tiles of a page: whole layers nearest to the one shown first, as long as there is room.

Required: bounded in bytes, and in time also at 131,072 tokens; known afterwards which layers they are.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jtviz.capture import Trace

from .snapshot import block_key, hiding, mask_key, measures_key, pack, thumbnails_key, tile_key, whole_key
from .source import THROUGH
from .tiles import BLOCK, TILE, WHOLE_LIMIT, Key, TileServer, name_of

if TYPE_CHECKING:
    from .attention import AttentionView

THUMBNAIL = 32
"""Pixels of a head's small picture, as in js/src/panels/overview.ts."""

FINER = 2
"""How many levels the layer shown is there in, beside the coarsest, of a text too long for all numbers."""

FINE = 1 << 30
"""Weights of a layer of which there are finer tiles, at most: each of 32,768 tokens takes a second."""

LINKED = 2048
"""Queries whose links are there, at most, of a text too long for all numbers."""

Tiles = dict[str, str]


@dataclass
class Packed:
    """Tiles by name, as JSON, and the stages and layers that they are of."""

    tiles: Tiles = field(default_factory=dict)
    places: list[tuple[str, int]] = field(default_factory=list)
    size: int = 0
    missing: int = 0
    """Bytes of the first layer that had no room."""
    whole_limit: int = WHOLE_LIMIT
    """A layer of at most this many weights is there with all of its numbers."""

    def add(self, found: Tiles, room: int) -> bool:
        """Take some tiles, all or none of them, if there is room."""
        # A name with its quotes, a colon, and a comma.
        more = sum(len(as_json(name).encode()) + len(tile) + 2 for name, tile in found.items())
        if self.size + more > room:
            self.missing = self.missing or more
            return False
        self.tiles.update(found)
        self.size += more
        return True


def packed(view: AttentionView, room: int) -> Packed:
    """Return the tiles of a view's trace that fit in `room` bytes."""
    found = Packed(whole_limit=_whole_limit(view, room))
    # Sampled where exact numbers would take minutes; what would follow is given up at once.
    server = TileServer(view.drawn, lambda *_: None, found.whole_limit)
    try:
        for stage, layer in _nearest(view.trace, view.stage, view.layer):
            is_there = is_whole(view.trace, stage, layer, found.whole_limit)
            if not found.add(_layer(server, view, stage, layer, whole=is_there), room):
                break
            found.places.append((stage, layer))
        for more in _seen_from_afar(server, view, found):
            found.add(more, room)
    finally:
        server.cancel()
    return found


def is_whole(trace: Trace, stage: str, layer: int, limit: int = WHOLE_LIMIT) -> bool:
    """Return whether a layer is small enough for all of its numbers."""
    return _weights(trace, stage, layer) <= limit


def _weights(trace: Trace, stage: str, layer: int) -> int:
    site = trace.site(stage, layer)
    return trace.heads(stage, layer) * site.queries * site.keys


def _whole_limit(view: AttentionView, room: int) -> int:
    """Return the limit that lets the layer shown be there whole, where it fits in `room` bytes."""
    # Two bytes a weight, in base64, as weighed now and as they are.
    size = math.ceil(_weights(view.trace, view.stage, view.layer) * 8 / 3) * len({view.weighting, "raw"})
    return max(WHOLE_LIMIT, _weights(view.trace, view.stage, view.layer) if size <= room * 0.95 else 0)


def as_json(value: Any) -> str:
    """Return JSON that cannot end the script element that it stands in."""
    said = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        said.encode()
    except UnicodeEncodeError:  # half a character, from a tokenizer that splits them
        said = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return said.replace("<", "\\u003c")


def _nearest(trace: Trace, stage: str, layer: int) -> list[tuple[str, int]]:
    places = [(name, i) for name in trace.stages for i in range(trace.layers(name))]
    return sorted(places, key=lambda place: (place[0] != stage, abs(place[1] - layer)))


def _layer(server: TileServer, view: AttentionView, stage: str, layer: int, *, whole: bool) -> Tiles:
    """Return the numbers of one layer, as weighed now and as they are; its picture, if it is too long."""
    if not whole:
        return _packed(server, *_picture_keys(view, stage, layer, _coarsest(view.trace, stage, layer)))
    weightings = dict.fromkeys([view.weighting, "raw"])
    return _packed(server, *(whole_key(stage, layer, weighting) for weighting in weightings))


def _of_tokens(server: TileServer, view: AttentionView) -> Iterator[Tiles]:
    """Return what the tokens of the layer shown do, where its numbers are not there."""
    place = {"stage": view.stage, "layer": view.layer, "weighting": view.weighting}
    hidden = hiding(view.to_dict())
    yield _packed(server, {"kind": "hidden", **place, **hidden, "renormalise": False})
    if (index := view.pinned["query"]) is not None:
        yield _packed(server, {"kind": "row", **place, "index": index})
    if (index := view.pinned["key"]) is not None:
        yield _packed(server, {"kind": "column", **place, **hidden, "index": index})
    yield _packed(server, {"kind": "received", **place})


def _links(server: TileServer, view: AttentionView) -> Iterator[Tiles]:
    """Return what links of the layer shown are drawn from, from the beginning on."""
    site, state = view.trace.site(view.stage, view.layer), view.to_dict()
    for index in range(math.ceil(min(site.queries, LINKED) / BLOCK)):
        # Links run down the text: a query is shown beside keys near its own position.
        start = index * BLOCK // TILE * TILE
        for first in dict.fromkeys([max(0, start - TILE), start]):
            yield _packed(server, block_key(state, view.layer, index, first))


def _finer(server: TileServer, view: AttentionView) -> Iterator[Tiles]:
    """Return the layer shown in finer tiles, the coarser first."""
    coarsest = _coarsest(view.trace, view.stage, view.layer)
    site = view.trace.site(view.stage, view.layer)
    if len(view.choice.members) * site.queries * site.keys > FINE:
        return
    for level in range(coarsest - 1, max(-1, coarsest - 1 - FINER), -1):
        yield _packed(server, *_picture_keys(view, view.stage, view.layer, level))


def _coarsest(trace: Trace, stage: str, layer: int) -> int:
    site = trace.site(stage, layer)
    return max(0, math.ceil(math.log2(max(site.queries, site.keys) / TILE)))


def _picture_keys(view: AttentionView, stage: str, layer: int, level: int) -> list[Key]:
    """Return the tiles of one level of a layer, of the heads that would be shown there."""
    trace, state = view.trace, {**view.to_dict(), "stage": stage}
    shown = [(layer, head) for head in view.heads if head < trace.heads(stage, layer)]
    if stage == view.stage:
        shown += [(other, head) for other, head in view.also if other != layer]
    if view.weighting in THROUGH:
        shown = [(layer, 0)]
    keys: list[Key] = []
    for row, column in _places(trace, stage, layer, level):
        if shown:
            keys.append(tile_key(state, shown, level=level, row=row, column=column))
        if view.show_mask:
            keys.append(mask_key(stage, layer, view.unit, level=level, row=row, column=column))
    return keys


def _places(trace: Trace, stage: str, layer: int, level: int) -> Iterator[tuple[int, int]]:
    site, step = trace.site(stage, layer), TILE * 2**level
    for row in range(math.ceil(site.queries / step)):
        for column in range(math.ceil(site.keys / step)):
            yield row, column


def _seen_from_afar(server: TileServer, view: AttentionView, found: Packed) -> Iterator[Tiles]:
    trace, places, limit = view.trace, found.places, found.whole_limit
    for stage, layer in places:
        if is_whole(trace, stage, layer, limit) and view.show_mask:
            places_of = _places(trace, stage, layer, 0)
            keys = [mask_key(stage, layer, view.unit, level=0, row=r, column=c) for r, c in places_of]
            yield _packed(server, *keys)
    if places and not is_whole(trace, view.stage, view.layer, limit):
        yield from _of_tokens(server, view)
    for stage in dict.fromkeys(stage for stage, _ in places):
        yield _packed(server, measures_key(stage))
    # What is followed through all layers has no heads to be seen small.
    weighting = "raw" if view.weighting in THROUGH else view.weighting
    for stage, layer in places:
        yield _packed(server, thumbnails_key(stage, layer, weighting, THUMBNAIL))
    if places and not is_whole(trace, view.stage, view.layer, limit):
        # What is drawn now first.
        parts = [_finer, _links] if view.mode == "matrix" else [_links, _finer]
        yield from (tiles for part in parts for tiles in part(server, view))


def _packed(server: TileServer, *keys: Key) -> Tiles:
    """Return those of some tiles that can be had."""
    found: Tiles = {}
    for key in keys:
        tile = pack(server, key)
        server.cancel()
        if tile is not None:
            found[name_of(key)] = as_json(_written(tile))
    return found


def _written(tile: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in tile.items() if name not in {"data", "later"}}
    return {**said, "data": base64.b64encode(tile["data"]).decode()}
