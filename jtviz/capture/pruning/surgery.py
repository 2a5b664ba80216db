"""Take heads and units out of a model, each step proved.

Required: never wrong, only less cut. First all are masked for good; then what can be removed is removed,
place by place; a cut after which the model does not answer as it should is put back.
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
from .groups import Group, balanced, groups_left, groups_of, whole_groups
from .plans import Sizes, carry_out, plans, unit_plans
from .probe import Features, Probe
from .proof import Proof

Step = Callable[[Journal], None]

_NO_WAY = "every way to cut it changed what the model answers, or did not run"
_ONE_STAYS = "a layer keeps one, so that it is still a layer of later traces"
_SHARED_KEYS = "query heads that share a key head go together, or as many of each key head"


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

    def add(self, group: Group, removed: Sequence[int], reason: str) -> None:
        """Take note of what was removed of a group, and why not the rest."""
        self.removed |= group.mask(removed)
        left = [i for i in group.part if i not in removed]
        self.masked |= group.mask(left)
        if left:
            self.reasons |= dict.fromkeys(group.places, reason)


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
        self._groups = groups_of(model, places, mask)
        self._probe = self._probed()
        self._watched = self._readers()
        self._whole = Proof(model, places, mask, readings, self._watched)
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
        alike: dict[tuple[bool, type], list[Group]] = {}
        for group in self._groups:
            alike.setdefault((group.is_heads, type(self._module(group.first.path))), []).append(group)
        for first, *others in alike.values():
            done.add(first, *self._remove(first))
            # What worked once works for the others of its kind, nearly always: one proof will do.
            together = self._remove_together(others)
            for number, group in enumerate(others):
                done.add(group, *(self._remove(group) if together is None else together[number]))
        return done

    def _probed(self) -> Probe | None:
        for reading in reversed(self._readings):
            try:
                return Probe(self._model, self._places, reading)
            except Exception:  # noqa: BLE001, S112 - a model may refuse random numbers in any way
                continue
        return None

    def _readers(self) -> list[str]:
        """Return the paths of what reads heads and units that are to go."""
        paths = {id(module): path for path, module in self._model.named_modules()}
        found: list[nn.Module] = []
        for group in self._groups:
            is_told = group.is_heads and self._probe is not None
            columns = self._probe.columns(group.places, group.part) if is_told and self._probe else []
            # What reads heads by itself returns what it read.
            found += [linear.module for linear, _ in columns] or [self._module(group.first.path)]
        return list(dict.fromkeys(paths[id(module)] for module in found))

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

    def _masking(self, group: Group) -> Step:
        """Return the first way to mask a group that is proved for it alone."""
        proof = Proof(self._model, self._places, group.mask(group.part), self._readings, self._watched)
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

    def _ways_to_mask(self, group: Group) -> Iterator[Step]:
        module = self._module(group.first.path)
        if not group.is_heads:
            columns = self._unit_columns(group, group.part)
            if columns:
                yield partial(zero_columns, features=columns)
            return
        if isinstance(module, nn.MultiheadAttention):
            which = mark(module.num_heads, group.part, module.head_dim)
            yield partial(Journal.fill_with_zero, parameter=module.out_proj.weight, axis=1, which=which)
        if self._probe is not None:
            columns = self._probe.columns(group.places, group.part)
            if columns:
                yield partial(zero_columns, features=columns)
            rows = self._probe.rows(group.places, group.part)
            if rows:
                yield partial(zero_rows, features=rows)
        for owner, name, axis, width in self._by_heads(module, group.first):
            which = mark(group.first.heads, group.part, width)
            yield partial(Journal.fill_with_zero, parameter=getattr(owner, name), axis=axis, which=which)

    # Removing

    def _remove(self, group: Group) -> tuple[Sequence[int], str]:
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
                        return part, why
                    journal.undo()
            except JtvizError as error:
                reason = str(error)
                break
        return (), reason

    def _remove_together(self, groups: Sequence[Group]) -> list[tuple[Sequence[int], str]] | None:
        """Remove the most of each group in the likeliest way; None, and nothing done, if that is wrong."""
        if len(groups) < 2:
            return None
        journal = Journal()
        found: list[tuple[Sequence[int], str]] = []
        try:
            for group in groups:
                part, why = next(self._parts(group), ((), _SHARED_KEYS))
                if part:
                    next(self._ways_to_cut(group, part))(journal)
                found.append((part, why))
        except Exception:  # noqa: BLE001 - one by one it will be seen which does not fit, and why
            journal.undo()
            return None
        if self._whole.holds(self._model):
            return found
        journal.undo()
        return None

    def _parts(self, group: Group) -> Iterator[tuple[tuple[int, ...], str]]:
        """Yield what could go together, the most first, and why the rest has to stay."""
        place, part = group.first, group.part
        if len(part) == place.size:
            # A layer without any is no layer of a trace: the numbers of the others would change.
            part, why = part[1:], _ONE_STAYS
        else:
            why = _SHARED_KEYS
        if not group.is_heads or place.group == 1:
            found = [part]
        else:
            found = [f(part, place.heads, place.group) for f in (balanced, whole_groups)]
        for one in dict.fromkeys(found):
            if one:
                yield one, why

    def _ways_to_cut(self, group: Group, part: Sequence[int]) -> Iterator[Step]:
        place = group.first
        module = self._module(place.path)
        if not group.is_heads:
            yield from self._ways_to_cut_units(group, part)
            return
        if type(module) is nn.MultiheadAttention:
            if module is self._model:
                raise JtvizError("the model is this attention itself")
            if module.bias_k is not None or module.add_zero_attn:
                raise JtvizError("it has keys of its own")
            yield partial(self._replace, place=place, part=part)
            return
        rows: Features = []
        columns: Features = []
        if self._probe is not None:
            rows, columns = self._probe.rows(group.places, part), self._probe.columns(group.places, part)
        if is_tied(rows + columns, self._tied):
            raise JtvizError("its weights are another module's, too")
        inside = [m for m in module.modules() if not isinstance(getattr(m, "weight", None), nn.Parameter)]
        around = self._above(place.path)[:2]
        before = Sizes(place.heads, place.heads // place.group, place.width)
        left = place.heads - len(part)
        groups = groups_left(part, place.heads, place.group)
        after = Sizes(left, groups, place.width)
        cut = {id(linear.module) for linear, _ in rows + columns}
        own = [
            (owner, name, axis)
            for owner, name, axis, width in self._by_heads(module, place)
            if width == 1 and id(owner) not in cut
        ]
        if not (rows and columns) and not own:
            raise JtvizError("no weights that make it and read it are its own")
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

    def _ways_to_cut_units(self, group: Group, part: Sequence[int]) -> Iterator[Step]:
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
        kept = [i for i in range(place.heads) if i not in set(part)]
        path, _, name = place.path.rpartition(".")
        journal.set(self._module(path), name, PrunedAttention.of_attention(attention, kept))
        for above in self._above(place.path):
            if getattr(above, "use_nested_tensor", False):
                # Examples of different lengths packed into one tensor are for the fast path alone.
                journal.set(above, "use_nested_tensor", False)

    # Finding

    def _module(self, path: str) -> nn.Module:
        is_root = not path or path == type(self._model).__name__
        return self._model if is_root else self._model.get_submodule(path)

    def _above(self, path: str) -> list[nn.Module]:
        """Return what a module is inside of, the nearest first."""
        names = [] if self._module(path) is self._model else path.split(".")
        return [self._module(".".join(names[:end])) for end in range(len(names) - 1, -1, -1)]

    def _unit_columns(self, group: Group, part: Sequence[int]) -> Features:
        linear = None if self._probe is None else self._probe.linear(group.first.path)
        return [] if linear is None else [(linear, mark(group.first.units, part))]

    @staticmethod
    def _by_heads(module: nn.Module, place: HeadPlace) -> Iterator[tuple[nn.Module, str, int, int]]:
        """Yield parameters with one axis of heads: their module, name, that axis, and how wide a head is."""
        for owner in module.modules():
            for name, parameter in owner.named_parameters(recurse=False):
                for width in dict.fromkeys((1, place.width)):
                    axes = [a for a, size in enumerate(parameter.shape) if size == place.heads * width]
                    if width and len(axes) == 1:
                        yield owner, name, axes[0], width
