"""The tiles that a view needs first, sent with it and saved with it.

Required: bounded; named as the front end names what it asks for, so that it finds them. Twin:
js/src/core/tiles.ts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .tiles import Key, TileServer

LIMIT = 2**19
"""Bytes of tiles in a saved view, at most."""


def name_of(key: Key) -> str:
    """Return the name of a tile: its key as the front end writes it."""
    return json.dumps(key, separators=(",", ":"), ensure_ascii=False)


def whole_key(stage: str, layer: int, weighting: str) -> dict[str, Any]:
    """Return the key of a whole layer, its fields in the front end's order."""
    return {"kind": "whole", "stage": stage, "layer": layer, "weighting": weighting}


def pack(server: TileServer, key: Key) -> dict[str, Any] | None:
    """Return a tile with its bytes; None where it cannot be had."""
    said, data = server.answer_one(key)
    return None if "error" in said else {**said, "data": data}


def snapshot(server: TileServer, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tiles of the first picture by name; none where the layer is too long to be sent whole."""
    key = whole_key(state["stage"], state["layer"], state.get("weighting", "raw"))
    tile = pack(server, key)
    return {} if tile is None or len(tile["data"]) > LIMIT else {name_of(key): tile}
