"""The tiles that a view needs first, sent with it and saved with it.

Required: bounded; named as the front end names what it asks for, so that it finds them. Twin:
js/src/core/tiles.ts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .tiles import BLOCK, Key, TileServer, name_of

SIGHT = 23
"""Queries in sight of a long text's links."""

LIMIT = 2**19
"""Bytes of tiles in a saved view, at most."""


def whole_key(stage: str, layer: int, weighting: str) -> dict[str, Any]:
    """Return the key of a whole layer, its fields in the front end's order."""
    return {"kind": "whole", "stage": stage, "layer": layer, "weighting": weighting}


def thumbnails_key(stage: str, layer: int, weighting: str, size: int) -> dict[str, Any]:
    """Return the key of small pictures of a layer's heads."""
    return {"kind": "thumbnails", "stage": stage, "layer": layer, "weighting": weighting, "size": size}


def measures_key(stage: str) -> dict[str, Any]:
    """Return the key of the measures of a stage's heads."""
    return {"kind": "measures", "stage": stage}


def mask_key(
    stage: str, layer: int, unit: str, *, level: int, row: int = 0, column: int = 0
) -> dict[str, Any]:
    """Return the key of a part of where queries cannot look."""
    place = {"level": level, "row": row, "column": column}
    return {"kind": "mask", "stage": stage, "layer": layer, "unit": unit, **place}


def hiding(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is left out, as a key says it: only what differs from nothing."""
    names = ("hide", "hide_special", "hide_first", "renormalise", "query_span", "key_span")
    return {name: state[name] for name in names if state.get(name)}


def strongest(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many of the strongest links are kept, as a key says it: only where it is not all."""
    top_k, top_mass = state.get("top_k", 0), state.get("top_mass", 1)
    return {**({"top_k": top_k} if top_k > 0 else {}), **({"top_mass": top_mass} if top_mass < 1 else {})}


def tile_key(
    state: Mapping[str, Any],
    members: Sequence[Sequence[int]],
    *,
    level: int,
    row: int = 0,
    column: int = 0,
) -> dict[str, Any]:
    """Return the key of a part of the picture of some heads, pooled ``2**level`` each way."""
    return {
        "kind": "tile",
        "stage": state["stage"],
        "weighting": state["weighting"],
        "members": [list(member) for member in members],
        "combine": state["combine"],
        "unit": state["unit"],
        **hiding(state),
        **strongest(state),
        "level": level,
        "row": row,
        "column": column,
        "pool": state["pool"],
    }


def pack(server: TileServer, key: Key) -> dict[str, Any] | None:
    """Return a tile with its bytes; None where it cannot be had."""
    said, data = server.answer_one(key)
    return None if "error" in said else {**said, "data": data}


def block_key(state: Mapping[str, Any], layer: int, index: int, first: int = 0) -> dict[str, Any]:
    """Return the key of sixteen queries and 512 keys, as links ask for them."""
    return {
        "kind": "block",
        "stage": state["stage"],
        "layer": layer,
        "weighting": state.get("weighting", "raw"),
        "unit": state.get("unit", "token"),
        **hiding(state),
        **strongest(state),
        "index": index,
        "from": first,
        "to": first + 512,
    }


def snapshot(server: TileServer, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tiles of the first picture by name: a whole layer, or of a long text its beginning."""
    place = (state["stage"], state["layer"], state.get("weighting", "raw"))
    tiles: dict[str, Any] = {}
    for key in (
        whole_key(*place),
        *(block_key(state, state["layer"], index) for index in range(SIGHT // BLOCK + 1)),
    ):
        tile = pack(server, key)
        if tile is not None and sum(len(t["data"]) for t in [*tiles.values(), tile]) <= LIMIT:
            tiles[name_of(key)] = tile
        if key["kind"] == "whole" and tile is not None:
            break
    return tiles
