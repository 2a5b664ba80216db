"""What is to go, module by module.

Required: what a module computes for several layers goes in all of them or in none; query heads that share a
key head are left in equal numbers, as the kernels need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..errors import JtvizError
from ..intervention.ablation import Mask
from ..intervention.places import HeadPlace, Places


@dataclass(eq=False)
class Group:
    """What is off at one module, in all of its calls.

    Attributes
    ----------
    places : list of HeadPlace or of UnitPlace
        Its calls.
    part : tuple of int
        Which heads or units.
    """

    places: list[Any]
    part: tuple[int, ...]

    @property
    def first(self) -> Any:
        """The place of its first call."""
        return self.places[0]

    @property
    def is_heads(self) -> bool:
        """Whether heads are off, not units."""
        return isinstance(self.first, HeadPlace)

    @property
    def words(self) -> str:
        """What is off, in words."""
        what = "head" if self.is_heads else "unit"
        many = "" if len(self.part) == 1 else "s"
        first, named = self.first, ", ".join(map(str, self.part[:8]))
        return f"{what}{many} {named} of {first.stage} layer {first.layer}"

    def mask(self, part: Sequence[int]) -> Mask:
        """Return a part of it in all calls."""
        parts = tuple((place.stage, place.layer, i) for place in self.places for i in part)
        return Mask(heads=parts) if self.is_heads else Mask(units=parts)


def groups_of(model: nn.Module, places: Places, mask: Mask) -> list[Group]:
    """Return what is off by module.

    Raises
    ------
    JtvizError
        If a module is to lose something in only some of the layers that it computes.
    """
    off: dict[Any, set[int]] = {}
    for stage, layer, i in mask.heads:
        off.setdefault(places.head(stage, layer), set()).add(i)
    for stage, layer, i in mask.units:
        off.setdefault(places.unit(stage, layer), set()).add(i)
    groups = []
    for kind in (places.heads, places.units):
        for path in dict.fromkeys(place.path for place in kind):
            of_path: list[Any] = [place for place in kind if place.path == path]
            parts = [tuple(sorted(off.get(place, ()))) for place in of_path]
            if not any(parts):
                continue
            if len(set(parts)) > 1 or len(of_path) != of_path[0].calls:
                everywhere = set(parts[0]).intersection(*parts) if len(of_path) == of_path[0].calls else set()
                place, i = next(
                    (place, i)
                    for place, part in zip(of_path, parts, strict=True)
                    for i in part
                    if i not in everywhere
                )
                raise JtvizError(
                    f"{'head' if kind is places.heads else 'unit'} {i} of {place.stage} layer {place.layer} "
                    f"cannot be pruned: {path} of {type(model).__name__} has the same weights in "
                    f"{place.calls} layers; switch it off in all of them, or use hooked.ablate(...)."
                )
            groups.append(Group(of_path, parts[0]))
    return groups


def whole_groups(part: Sequence[int], heads: int, group: int) -> tuple[int, ...]:
    """Return those that go with their key head."""
    return tuple(i for off in _by_key_head(part, heads, group) if len(off) == group for i in off)


def balanced(part: Sequence[int], heads: int, group: int) -> tuple[int, ...]:
    """Return the most that can go so that each key head that is left has as many query heads."""
    groups = _by_key_head(part, heads, group)
    least = min((len(off) for off in groups if len(off) < group), default=0)
    return tuple(i for off in groups for i in (off if len(off) == group else off[:least]))


def groups_left(part: Sequence[int], heads: int, group: int) -> int:
    """Return how many key heads are left."""
    return sum(len(off) < group for off in _by_key_head(part, heads, group))


def _by_key_head(part: Sequence[int], heads: int, group: int) -> list[list[int]]:
    off = set(part)
    return [[i for i in range(start, start + group) if i in off] for start in range(0, heads, group)]
