"""Run a model for a trace and leave it exactly as it was found.

Required: training flags of every module, random state, attention implementation and global torch
state are as before afterwards, also when the forward raises or the reader interrupts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from .chance import kept

_BY_KERNEL = ("flash", "flex", "paged")


@contextmanager
def as_found(model: nn.Module, *, gradients: bool = False, is_compiled: bool = False) -> Iterator[list[str]]:
    """Put a model into the state for a trace, and back.

    Parameters
    ----------
    model : nn.Module
        The model.
    gradients : bool
        Whether the forward pass is to be differentiated.
    is_compiled : bool
        Whether the model is known to be compiled as a whole.

    Yields
    ------
    list of str
        What had to run otherwise than usual, one sentence each; empty if nothing had to.
    """
    notes: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(kept(model))
        stack.enter_context(_evaluation(model))
        if gradients:
            stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.set_grad_enabled(gradients))
        stack.enter_context(_attention_implementation(model, notes))
        stack.enter_context(_eager(model, notes, is_compiled=is_compiled))
        if _has_fast_path(model):
            notes.append(
                "PyTorch's fused fast path for nn.TransformerEncoderLayer is off while tracing: "
                "its outputs agree with an untraced forward to rounding"
            )
        yield notes


@contextmanager
def runnable(model: nn.Module, *, is_compiled: bool = False) -> Iterator[None]:
    """Let a model run through kernels that can be seen, and put it back; nothing else of it changes."""
    notes: list[str] = []
    with _attention_implementation(model, notes), _eager(model, notes, is_compiled=is_compiled):
        yield


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _attention_implementation(model: nn.Module, notes: list[str]) -> Iterator[None]:
    now = _implementations(getattr(model, "config", None))
    switch: Any = getattr(model, "set_attn_implementation", None)
    by_kernel = sorted({name for name in now.values() if any(word in name for word in _BY_KERNEL)})
    if not by_kernel or switch is None:
        yield
        return
    switch("sdpa")
    notes.append(f"traced under sdpa instead of {' and '.join(by_kernel)}: outputs agree to rounding")
    try:
        yield
    finally:
        switch(now if len(now) > 1 else now[""])


def _implementations(config: Any) -> dict[str, str]:
    """Return the attention implementation of a model (under an empty name) and of each of its parts."""
    parts = {name: getattr(config, name, None) for name in getattr(config, "sub_configs", ())}
    found = {
        name: getattr(part, "_attn_implementation", None) for name, part in {"": config, **parts}.items()
    }
    return {name: value for name, value in found.items() if isinstance(value, str)}


@contextmanager
def _eager(model: nn.Module, notes: list[str], *, is_compiled: bool) -> Iterator[None]:
    compiled = (
        is_compiled
        or any(
            getattr(module, "_compiled_call_impl", None) is not None
            or hasattr(module, "_torchdynamo_orig_callable")
            for module in model.modules()
        )
        or any(hasattr(module, "_orig_mod") for module in model.modules())
    )
    if not compiled:
        yield
        return
    notes.append("traced without torch.compile: outputs agree to rounding")
    with torch.compiler.set_stance("force_eager"):
        yield


def _has_fast_path(model: nn.Module) -> bool:
    if not torch.backends.mha.get_fastpath_enabled():
        return False
    return any(isinstance(module, nn.TransformerEncoderLayer) for module in model.modules())
