"""Where the heads and feed-forward units of a model are computed: what an intervention has to reach.

Required: read off a traced forward pass, never from names; a head, layer or unit that is not there is
answered with what is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from ..blocks import BlockCall, one_call_each
from ..errors import JtvizError, OutOfRangeError
from ..part import Index, chosen, is_int, positions
from ..site import Site
from ..stages import Stage


@dataclass(frozen=True)
class HeadPlace:
    """One call that computes the heads of a layer.

    Attributes
    ----------
    stage, layer : str, int
        ``"encoder"``, ``"decoder"`` or ``"cross"``, and the layer from 0.
    path : str
        The module that computes it; the name of the model's class where that is the model itself.
    call, calls : int
        Which call of that module in one forward pass, and how many there are.
    heads, width : int
        How many heads, and the size of one head's output (0 where it was not seen).
    group : int
        How many query heads share one key head.
    block : int or None
        Number of its block in `Places.blocks`.
    """

    stage: str
    layer: int
    path: str
    call: int
    calls: int
    heads: int
    width: int
    group: int
    block: int | None

    @property
    def size(self) -> int:
        """How many parts can be switched off here."""
        return self.heads


@dataclass(frozen=True)
class UnitPlace:
    """One call of the last linear layer of a block, whose inputs are its feed-forward units.

    Attributes
    ----------
    stage, layer : str, int
        ``"encoder"`` or ``"decoder"``, and the layer from 0.
    path : str
        The module of the last linear layer.
    call, calls : int
        Which call of that module in one forward pass, and how many there are.
    units : int
        How many.
    block : int or None
        Number of its block in `Places.blocks`.
    """

    stage: str
    layer: int
    path: str
    call: int
    calls: int
    units: int
    block: int | None

    @property
    def size(self) -> int:
        """How many parts can be switched off here."""
        return self.units


@dataclass(frozen=True)
class Places:
    """All of them.

    Attributes
    ----------
    heads : tuple of HeadPlace
        Stage by stage, in layer order.
    units : tuple of UnitPlace
        The same of feed-forward layers, where they were found.
    blocks : tuple of (str, int)
        Path and call of each block, in the order they ran.
    """

    heads: tuple[HeadPlace, ...]
    units: tuple[UnitPlace, ...]
    blocks: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, by_stage: Mapping[Stage, Sequence[Site]], ran: Sequence[Site]) -> Places:
        """Return the places of one forward pass.

        Parameters
        ----------
        by_stage : mapping of str to sequence of Site
            The sites, sorted into stages.
        ran : sequence of Site
            All of them, in the order they ran.
        """
        calls = Counter(site.path for site in ran)
        of_stage = {stage: one_call_each(sites) for stage, sites in by_stage.items()}
        block_of = {
            id(site): block
            for stage, sites in by_stage.items()
            for site, block in zip(sites, of_stage[stage] or (), strict=False)
        }
        in_order: dict[int, BlockCall] = {}
        for site in ran:
            if id(site) in block_of:
                in_order.setdefault(id(block_of[id(site)]), block_of[id(site)])
        number = {name: i for i, name in enumerate(in_order)}
        seen: Counter[str] = Counter()
        blocks = []
        for block in in_order.values():
            blocks.append((block.path, seen[block.path]))
            seen[block.path] += 1
        heads = [
            HeadPlace(
                stage,
                layer,
                site.path,
                site.call,
                calls[site.path],
                site.heads,
                site.width,
                site.group,
                number[id(block_of[id(site)])] if id(site) in block_of else None,
            )
            for stage, sites in by_stage.items()
            for layer, site in enumerate(sites)
        ]
        return cls(tuple(heads), tuple(_units(of_stage, number)), tuple(blocks))

    def head(self, stage: str, layer: int) -> HeadPlace:
        """Return the place of a layer's heads.

        Raises
        ------
        JtvizError
            If there is no such stage.
        OutOfRangeError
            If there is no such layer.
        """
        return _found(self.heads, stage, layer, "attention")

    def unit(self, stage: str, layer: int) -> UnitPlace:
        """Return the place of a layer's feed-forward units; raises as `head`."""
        if not self.units:
            raise JtvizError(
                "no feed-forward units were found in this model: what is looked for is the input of the last "
                "linear layer of each numbered block."
            )
        return _found(self.units, stage, layer, "feed-forward")


_Place = TypeVar("_Place", HeadPlace, UnitPlace)


def _units(
    of_stage: Mapping[Stage, Sequence[BlockCall] | None], number: Mapping[int, int]
) -> list[UnitPlace]:
    found = []
    for stage in ("encoder", "decoder"):
        for layer, block in enumerate(of_stage.get(stage) or ()):
            last = block.last_linear
            if last is not None and block.before is not None and last.out == block.before.shape[-1]:
                found.append((stage, layer, last, number[id(block)]))
    calls = Counter(last.path for _, _, last, _ in found)
    return [
        UnitPlace(stage, layer, last.path, last.call, calls[last.path], last.size, block)
        for stage, layer, last, block in found
    ]


def _found(places: Sequence[_Place], stage: str, layer: int, what: str) -> _Place:
    layers = {place.layer: place for place in places if place.stage == stage}
    if not layers:
        stages = dict.fromkeys(place.stage for place in places)
        raise JtvizError(
            f"there is no {what} layer of stage {stage!r}: this model has {', '.join(map(repr, stages))}."
        )
    if not is_int(layer) or layer not in layers:
        raise OutOfRangeError(
            f"layer {layer!r} of the {stage} has no {what} here: choose from "
            f"{', '.join(map(str, sorted(layers)))}."
        )
    return layers[layer]


def chosen_parts(place: HeadPlace | UnitPlace, given: Index) -> list[int]:
    """Return which heads or units of a place are meant; raise if one is not there."""
    what = "head" if isinstance(place, HeadPlace) else "unit"
    where = f"{place.stage} layer {place.layer}"
    part = chosen(given, place.size, what, where, torch.device("cpu"))
    return sorted({int(i) for i in positions(part, torch.device("cpu"))})
