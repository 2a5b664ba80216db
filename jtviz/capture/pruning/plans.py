"""What a module may have to know of its heads or units once there are fewer: guesses, each to be proved.

Required: no architecture is named. Plain integers are recognised by what they equal and what they are called;
where that leaves a choice, all choices are plans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from .cutting import Journal


@dataclass(frozen=True)
class Sizes:
    """How many heads an attention has.

    Attributes
    ----------
    heads, groups : int
        Query heads, and key heads.
    width : int
        Of one head.
    """

    heads: int
    groups: int
    width: int

    @property
    def each(self) -> int:
        """How many query heads share one key head."""
        return self.heads // max(1, self.groups)

    @property
    def totals(self) -> tuple[int, ...]:
        """Widths of all heads side by side: queries, keys, and both kinds of fused projections."""
        queries, keys = self.heads * self.width, self.groups * self.width
        return queries, keys, 3 * queries, 2 * queries, 2 * keys, queries + 2 * keys


class OwnSettings:
    """A configuration of which one module has a few settings of its own; all else is the shared one's.

    Parameters
    ----------
    shared : object
        The configuration of the model.
    own : dict of str to int
        What differs.
    """

    def __init__(self, shared: Any, own: dict[str, int]) -> None:
        self.__dict__.update(own, _shared=shared)

    def __getattr__(self, name: str) -> Any:
        """Return a setting of the shared configuration."""
        if name.startswith("__") or name == "_shared":
            raise AttributeError(name)
        return getattr(self._shared, name)


Assignment = tuple[Any, str, Any]
"""Whose attribute becomes what."""


def plans(
    modules: Sequence[nn.Module], around: Sequence[nn.Module], before: Sizes, after: Sizes
) -> Iterator[list[Assignment]]:
    """Yield what could have to be set, the likeliest first.

    Parameters
    ----------
    modules : sequence of nn.Module
        The module that computes the attention, and what is inside of it.
    around : sequence of nn.Module
        Those that it is inside of.
    before, after : Sizes
        Of the heads.
    """
    seen: list[list[Assignment]] = []
    for scope in ([*modules], [*modules, *around]):
        for by_value in (False, True):
            for totals in ("own", "all", "none"):
                plan = [
                    (module, name, value)
                    for module in scope
                    for name, value in _changed(vars(module), before, after, totals, by_value=by_value)
                ]
                if plan not in seen:
                    seen.append(plan)
                    yield plan
    settings: list[Assignment] = [
        (module, "config", OwnSettings(module.config, own))
        for module in modules
        if hasattr(module, "config") and (own := _of_config(module.config, before, after))
    ]
    if settings:
        yield from (plan + settings for plan in list(seen))


def carry_out(journal: Journal, plan: Sequence[Assignment]) -> None:
    """Set what a plan says."""
    for owner, name, value in plan:
        journal.set(owner, name, value)


def unit_plans(module: nn.Module, before: int, after: int) -> list[list[Assignment]]:
    """Return what the module round a last linear layer could have to know of its units."""
    known: list[Assignment] = [
        (module, name, after if value == before else 2 * after)
        for name, value in vars(module).items()
        if type(value) is int and not name.startswith("_") and value in {before, 2 * before}
    ]
    return [known, []] if known else [[]]


_GROUP = re.compile(r"group|rep(eat)?s?$|n_rep")
_KEY = re.compile(r"kv|key")
_HEAD = re.compile(r"head|^n?h$")
_WIDTH = re.compile(r"dim|size|width|hidden|embed")
_STREAM = re.compile(r"embed|hidden|model|width|vocab|max|pos|layer|idx|bucket|distance|intermediate")


def _changed(
    held: dict[str, Any], before: Sizes, after: Sizes, totals: str, *, by_value: bool
) -> Iterator[tuple[str, int]]:
    sizes = dict(zip(before.totals[::-1], after.totals[::-1], strict=True))
    for name, value in held.items():
        if type(value) is not int or name.startswith("_"):
            continue
        counted = _count(name, value, before, after)
        if counted is not None:
            yield name, counted
        elif by_value and value == before.heads and not _STREAM.search(name):
            yield name, after.heads
        elif (
            totals != "none"
            and value in sizes
            and value != before.width
            and (totals == "all" or not _STREAM.search(name))
        ):
            yield name, sizes[value]


def _count(name: str, value: int, before: Sizes, after: Sizes) -> int | None:
    if _WIDTH.search(name):
        return None
    if _GROUP.search(name):
        return after.each if value == before.each else None
    if not _HEAD.search(name):
        return None
    if _KEY.search(name):
        return after.groups if value == before.groups else None
    return after.heads if value == before.heads else None


def _of_config(config: Any, before: Sizes, after: Sizes) -> dict[str, int]:
    held = getattr(config, "__dict__", {})
    return dict(_changed(held, before, after, "none", by_value=False))
