"""The kernels that attention runs through, opened without touching them.

Required: the very kernel runs that would run anyway; nothing is patched, so no other thread notices.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def _private(original: Any) -> Callable[..., Any]:
    """Return a copy of a function of torch whose inner calls a mode can see.

    The original, once seen by a mode, runs with the mode off. The copy runs with it on, and does not
    hand itself over again: in its globals nothing has a torch function. The module is not touched.
    """
    own = {**original.__globals__, "has_torch_function": lambda _: False}
    copy = types.FunctionType(original.__code__, own, original.__name__, original.__defaults__)
    copy.__kwdefaults__ = original.__kwdefaults__
    return copy


multi_head_attention = _private(F.multi_head_attention_forward)
_backward = _private(torch.autograd.backward)
BACKWARD: dict[Any, Callable[..., Any]] = {
    torch.autograd.backward: _backward,
    torch.autograd.grad: _private(torch.autograd.grad),
    Tensor.backward: lambda x, gradient=None, retain_graph=None, create_graph=False, inputs=None: _backward(
        x, gradient, retain_graph, create_graph, inputs=inputs
    ),
}
"""Copies of what differentiates: a model that checkpoints runs forward again in there."""


class LogSumExp(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Round one ``scaled_dot_product_attention``: the log-sum-exp that its kernel returns anyway."""

    found: Tensor | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch imports its compiler at the first call: two seconds before the first picture.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in {"_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention"}:
            self.found = result[1]
        return result


def unseen() -> Any:
    """Return a context in which neither modes nor tensor subclasses see what is called."""
    return torch._C.DisableTorchFunction()  # noqa: SLF001 - the public form leaves modes on


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Compute in float32 whatever autocast says, and without gradients."""
    # What a trace keeps is used outside of inference mode too.
    with (
        torch.inference_mode(mode=False),
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        yield
