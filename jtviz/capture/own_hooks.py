"""Hooks of ours that act in one thread: to all others the model is as if they were not there.

Required: what one thread does to a model for itself does not look to another as if the model was changed.
"""

from __future__ import annotations

import threading

from torch import nn
from torch.utils.hooks import RemovableHandle

changing = threading.RLock()
"""Held while hooks are put on or taken off, and while a model is copied with them."""
_threads: dict[int, int] = {}


def for_this_thread(hook: RemovableHandle) -> RemovableHandle:
    """Note that a hook acts in this thread only."""
    _threads[hook.id] = threading.get_ident()
    return hook


def take_off(hook: RemovableHandle) -> None:
    """Remove a hook that was noted."""
    with changing:
        hook.remove()
    _threads.pop(hook.id, None)


def acts_here(number: int) -> bool:
    """Return whether the hook of this number acts in this thread, as every hook of somebody else's does.

    Ask with `changing` held: a hook is put on first, and then noted.
    """
    here = threading.get_ident()
    return _threads.get(number, here) == here


def forget_others(copied: nn.Module) -> None:
    """Let a copy of a model have none of the hooks that act in another thread, which takes off its own only.

    Call it with `changing` held since before the model was copied.
    """
    for module in copied.modules():
        for name, hooks in vars(module).items():
            if name.startswith(("_forward_hooks", "_forward_pre_hooks")):  # also which take keywords
                for number in [number for number in hooks if not acts_here(number)]:
                    del hooks[number]
