"""Change what heads and feed-forward units add while a model runs.

Required: the model's weights and code are not touched; only this thread sees it; what is to be changed and
was never computed is said, not passed over. A head is changed at the output of its attention, before the
output projection; a unit at the input of the last linear layer.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import JtvizError
from ..kernels import BACKWARD, multi_head_attention
from ..own_hooks import changing, for_this_thread, take_off
from ..written import Pattern, Patterns
from .edits import Edit, is_packed, lay_fused
from .places import HeadPlace, Places, UnitPlace

Seen = Callable[[HeadPlace | UnitPlace, Tensor], None]
"""Told of what is computed where: heads as ``[batch, heads, queries, d]``, units as ``[.., units]``."""

_UNLIMITED = 1 << 62
_active = threading.local()


class Intervention(TorchFunctionMode):
    """Edits of one model in one thread, as long as the context is open.

    Parameters
    ----------
    model : nn.Module
        The model, or its twin.
    places : Places
        Where its heads and units are.
    heads, units : mapping of place to Edit
        What becomes of them.
    seen : callable, optional
        Told of what is computed before it is edited.
    words : str
        What a trace says of it.

    Examples
    --------
    >>> import jtviz
    >>> hooked = jtviz.demo.induction()
    >>> trace = hooked.trace("abcabc")
    >>> place = trace.places.head("decoder", 0)
    >>> with torch.no_grad(), Intervention(hooked.model, trace.places, {place: Edit(torch.zeros(4))}):
    ...     _ = hooked.model(torch.tensor([[5, 6, 7]]))
    """

    def __init__(
        self,
        model: nn.Module,
        places: Places,
        heads: Mapping[HeadPlace, Edit] | None = None,
        units: Mapping[UnitPlace, Edit] | None = None,
        *,
        seen: Seen | None = None,
        words: str = "",
    ) -> None:
        super().__init__()
        self._model, self._seen, self.words = model, seen, words
        self._edits = {(place.path, place.call): (place, edit) for place, edit in (heads or {}).items()}
        self._units = dict(units or {})
        self._calls_of = {place.path: place.calls for place in places.heads}
        self._places = {(place.path, place.call): place for place in places.heads}
        self._watched_units = [*places.units] if seen is not None else [*self._units]
        self._patterns = Patterns(_UNLIMITED)
        self._running: list[str] = []
        self._calls: Counter[str] = Counter()
        wanted: list[HeadPlace | UnitPlace] = [*(heads or {}), *self._units]
        self._missing = {(place.path, place.call) for place in wanted}
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._thread = 0
        self.is_passive = False
        """Whether somebody else, who watches the model, does the editing."""

    def __enter__(self) -> Self:
        """Begin; hooks say which module runs."""
        self._thread = threading.get_ident()
        modules = {name or type(self._model).__name__: m for name, m in self._model.named_modules()}
        try:
            with changing:
                self._keep(self._model.register_forward_pre_hook(self._begin, with_kwargs=True, prepend=True))
                for path in self._calls_of:
                    self._put_on(modules, path)
                for path in dict.fromkeys(place.path for place in self._watched_units):
                    self._put_on_units(modules, path)
                self._keep(self._model.register_forward_hook(self._end))
            super().__enter__()  # type: ignore[no-untyped-call]
        except BaseException:
            self._take_off()
            raise
        _stack().append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        """End; hooks come off."""
        try:
            super().__exit__(*exception)  # type: ignore[no-untyped-call]
        finally:
            if self in _stack():
                _stack().remove(self)
            self._take_off()

    def is_of(self, model: nn.Module) -> bool:
        """Return whether this model, or what it is a twin of, is the one that is changed."""
        return any(hook.id in model._forward_pre_hooks for hook in self._hooks[:1])  # noqa: SLF001 - no public list

    def fused(self, path: str, call: int, output: Tensor) -> Tensor:
        """Return the output of one fused site, edited."""
        place = self._place(path, call)
        if place is None:
            return output
        lay = lay_fused(output, place.heads, place.group)
        if self._seen is not None:
            flat = output if output.ndim > 3 else output[(None,) * (4 - output.ndim)]
            if is_packed(output, place.heads, place.group):
                flat = output.flatten(1, 2)[:, :, None]
            self._seen(place, flat.flatten(0, -4) if flat.ndim > 4 else flat)
        edit = self._edits.get((place.path, place.call))
        return output if edit is None else edit[1].of_heads(output, lay)

    def written(self, path: str, call: int, pattern: Pattern, *, is_mixed: bool) -> Tensor:
        """Return the output of one written-out site, edited; `is_mixed` as in `Pattern.lay`."""
        place = self._place(path, call)
        if place is None:
            return pattern.output
        if self._seen is not None:
            batch = pattern.weights[..., 0, 0].numel() // place.heads
            heads = place.heads if is_mixed else None
            each = [pattern.arranged_output(pattern.output, i, heads, batch) for i in range(batch)]
            self._seen(place, torch.stack(each))
        edit = self._edits.get((place.path, place.call))
        if edit is None:
            return pattern.output
        return edit[1].of_heads(pattern.output, lambda x: pattern.lay(x, is_mixed=is_mixed))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one torch function, and edit its output where that is heads'."""
        kwargs = kwargs or {}
        is_plain = set(types) <= {Tensor, nn.Parameter}
        if func in BACKWARD and is_plain and not self.is_passive:
            return self._inside(BACKWARD[func], args, kwargs)
        if self.is_passive or not self._running:
            return func(*args, **kwargs)
        if func is F.multi_head_attention_forward and is_plain:
            return self._multi_head(args, kwargs)
        result = func(*args, **kwargs)
        path = self._running[-1]
        if func is F.scaled_dot_product_attention:
            return self.fused(path, self._next(path), result)
        pattern = self._patterns.follow(func, args, kwargs, result)
        if pattern is not None:
            return self.written(path, self._next(path), pattern, is_mixed=self._is_mixed)
        return result

    _is_mixed = False

    def _multi_head(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        self._is_mixed = True
        try:
            return self._inside(multi_head_attention, args, kwargs)
        finally:
            self._is_mixed = False

    def _inside(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run a function with the mode on, which is off while it handles one."""
        TorchFunctionMode.__enter__(self)  # type: ignore[no-untyped-call]
        try:
            return func(*args, **kwargs)
        finally:
            TorchFunctionMode.__exit__(self, None, None, None)  # type: ignore[no-untyped-call]

    def _next(self, path: str) -> int:
        call = self._calls[path]
        self._calls[path] += 1
        return call

    def _place(self, path: str, call: int) -> HeadPlace | None:
        calls = self._calls_of.get(path)
        if calls is None:
            return None
        place = self._places[path, call % calls]
        self._missing.discard((place.path, place.call))
        return place

    def _put_on(self, modules: Mapping[str, nn.Module], path: str) -> None:
        def enter(_: nn.Module, __: Any) -> None:
            if threading.get_ident() == self._thread:
                self._running.append(path)

        def leave(_: nn.Module, __: Any, ___: Any) -> None:
            if threading.get_ident() != self._thread:
                return
            # A model may catch an exception from a child, which then never left.
            while self._running and self._running.pop() != path:
                pass

        module = self._module(modules, path)
        self._keep(module.register_forward_pre_hook(enter))
        self._keep(module.register_forward_hook(leave))

    def _put_on_units(self, modules: Mapping[str, nn.Module], path: str) -> None:
        of_call = {place.call: place for place in self._watched_units if place.path == path}
        calls = next(iter(of_call.values())).calls

        def edit(_: nn.Module, args: tuple[Any, ...]) -> Any:
            if threading.get_ident() != self._thread:
                return None
            place = of_call.get(self._next(path) % calls)
            if place is None:
                return None
            self._missing.discard((place.path, place.call))
            if self._seen is not None:
                self._seen(place, args[0])
            found = self._units.get(place)
            return None if found is None else (found.of_units(args[0]), *args[1:])

        self._keep(self._module(modules, path).register_forward_pre_hook(edit))

    @staticmethod
    def _module(modules: Mapping[str, nn.Module], path: str) -> nn.Module:
        if path not in modules:
            raise JtvizError(f"the model was changed: its module {path} is gone; trace it again.")
        return modules[path]

    def _begin(self, _: nn.Module, __: Any, ___: Any) -> None:
        if threading.get_ident() == self._thread:
            self._calls.clear()
            # What was left by an exception; the model itself may compute attention, and its own hook follows.
            self._running.clear()

    def _end(self, model: nn.Module, _: Any, __: Any) -> None:
        if threading.get_ident() != self._thread or not self._missing:
            return
        path, _call = min(self._missing)
        raise JtvizError(
            f"{path} of {type(model).__name__} was to be changed, and did not run: trace the inputs that you "
            f"mean to run, so that it is seen where attention is computed."
        )

    def _keep(self, hook: torch.utils.hooks.RemovableHandle) -> None:
        self._hooks.append(for_this_thread(hook))

    def _take_off(self) -> None:
        for hook in self._hooks:
            take_off(hook)
        self._hooks.clear()
        self._running.clear()


def _stack() -> list[Intervention]:
    if not hasattr(_active, "stack"):
        _active.stack = []
    found: list[Intervention] = _active.stack
    return found


def active(model: nn.Module) -> Sequence[Intervention]:
    """Return what changes a model in this thread now."""
    return [one for one in _stack() if one.is_of(model) and not one.is_passive]


@contextmanager
def passive(interventions: Sequence[Intervention]) -> Iterator[None]:
    """Leave editing to somebody else, who calls `Intervention.fused` and `written` at each site."""
    for one in interventions:
        one.is_passive = True
    try:
        yield
    finally:
        for one in interventions:
            one.is_passive = False
