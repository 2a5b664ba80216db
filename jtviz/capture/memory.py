"""What jtviz remembers of a model, without keeping the model alive or writing on it.

Required: the same inputs to the same weights give the same `Trace` object, so that views made in
separate cells are linked; a changed weight, hook or attention implementation gives a new one.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from ..tokens import Tokens
from .change import version
from .own_hooks import acts_here, changing

if TYPE_CHECKING:
    from .intervention.places import Places
    from .reading import Reading
    from .trace import Trace

_TRACES = 8
_BYTES = 2 << 30
_PLAIN = (bool, int, float, str)
_OF_TORCH = frozenset(vars(nn.Module())) - {"_parameters", "_buffers", "_forward_hooks", "_forward_pre_hooks"}


class Memory:
    """The last few traces of one hooked model, the tokenizer found for it, and the lock it runs under."""

    def __init__(self, lock: threading.RLock | None = None) -> None:
        self.lock = lock or threading.RLock()
        self.tokenizer: Any = None
        self.places: Places | None = None
        """Where heads and units are, as the last trace saw it."""
        self._traces: OrderedDict[Hashable, Trace] = OrderedDict()
        self._readings: WeakValueDictionary[Hashable, Reading] = WeakValueDictionary()

    def find_reading(self, key: Hashable) -> Reading | None:
        """Return what was read for a key, if a trace of it is still somewhere and nothing changed it."""
        found = self._readings.get(key)
        return found if found is not None and found.is_as_read else None

    def keep_reading(self, key: Hashable, reading: Reading) -> None:
        """Keep what was read for as long as somebody has a trace of it."""
        self._readings[key] = reading

    def find(self, key: Hashable) -> Trace | None:
        """Return the trace made for a key, if it is still here."""
        if key in self._traces:
            self._traces.move_to_end(key)
        return self._traces.get(key)

    def last(self) -> Trace | None:
        """Return the trace that was made or looked at last."""
        return next(reversed(self._traces.values()), None)

    def keep(self, key: Hashable, trace: Trace) -> None:
        """Keep a trace; let go of the oldest beyond eight, or beyond 2 GiB."""
        self._traces[key] = trace
        while len(self._traces) > _TRACES or (
            len(self._traces) > 1 and sum(t.nbytes for t in self._traces.values()) > _BYTES
        ):
            self._traces.popitem(last=False)


def fingerprint(model: nn.Module) -> Hashable:
    """Return something that changes when weights, hooks or the attention implementation change.

    Weights are told by object, address, version (which every in-place operation raises, but one through
    ``.data`` or by a fused optimiser) and their first number; settings are the plain attributes of the
    modules, lists of them and tables. Of our own hooks those that act in this thread count.
    """
    weights: list[tuple[int, int, int]] = []
    settings: list[tuple[str, object]] = []
    hooks: list[int] = []
    numbers: list[Hashable] = []
    for module in model.modules():
        # At once: another thread may give the module one more, while it runs it.
        for name, value in [*vars(module).items()]:
            if name in _OF_TORCH:
                continue
            if name in {"_parameters", "_buffers"}:
                held = [t for t in value.values() if t is not None]
                weights += [(_serial(t), t.data_ptr(), version(t)) for t in held]
                # Fused optimisers do not count what they change: one number of each weight tells.
                first = [float(t.detach()[(0,) * t.ndim]) for t in held if t.numel() and not t.is_meta]
                numbers += map(_stable, first)
            elif name in {"_forward_hooks", "_forward_pre_hooks"}:  # torch has no public list of hooks
                with changing:
                    hooks += filter(acts_here, [*value])
            elif isinstance(value, Tensor):
                weights.append((_serial(value), value.data_ptr(), version(value)))
            elif name == "forward":
                settings.append((name, value))
            elif (said := _setting(value)) is not None:
                settings.append((name, said))
    casting = tuple(
        (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")
    )
    implementation = getattr(getattr(model, "config", None), "_attn_implementation", None)
    return hash((tuple(weights), tuple(hooks), tuple(numbers), tuple(settings), casting, implementation))


def is_as_marked(model: nn.Module, mark: Hashable, lock: threading.RLock) -> bool:
    """Return whether `fingerprint` still says what it said; `lock` is the one that the model runs under.

    Who runs the model may have it otherwise meanwhile: what differs is looked at again when nobody does.
    """
    if fingerprint(model) == mark:
        return True
    with lock:
        return fingerprint(model) == mark


_serials: WeakIdKeyDictionary = WeakIdKeyDictionary()
_next_serial = itertools.count()


def _serial(tensor: Tensor) -> int:
    """Return a number that no other tensor ever has; an address is used again."""
    if tensor not in _serials:
        _serials[tensor] = next(_next_serial)
    return int(_serials[tensor])


def _setting(value: object) -> Hashable | None:
    """Return a setting of a module, if it is plain: a number, a word, or a list or table of those."""
    if isinstance(value, _PLAIN):
        return _stable(value)
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(part, _PLAIN) for part in value):
        return tuple(map(_stable, value))
    return None


def _stable(value: Hashable) -> Hashable:
    """Return a number that equals itself: NaN does not, and has another hash each time."""
    return "NaN" if value != value else value  # noqa: PLR0124 - only NaN is not itself


def contents(value: Any) -> Hashable:
    """Return a hashable stand-in for inputs: equal contents, equal stand-in."""
    if isinstance(value, Tensor):
        flat = value.detach().to("cpu").contiguous()
        data = flat.view(torch.uint8) if flat.ndim else flat[None].view(torch.uint8)
        digest = hashlib.blake2b(data.numpy().tobytes(), digest_size=16).digest()
        return (str(value.dtype), tuple(value.shape), str(value.device), digest)
    if isinstance(value, Tokens):
        return value
    if isinstance(value, Mapping):
        return tuple((name, contents(part)) for name, part in value.items())
    if isinstance(value, list | tuple):
        return tuple(contents(part) for part in value)
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        digest = hashlib.blake2b(value.tobytes(), digest_size=16).digest()
        return (str(value.dtype), value.shape, digest)
    # Equal to nothing else: what cannot be compared by content is traced anew.
    return (type(value), value) if isinstance(value, str | int | float | bool | None) else object()
