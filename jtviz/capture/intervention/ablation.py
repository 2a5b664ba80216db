"""Heads and feed-forward units switched off, for as long as a context is open.

Required: what is switched off adds nothing (zero ablation), or what it adds on average (mean ablation), in
everything that the model does inside, generation included; the model is as it was found afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import torch
import torch.nn.functional as F
from torch import nn

from ..asfound import runnable
from ..errors import JtvizError
from ..inputs import Prepared
from ..own_hooks import changing, for_this_thread, take_off
from ..part import Index, is_int
from .edits import Edit
from .intervention import Intervention
from .places import HeadPlace, Places, UnitPlace, chosen_parts

if TYPE_CHECKING:
    from .means import Means

Which = Mapping[tuple[str, int], Index]
"""Heads or units by stage and layer: ``{("decoder", 3): [0, 5]}``; None means all of a layer."""

Mode = Literal["zero", "mean"]
MODES: dict[str, str] = {
    "zero": "what is switched off adds nothing",
    "mean": "what is switched off adds what it adds on average over the reference texts, whatever it reads",
}


@dataclass(frozen=True)
class Mask:
    """Which heads and units are off.

    Attributes
    ----------
    heads : tuple of (str, int, int)
        Stage, layer and head.
    units : tuple of (str, int, int)
        Stage, layer and unit.

    Examples
    --------
    >>> Mask(heads=(("encoder", 0, 3), ("encoder", 0, 1)))
    Mask(heads off: encoder 0.1, encoder 0.3)
    """

    heads: tuple[tuple[str, int, int], ...] = ()
    units: tuple[tuple[str, int, int], ...] = ()

    def __post_init__(self) -> None:
        """Sort, each once."""
        for name in ("heads", "units"):
            object.__setattr__(
                self, name, tuple(sorted({(s, int(a), int(b)) for s, a, b in getattr(self, name)}))
            )

    def __repr__(self) -> str:
        """Name what is off."""
        return f"Mask({self.words})"

    @property
    def words(self) -> str:
        """What is off, in words."""
        said = [
            f"{name} off: {', '.join(f'{s} {layer}.{i}' for s, layer, i in parts[:8])}"
            f"{f' and {len(parts) - 8} more' if len(parts) > 8 else ''}"
            for name, parts in (("heads", self.heads), ("units", self.units))
            if parts
        ]
        return "; ".join(said) or "nothing is off"

    def __or__(self, other: Mask) -> Mask:
        """Return what is off in either."""
        return Mask(self.heads + other.heads, self.units + other.units)

    def __len__(self) -> int:
        """Return how many heads and units are off."""
        return len(self.heads) + len(self.units)

    @classmethod
    def of(cls, places: Places, heads: Which | None = None, units: Which | None = None) -> Mask:
        """Return the mask that a reader means.

        Parameters
        ----------
        places : Places
            What there is.
        heads, units : mapping
            By stage and layer, ``{("decoder", 3): [0, 5]}``.

        Raises
        ------
        JtvizError
            If it is no such mapping, or there is no such stage.
        OutOfRangeError
            If there is no such layer, head or unit.
        """
        found_heads, found_units = [], []
        for (stage, layer), which in checked(heads, "heads").items():
            found_heads += [(stage, layer, i) for i in chosen_parts(places.head(stage, layer), which)]
        for (stage, layer), which in checked(units, "units").items():
            found_units += [(stage, layer, i) for i in chosen_parts(places.unit(stage, layer), which)]
        return cls(tuple(found_heads), tuple(found_units))

    def edits(
        self, places: Places, means: Means | None = None
    ) -> tuple[dict[HeadPlace, Edit], dict[UnitPlace, Edit]]:
        """Return what becomes of each place; `means` stand in for what is off, else zero."""
        heads: dict[HeadPlace, Edit] = {}
        units: dict[UnitPlace, Edit] = {}
        for stage, layer, head in self.heads:
            place = places.head(stage, layer)
            edit = heads.setdefault(
                place, Edit(torch.ones(place.heads), None if means is None else means[place])
            )
            edit.keep[head] = 0
        for stage, layer, unit in self.units:
            where = places.unit(stage, layer)
            edit = units.setdefault(
                where, Edit(torch.ones(where.units), None if means is None else means[where])
            )
            edit.keep[unit] = 0
        return heads, units


def checked(which: Any, name: str) -> Which:
    """Return which parts are meant, or raise if that is no mapping of stage and layer."""
    if which is None:
        return {}
    is_mapping = isinstance(which, Mapping) and all(
        isinstance(key, tuple) and len(key) == 2 and isinstance(key[0], str) and is_int(key[1])
        for key in which
    )
    if not is_mapping:
        raise JtvizError(
            f"{name}= says what is switched off by stage and layer, {{('decoder', 3): [0, 5]}}, not "
            f"{which!r}."
        )
    found: Which = which
    return found


def checked_mode(mode: str) -> str:
    """Return the mode, or raise if it is none."""
    if mode not in MODES:
        raise JtvizError(f"mode= is one of {', '.join(map(repr, MODES))}, not {mode!r}.")
    return mode


class Ablation:
    """Made by `HookedTransformer.ablate`.

    Parameters
    ----------
    model : nn.Module
        The model.
    learning : Learning
        What is asked where something is not known.
    wanted : callable
        Takes the places to the mask.
    mode : {"zero", "mean"}
        What stands in.
    is_compiled : bool
        Whether the model is known to be compiled as a whole.

    Attributes
    ----------
    mask : Mask or None
        What is off; None as long as that is not known.
    """

    def __init__(
        self,
        model: nn.Module,
        learning: Learning,
        wanted: Callable[[Places], Mask],
        mode: str,
        *,
        is_compiled: bool,
    ) -> None:
        self._model, self._learning, self._wanted, self._mode = model, learning, wanted, mode
        self._is_compiled = is_compiled
        self._stack: ExitStack | None = None
        self._waiting: Waiting | None = None
        self.mask: Mask | None = None

    def __enter__(self) -> Self:
        """Switch off."""
        if self._stack is not None:
            raise JtvizError("this ablation is open already: make another one.")
        self._stack = ExitStack()
        try:
            self._stack.enter_context(runnable(self._model, is_compiled=self._is_compiled))
            places = self._learning.places()
            if places is not None and (self._mode == "zero" or self._learning.has_reference):
                self._switch(places, None)
            else:
                self._waiting = self._stack.enter_context(Waiting(self._model, self.learn))
        except BaseException:
            self._stack.close()
            self._stack = None
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Switch on again."""
        stack, self._stack, self._waiting = self._stack, None, None
        if stack is not None:
            stack.close()

    def learn(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Switch off, now that it is known what the model reads."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.done()
            places = self._learning.places() or self._learning.from_inputs(args, kwargs)
            self._switch(places, Prepared(args=args, kwargs=kwargs))

    def _switch(self, places: Places, read: Prepared | None) -> None:
        self.mask = self._wanted(places)
        means = None
        if self._mode == "mean" and len(self.mask):
            means = self._learning.means(places, read)
        if self._stack is not None:
            words = f"traced with parts switched off ({self._mode} ablation): {self.mask.words}"
            heads, units = self.mask.edits(places, means)
            self._stack.enter_context(Intervention(self._model, places, heads, units, words=words))


class Learning(Protocol):
    """What an ablation asks where something is not known."""

    has_reference: bool
    """Whether the means are over texts that were given."""

    def places(self) -> Places | None:
        """Return where heads and units are, None where nothing was traced yet."""

    def from_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Places:
        """Return the same, from what a forward is called with."""

    def means(self, places: Places, read: Prepared | None) -> Means:
        """Return the means over the reference or, where there is none, over what is read."""


class Waiting(torch.overrides.TorchFunctionMode):
    """Wait for the first forward, from whose inputs is learnt what is to be switched off.

    Parameters
    ----------
    model : nn.Module
        The model.
    learn : callable
        Called with the arguments of the first forward.
    """

    def __init__(self, model: nn.Module, learn: Callable[[tuple[Any, ...], dict[str, Any]], None]) -> None:
        super().__init__()
        self.model, self.learn = model, learn
        self._thread = threading.get_ident()
        self._is_done = False
        with changing:
            self._hook = for_this_thread(
                model.register_forward_pre_hook(self._begin, with_kwargs=True, prepend=True)
            )
        _waiting().append(self)

    def done(self) -> None:
        """Wait no longer."""
        self._is_done = True
        take_off(self._hook)
        if self in _waiting():
            _waiting().remove(self)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the model run as it is meanwhile."""
        _waiting().remove(self)
        self._is_done = True
        try:
            yield
        finally:
            self._is_done = False
            _waiting().append(self)

    def __exit__(self, *exception: object) -> None:
        """Wait no longer."""
        self.done()
        super().__exit__(*exception)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Refuse attention that runs before it is known what to switch off."""
        if not self._is_done and func in _ATTENDS:
            raise JtvizError(
                "a part of this model ran before it was known what to switch off: trace a text first, and "
                "for mean ablation pass reference= (texts to take the mean over)."
            )
        return func(*args, **(kwargs or {}))

    def _begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._is_done and threading.get_ident() == self._thread:
            self.learn(args, kwargs)


def waiting(model: nn.Module) -> Sequence[Waiting]:
    """Return the ablations of a model that wait, in this thread, for the first forward."""
    return [one for one in _waiting() if one.model is model]


def _waiting() -> list[Waiting]:
    if not hasattr(_local, "waiting"):
        _local.waiting = []
    found: list[Waiting] = _local.waiting
    return found


_local = threading.local()
_ATTENDS = {F.scaled_dot_product_attention, F.multi_head_attention_forward}
