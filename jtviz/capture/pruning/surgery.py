"""Take heads and units out of a model, each step proved.

Required: never wrong, only less cut. First all are masked for good; then what can be removed is removed, place by
place; a cut after which the model does not answer as it should is put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from ..errors import JtvizError
from ..inputs import Prepared
from ..intervention.ablation import Mask
from ..intervention.places import HeadPlace, Places, UnitPlace
from .attention import PrunedAttention
from .bias import SharedBias
from .cutting import (
    Journal,
    cut_axis,
    cut_columns,
    cut_rows,
    is_tied,
    mark,
    tied,
    zero_columns,
    zero_rows,
)
from .plans import Sizes, carry_out, plans, unit_plans
from .probe import Features, Probe
from .proof import Proof

Step = Callable[[Journal], None]

_NO_WAY = "every way to cut it changed what the model answers, or did not run"
_SHARED_KEYS = "query heads that share a key head go together, or as many of each key head"


@dataclass(eq=False)
class _Group:
    """What is off at one module, in all of its calls."""

    places: list[Any]
    part: tuple[int, ...]

    @property
    def first(self) -> Any:
        return self.places[0]

    @property
    def is_heads(self) -> bool:
        return isinstance(self.first, HeadPlace)

    @property
    def words(self) -> str:
        what = "head" if self.is_heads else "unit"
        many = "" if len(self.part) == 1 else "s"
        return f"{what}{many} {', '.join(map(str, self.part[:8]))} of {self.first.stage} layer {self.first.layer}"

    def mask(self, part: Sequence[int]) -> Mask:
        parts = tuple((place.stage, place.layer, i) for place in self.places for i in part)
        return Mask(heads=parts) if self.is_heads else Mask(units=parts)


@dataclass
class Done:
    """What was done to a model.

    Attributes
    ----------
    removed, masked : Mask
        What was taken out, and what was masked for good.
    reasons : dict of place to str
        Why it was not taken out.
    """

    removed: Mask = field(default_factory=Mask)
    masked: Mask = field(default_factory=Mask)
    reasons: dict[HeadPlace | UnitPlace, str] = field(default_factory=dict)


class Surgery:
    """One model that is cut.

    Parameters
    ----------
    model : nn.Module
        A copy that nobody else uses; it is changed.
    places : Places
        Where its heads and units are.
    mask : Mask
        What is to go.
    readings : sequence of Prepared
        What the cut model is proved on.
    """

    def __init__(self, model: nn.Module, places: Places, mask: Mask, readings: Sequence[Prepared]) -> None:
        self._model, self._places, self._readings = model, places, readings
        self._groups = _groups(model, places, mask)
        self._whole = Proof(model, places, mask, readings)
        self._probe = self._probed()
        self._tied = tied(model)
        self._worked: dict[type, int] = {}

    def run(self) -> Done:
        """Mask all for good, then remove what can be removed.

        Raises
        ------
        JtvizError
            If something cannot even be masked for good.
        """
        self._mask()
        done = Done()
        for group in self._groups:
            removed, reason = self._remove(group)
            done.removed |= group.mask(removed)
            left = [i for i in group.part if i not in removed]
            done.masked |= group.mask(left)
            if left:
                done.reasons |= dict.fromkeys(group.places, reason)
        return done

    def _probed(self) -> Probe | None:
        for reading in reversed(self._whole.readings):
            try:
                return Probe(self._model, self._places, reading)
            except Exception:  # noqa: BLE001, S112 - a model may refuse random numbers in any way
                continue
        return None

    # Masking for good

    def _mask(self) -> None:
        journal = Journal()
        chosen: list[Step] = []
        for group in self._groups:
            first = next(self._ways_to_mask(group), None)
            if first is not None:
                first(journal)
                chosen.append(first)
        if len(chosen) == len(self._groups) and self._whole.holds(self._model):
            return
        journal.undo()
        for step in [self._masking(group) for group in self._groups]:
            step(journal)
        if not self._whole.holds(self._model):
            journal.undo()
            raise JtvizError(
                "these heads and units together cannot be pruned from this model: with their weights at zero "
                "it answers otherwise than with them switched off; use hooked.ablate(...)."
            )

    def _masking(self, group: _Group) -> Step:
        """Return the first way to mask a group that is proved for it alone."""
        proof = Proof(self._model, self._places, group.mask(group.part), self._readings)
        for step in self._ways_to_mask(group):
            journal = Journal()
            step(journal)
            is_right = proof.holds(self._model)
            journal.undo()
            if is_right:
                return step
        raise JtvizError(
            f"{group.words} cannot be pruned: no weight of {group.first.path} was found that, set to zero, "
            f"switches it off; use hooked.ablate(...)."
        )

    def _ways_to_mask(self, group: _Group) -> Iterator[Step]:
        module = self._module(group.first.path)
        if not group.is_heads:
            columns = self._unit_columns(group, group.part)
            if columns:
                yield partial(zero_columns, features=columns)
            return
        if isinstance(module, nn.MultiheadAttention):
            which = mark(module.num_heads, group.part, module.head_dim)
            weight = module.out_proj.weight
            yield lambda journal: journal.fill_with_zero(weight, 1, which)
        if self._probe is not None:
            columns = self._probe.columns(group.places, group.part)
            if columns:
                yield partial(zero_columns, features=columns)
            rows = self._probe.rows(group.places, group.part)
            if rows:
                yield partial(zero_rows, features=rows)
        for owner, name, axis, width in self._by_heads(module, group.first):
            which = mark(group.first.heads, group.part, width)
            yield lambda journal, p=getattr(owner, name), a=axis, w=which: journal.fill_with_zero(p, a, w)  # type: ignore[misc]

    # Removing

    def _remove(self, group: _Group) -> tuple[list[int], str]:
        """Return which parts of a group were removed, and why not the others."""
        parts = list(self._parts(group))
        reason = _NO_WAY if parts else _SHARED_KEYS
        for part, why in parts:
            try:
                for step in self._ways_to_cut(group, part):
                    journal = Journal()
                    try:
                        step(journal)
                    except Exception:  # noqa: BLE001 - a guess may not even fit
                        journal.undo()
                        continue
                    if self._whole.holds(self._model):
                        return list(part), why
                    journal.undo()
            except JtvizError as error:
                reason = str(error)
                break
        return [], reason

    def _parts(self, group: _Group) -> Iterator[tuple[tuple[int, ...], str]]:
        """Yield what could go together, the most first, and why the rest has to stay."""
        place, part = group.first, group.part
        if not group.is_heads:
            yield part, ""
            if len(part) == place.units:
                yield part[1:], "the model needs one unit here"
            return
        seen: list[tuple[int, ...]] = []
        for found in (
            _balanced(part, place.heads, place.group),
            _whole_groups(part, place.heads, place.group),
        ):
            if found and found not in seen:
                seen.append(found)
                yield found, _SHARED_KEYS
                if len(found) == place.heads > 1:
                    yield found[1:], "the model needs one head here"

    def _ways_to_cut(self, group: _Group, part: Sequence[int]) -> Iterator[Step]:
        place = group.first
        module = self._module(place.path)
        if not group.is_heads:
            yield from self._ways_to_cut_units(group, part)
            return
        if type(module) is nn.MultiheadAttention:
            yield partial(self._replace, place=place, part=part)
            return
        rows: Features = []
        columns: Features = []
        if self._probe is not None:
            rows, columns = self._probe.rows(group.places, part), self._probe.columns(group.places, part)
        if is_tied(rows + columns, self._tied):
            raise JtvizError("its weights are another module's, too")
        inside = [m for m in module.modules() if not isinstance(getattr(m, "weight", None), nn.Parameter)]
        path, around = place.path.rpartition(".")[0], []
        while path and len(around) < 2:
            around.append(self._module(path))
            path = path.rpartition(".")[0]
        before = Sizes(place.heads, place.heads // place.group, place.width)
        left = place.heads - len(part)
        groups = _groups_left(part, place.heads, place.group)
        after = Sizes(left, groups, place.width)
        cut = {id(linear.module) for linear, _ in rows + columns}
        own = [
            (owner, name, axis)
            for owner, name, axis, width in self._by_heads(module, place)
            if width == 1 and id(owner) not in cut
        ]
        if not (rows and columns) and not own:
            raise JtvizError("its projections were not found")
        tables = [owner for owner, name, axis in own if isinstance(owner, nn.Embedding) and axis == 1]
        kept = [i for i in range(place.heads) if i not in set(part)]

        def step(journal: Journal, plan: Any, *, shares: bool) -> None:
            cut_rows(journal, rows)
            cut_columns(journal, columns)
            for owner, name, axis in own:
                if not (shares and owner in tables):
                    cut_axis(journal, owner, name, axis, part)
            if shares:
                for handle in SharedBias(kept, place.heads).put_on(module, tables):
                    journal.on_undo(handle.remove)
            carry_out(journal, plan)

        guesses = list(plans(inside, around, before, after))
        ways = [partial(step, plan=plan, shares=False) for plan in guesses]
        ways += [partial(step, plan=plan, shares=True) for plan in guesses[:3]]
        yield from self._likeliest_first(type(module), ways)

    def _ways_to_cut_units(self, group: _Group, part: Sequence[int]) -> Iterator[Step]:
        place = group.first
        rows = [] if self._probe is None else self._probe.rows(group.places, part)
        columns = self._unit_columns(group, part)
        if not rows or not columns:
            raise JtvizError("the layers that make its units were not found")
        if is_tied(rows + columns, self._tied):
            raise JtvizError("its weights are another module's, too")
        around = self._module(place.path.rpartition(".")[0])

        def step(journal: Journal, plan: Any) -> None:
            cut_rows(journal, rows)
            cut_columns(journal, columns)
            carry_out(journal, plan)

        for plan in unit_plans(around, place.units, place.units - len(part)):
            yield partial(step, plan=plan)

    def _likeliest_first(self, kind: type, ways: list[Any]) -> Iterator[Step]:
        """Yield ways to cut a kind of module, first the one that worked before."""
        order = list(range(len(ways)))
        if self._worked.get(kind, 0) < len(order):
            order.insert(0, order.pop(self._worked.get(kind, 0)))
        for number in order:
            yield ways[number]
            # Asked for another one: this one did not work. Where it did, nobody asks.
            self._worked[kind] = order[(order.index(number) + 1) % len(order)]

    def _replace(self, journal: Journal, place: HeadPlace, part: Sequence[int]) -> None:
        attention: Any = self._module(place.path)
        name = place.path.rpartition(".")[2]
        if attention is self._model:
            raise JtvizError("the model is this attention itself")
        if attention.bias_k is not None or attention.add_zero_attn:
            raise JtvizError("it has keys of its own")
        kept = [i for i in range(place.heads) if i not in set(part)]
        path = place.path.rpartition(".")[0]
        journal.set(self._module(path), name, PrunedAttention.of_attention(attention, kept))
        while path:
            above = self._module(path)
            if getattr(above, "use_nested_tensor", False):
                # Examples of different lengths packed into one tensor are for the fast path alone.
                journal.set(above, "use_nested_tensor", False)
            path = path.rpartition(".")[0]

    # Finding

    def _module(self, path: str) -> nn.Module:
        is_root = not path or path == type(self._model).__name__
        return self._model if is_root else self._model.get_submodule(path)

    def _unit_columns(self, group: _Group, part: Sequence[int]) -> Features:
        linear = None if self._probe is None else self._probe.linear(group.first.path)
        return [] if linear is None else [(linear, mark(group.first.units, part))]

    @staticmethod
    def _by_heads(module: nn.Module, place: HeadPlace) -> Iterator[tuple[nn.Module, str, int, int]]:
        """Yield parameters inside a module with one axis of heads: of which module, the name, axis and width."""
        for owner in module.modules():
            for name, parameter in owner.named_parameters(recurse=False):
                for width in dict.fromkeys((1, place.width)):
                    axes = [a for a, size in enumerate(parameter.shape) if size == place.heads * width]
                    if width and len(axes) == 1:
                        yield owner, name, axes[0], width


def _groups(model: nn.Module, places: Places, mask: Mask) -> list[_Group]:
    """Return what is off by module, or raise if a module is to lose something in some of its calls only."""
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
            group = _Group(of_path, max(parts))
            if len(set(parts)) > 1 or len(of_path) != of_path[0].calls:
                what = "head" if group.is_heads else "unit"
                said = next(p for p, part in zip(of_path, parts, strict=True) if part)
                raise JtvizError(
                    f"{what} {group.part[0]} of {said.stage} layer {said.layer} cannot be pruned: {path} of "
                    f"{type(model).__name__} has the same weights in {of_path[0].calls} layers; switch it off in "
                    f"all of them, or use hooked.ablate(...)."
                )
            groups.append(group)
    return groups


def _by_key_head(part: Sequence[int], heads: int, group: int) -> list[list[int]]:
    off = set(part)
    return [[i for i in range(start, start + group) if i in off] for start in range(0, heads, group)]


def _whole_groups(part: Sequence[int], heads: int, group: int) -> tuple[int, ...]:
    return tuple(i for off in _by_key_head(part, heads, group) if len(off) == group for i in off)


def _balanced(part: Sequence[int], heads: int, group: int) -> tuple[int, ...]:
    """Return the most that can go so that each key head that is left has as many query heads."""
    groups = _by_key_head(part, heads, group)
    least = min((len(off) for off in groups if len(off) < group), default=0)
    return tuple(i for off in groups for i in (off if len(off) == group else off[:least]))


def _groups_left(part: Sequence[int], heads: int, group: int) -> int:
    return sum(len(off) < group for off in _by_key_head(part, heads, group))
