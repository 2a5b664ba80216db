"""The modules of one forward pass as they run: which one computes attention, and in which blocks.

Required: only hooks are put on, and they come off again, also when the forward raises; a layer of torch
that has no parts needs none, since it computes no attention.
"""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .blocks import BlockCall, LastLinear
from .flow import Flow, tensors
from .kernels import unseen
from .site import Site


class _Frame:
    """One module call on the stack."""

    __slots__ = ("block", "call", "first", "module", "sites", "uses")

    def __init__(
        self, module: nn.Module, sites: int, block: BlockCall | None, first: Tensor | None, call: int
    ) -> None:
        self.module, self.sites, self.block = module, sites, block
        self.first, self.call, self.uses = first, call, 0


class Modules:
    """The stack of module calls.

    Parameters
    ----------
    model : nn.Module
        Its module paths name the sites.
    flow : Flow
        Told what went into the model, and what came out of modules that nothing else sees into.
    sites : sequence of Site
        The sites noted so far; it grows.
    """

    def __init__(self, model: nn.Module, flow: Flow, sites: Sequence[Site]) -> None:
        self._model, self._flow, self._sites = model, flow, sites
        self._names = {module: name for name, module in model.named_modules()}
        self._stack: list[_Frame] = []
        self._calls: Counter[str] = Counter()
        self._multiplied: Counter[str] = Counter()
        self._entered: Counter[str] = Counter()
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._thread = threading.get_ident()
        self._owners = {
            id(weight): (weight, name)
            for module, name in self._names.items()
            for weight in module.parameters(recurse=False)
        }

    @property
    def innermost(self) -> nn.Module | None:
        """The module that runs now, None between modules."""
        return self._stack[-1].module if self._stack else None

    @property
    def path(self) -> str:
        """Path of the module that runs now; empty for the model itself."""
        return self._names.get(self._stack[-1].module, "") if self._stack else ""

    def where(self) -> dict[str, Any]:
        """Return what a site keeps of the modules that compute it: path, number of the call, blocks."""
        path = self.path
        call = self._calls[path]
        self._calls[path] += 1
        blocks = tuple(frame.block for frame in self._stack if frame.block is not None)
        for block in blocks:  # what was multiplied before attention is no feed-forward layer
            block.last_linear = None
        return {"path": path or type(self._model).__name__, "call": call, "blocks": blocks}

    def multiplied(self, weight: nn.Parameter, size: int, out: int, given: Sequence[Any]) -> None:
        """Take note of a multiplication with a weight, of what is no output of attention."""
        owner, path = self._owners.get(id(weight), (None, ""))
        if owner is not weight:
            return
        last = LastLinear(path, self._multiplied[path], size, out)
        self._multiplied[path] += 1
        for frame in self._stack:
            if frame.block is not None:
                frame.block.end_with(last)
        for frame in reversed(self._stack):
            if frame.block is not None or not any(_are_same(frame.first, x) for x in given):
                break
            frame.uses += 1
            if frame.uses > 1:  # LoRA: what is round a layer, and adds to it, is changed as a whole
                self._widen(frame)

    def _widen(self, around: _Frame) -> None:
        """Let blocks end with a module, where they end with a layer inside it."""
        name = self._names[around.module]
        for frame in self._stack:
            last = None if frame.block is None else frame.block.last_linear
            if frame.block is not None and last is not None and last.path.startswith(f"{name}."):
                frame.block.last_linear = replace(last, path=name, call=around.call)

    def put_on_hooks(self) -> None:
        """Start following."""
        for module, name in self._names.items():
            if isinstance(module, torch.jit.ScriptModule) or _has_no_attention(module):
                continue
            numbered = name.rpartition(".")[2].isdigit()
            self._hooks.append(
                module.register_forward_pre_hook(self._entering(numbered=numbered), with_kwargs=True)
            )
            self._hooks.append(module.register_forward_hook(self._left, with_kwargs=True))

    def take_off_hooks(self) -> None:
        """Stop following."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._stack.clear()

    def _entering(self, *, numbered: bool) -> Callable[..., None]:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if threading.get_ident() != self._thread:
                return
            block = None
            if numbered:
                with unseen():
                    first = kwargs.get(
                        "hidden_states", next((t for t in tensors([args, kwargs]) if t.ndim > 1), None)
                    )
                    block = BlockCall(self._names[module], None if first is None else first.detach())
            if not self._stack:
                self._mark_inputs(module, args, kwargs)
            name = self._names[module]
            first = next((x for x in args if isinstance(x, Tensor)), None)
            self._stack.append(_Frame(module, len(self._sites), block, first, self._entered[name]))
            self._entered[name] += 1

        return enter

    def _left(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        # A model may catch an exception from a child: that child's frame never left by itself.
        while self._stack and self._stack[-1].module is not module:
            self._stack.pop()
        if not self._stack:
            return
        frame = self._stack.pop()
        if frame.block is None and isinstance(output, Tensor) and self._flow.known(output):
            return
        results = list(tensors(output))
        inside = self._sites[frame.sites :]
        with unseen():
            if frame.block is not None and inside:
                frame.block.leave(next((t.detach() for t in results if t.ndim > 1), None))
        unknown = [result for result in results if not self._flow.known(result)]
        if unknown:
            # Scripted and custom functions are not seen: what came out of their module came from what
            # went in.
            bits = self._flow.of(args) | self._flow.of(kwargs)
            for site in inside:
                bits |= site.bit
            with unseen():
                self._flow.mark(unknown, bits)

    def _mark_inputs(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for name, value in _named(module, args, kwargs).items():
            # Positions and masks reach queries and keys unevenly; they do not make a sequence another one.
            if not any(word in name for word in ("mask", "position", "cache", "past")):
                self._flow.mark(list(tensors(value)), self._flow.new_bit())


def _are_same(one: Tensor | None, other: Any) -> bool:
    """Whether two tensors are the same numbers in the same place; a layer may flatten what it takes."""
    if one is None or not isinstance(other, Tensor):
        return False
    return one is other or (one.data_ptr() == other.data_ptr() and one.numel() == other.numel())


def _has_no_attention(module: nn.Module) -> bool:
    """Whether this is a layer of torch that has no parts: those compute no attention (but one has parts)."""
    return type(module).__module__.startswith("torch.nn.modules.") and not module._modules  # noqa: SLF001


def _named(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = list(inspect.signature(module.forward).parameters)
    return {names[i] if i < len(names) else str(i): value for i, value in enumerate(args)} | kwargs
