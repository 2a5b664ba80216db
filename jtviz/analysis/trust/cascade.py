"""The weights of a model in the order in which they are made random: from the output down to the embedding.

Required: found from the module tree and the order in which modules run, whatever the architecture; every
weight belongs to exactly one step. Works on a copy only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Step:
    """Weights that are made random together.

    Attributes
    ----------
    name : str
        What they are: ``"output"``, a block's path, ``"embeddings"``.
    weights : tuple of nn.Parameter
        All of them.
    """

    name: str
    weights: tuple[nn.Parameter, ...]


def steps_of(model: nn.Module, blocks: Sequence[str], run: Callable[[], Any]) -> list[Step]:
    """Return the steps of a cascade, the output first.

    A block is one step. What runs after the last block is ``"output"``, what runs before the first, or is
    never called as a module, ``"embeddings"``; what runs between two blocks is named after the later one.

    Parameters
    ----------
    model : nn.Module
        A copy: weights that are tied are untied, so that the output can be random while the embedding is not
        yet.
    blocks : sequence of str
        Paths of the blocks, in the order they run; a block that runs again counts once.
    run : callable
        Runs the model once.
    """
    paths = list(dict.fromkeys(blocks))
    called = _order_of_calls(model, run)
    untie(model, called)
    entered = [called.index(path) for path in paths]
    inside: dict[str, list[nn.Parameter]] = {path: [] for path in paths}
    outside: list[list[nn.Parameter]] = [[] for _ in range(len(paths) + 1)]
    seen: set[int] = set()
    for path, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.is_floating_point() and id(p) not in seen]
        seen.update(map(id, own))
        block = next((b for b in paths if path == b or path.startswith(f"{b}.")), None)
        if block is not None:
            inside[block] += own
        else:
            when = called.index(path) if path in called else -1
            outside[sum(begin < when for begin in entered)] += own
    found = [Step("output", tuple(outside[-1]))]
    for number in reversed(range(len(paths))):
        found.append(Step(paths[number], tuple(inside[paths[number]])))
        name = f"before {paths[number]}" if number else "embeddings"
        found.append(Step(name, tuple(outside[number])))
    return [step for step in found if step.weights]


def untie(model: nn.Module, called: Sequence[str]) -> None:
    """Give each module its own copy of a weight that it shares; the first that runs keeps the weight."""
    owners: dict[int, list[tuple[int, nn.Module, str]]] = {}
    for path, module in model.named_modules():
        when = called.index(path) if path in called else len(called)
        for name, weight in module.named_parameters(recurse=False):
            owners.setdefault(id(weight), []).append((when, module, name))
    for same in owners.values():
        for _, module, name in sorted(same, key=lambda owner: owner[0])[1:]:
            weight = getattr(module, name)
            setattr(module, name, nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad))


def shuffle(weights: Sequence[Tensor], generator: torch.Generator) -> None:
    """Put the entries of each weight into a random order, in place.

    The distribution of the trained weight is kept to the last number, so that activations keep their size
    and no architecture's own way of starting has to be known.
    """
    with torch.no_grad():
        for weight in weights:
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))


def _order_of_calls(model: nn.Module, run: Callable[[], Any]) -> list[str]:
    """Return the paths of modules in the order in which they are first called."""
    called: dict[str, None] = {}

    def note(path: str) -> Callable[..., None]:
        return lambda *_: called.setdefault(path)

    handles = [module.register_forward_pre_hook(note(path)) for path, module in model.named_modules()]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return list(called)
