"""A copy of a model without some of its heads and feed-forward units.

Required: what the copy answers is what the model answers under `HookedTransformer.ablate` of the same mask;
the model itself is not touched.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..chance import kept
from ..errors import JtvizError
from ..hooked import HookedTransformer, hook
from ..inputs import Prepared, Text
from ..intervention.ablation import Mask, Which, checked, waiting
from ..intervention.intervention import active
from ..intervention.places import HeadPlace, Places, UnitPlace
from .attention import PrunedAttention
from .proof import HALF, readings
from .surgery import Surgery


@dataclass(frozen=True)
class Pruned:
    """Made by `prune`.

    Attributes
    ----------
    model : nn.Module
        The pruned copy: on the same device, in the same precision and training mode.
    hooked : HookedTransformer
        The same, with the tokenizer of the model, ready to be looked into.
    mask : Mask
        What was to go.
    removed : Mask
        What was taken out: its weights are gone.
    masked : Mask
        What was masked for good: its weights are there, and add zero.
    reasons : mapping of place to str
        For each place with masked parts, why they were not taken out.
    parameters_before, parameters_after : int
        Of the model and of the copy; what several modules share counts once.
    """

    model: nn.Module = field(repr=False)
    hooked: HookedTransformer = field(repr=False)
    mask: Mask
    removed: Mask
    masked: Mask
    reasons: Mapping[HeadPlace | UnitPlace, str]
    parameters_before: int
    parameters_after: int

    @property
    def saved(self) -> int:
        """How many parameters are gone."""
        return self.parameters_before - self.parameters_after

    def __repr__(self) -> str:
        """Say what became of the mask, and what it saves."""
        parts = [
            f"{_counted(mask)} {what}"
            for mask, what in ((self.removed, "removed"), (self.masked, "masked for good"))
            if len(mask)
        ]
        said = ", ".join(parts) or "nothing to remove"
        return f"Pruned({said}: {self.saved:,} of {self.parameters_before:,} parameters saved)"


def prune(
    model: Any,
    mask: Mask | None = None,
    *,
    heads: Which | None = None,
    units: Which | None = None,
    tokenizer: Any = None,
    text: Text | None = None,
    inputs: Any = None,
) -> Pruned:
    """Return a copy of a model without some of its heads and feed-forward units.

    The rows and columns of the weights that make them are cut out, and the copy is run to see that it answers
    as the model does with the same parts switched off; what cannot be cut so is masked for good: what would
    read it is set to zero. Heads of `torch.nn.MultiheadAttention` that are left go into a module of jtviz
    that can have any number of them. A layer keeps at least one head and one unit, masked for good where all
    were to go, so that layers are numbered as before in a trace of the copy; what is left closes ranks.

    Parameters
    ----------
    model : nn.Module, pipeline or HookedTransformer
        Any model that `jtviz.hook` opens. It is copied, and left as it is.
    mask : Mask, optional
        What is to go; also ``ablation.mask``, and what an analysis of jtviz returns.
    heads, units : mapping, optional
        The same by stage and layer, as `HookedTransformer.ablate` has it: ``{("decoder", 3): [0, 5]}``.
    tokenizer : object, optional
        As in `jtviz.hook`.
    text, inputs : optional
        What is read to learn where heads are, and to prove the copy on; what was traced last if left out.

    Returns
    -------
    Pruned
        The copy, what was removed, and what was masked for good and why.

    Raises
    ------
    JtvizError
        If it is not said what to prune, nothing was ever traced, the model cannot be copied, or a head or
        unit cannot even be masked for good: of one module that several layers call, in only some of them.
    OutOfRangeError
        If there is no such layer, head or unit.

    Notes
    -----
    The configuration of a Hugging Face model stays as it is, so ``from_pretrained`` cannot open the saved
    copy; ``torch.save(pruned.model, path)`` and ``torch.load(path, weights_only=False)`` can.

    Examples
    --------
    >>> import jtviz
    >>> translator = jtviz.demo.translator()
    >>> pruned = jtviz.prune(translator, heads={("encoder", 0): [1]}, text="I like to drink tea.")
    >>> pruned
    Pruned(1 head removed: 37,008 of 2,992,179 parameters saved)
    >>> pruned.hooked.generate("I like to drink tea.")
    '我喜欢喝茶。'
    """
    wanted = _checked(mask, heads, units)
    hooked = hook(model, tokenizer)
    if active(hooked.model) or waiting(hooked.model):
        raise JtvizError("parts of this model are switched off now: prune it outside of that context.")
    places, reading = _learnt(hooked, text, inputs)
    off = Mask.of(places, wanted["heads"], wanted["units"])
    if mask is not None:
        off |= Mask.of(places, _by_layer(mask.heads), _by_layer(mask.units))
    before = _parameters(hooked.model)
    own = _copied(hooked.model)
    precisions = _to_single(own)
    with kept(own):
        done = Surgery(own, places, off, readings(own, reading)).run()
    _to_half(own, hooked.model, precisions)
    return Pruned(
        model=own,
        hooked=hook(own, hooked.tokenizer if hooked.has_tokenizer else None),
        mask=off,
        removed=done.removed,
        masked=done.masked,
        reasons=done.reasons,
        parameters_before=before,
        parameters_after=_parameters(own),
    )


def _checked(mask: Any, heads: Any, units: Any) -> dict[str, Which]:
    if mask is None and heads is None and units is None:
        raise JtvizError("say what to prune: a mask, or heads= or units=, {('decoder', 3): [0, 5]}.")
    if mask is not None and not isinstance(mask, Mask):
        raise JtvizError(
            f"mask is a jtviz.Mask, not {type(mask).__name__}: give heads= or units= by stage and layer, "
            f"{{('decoder', 3): [0, 5]}}."
        )
    return {"heads": checked(heads, "heads"), "units": checked(units, "units")}


def _learnt(hooked: HookedTransformer, text: Text | None, inputs: Any) -> tuple[Places, Prepared]:
    """Return where heads and units are, and what was read to see it."""
    is_given = text is not None or inputs is not None
    trace = hooked.trace(text, inputs=inputs) if is_given else hooked.memory.last()
    if trace is None or trace.places is None or trace.reading is None:
        raise JtvizError(
            "it is not known where this model has its heads: trace a text first, or pass text= or inputs=."
        )
    return trace.places, trace.reading.prepared


def _by_layer(parts: Sequence[tuple[str, int, int]]) -> Which:
    found: dict[tuple[str, int], list[int]] = {}
    for stage, layer, i in parts:
        found.setdefault((stage, layer), []).append(i)
    return found


def _copied(model: nn.Module) -> nn.Module:
    if any(p.is_meta for p in model.parameters()):
        raise JtvizError("weights of this model are not in memory: load it whole, then prune it.")
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise JtvizError(
            f"this model cannot be copied, and jtviz does not prune the model itself: copy.deepcopy raises "
            f"{type(error).__name__} ({error})."
        ) from error


def _to_single(model: nn.Module) -> list[tuple[nn.Module, str, Any]]:
    """Turn half precision into single, in which a copy can be proved; return what to turn back."""
    found = []
    for module in model.modules():
        named = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in named:
            if tensor.dtype in HALF:
                found.append((module, name, tensor.dtype))
                tensor.data = tensor.data.float()
    return found


def _to_half(own: nn.Module, model: nn.Module, precisions: Sequence[tuple[nn.Module, str, Any]]) -> None:
    for module, name, dtype in precisions:
        held = getattr(module, name)
        held.data = held.data.to(dtype)
    for path, module in own.named_modules():
        if isinstance(module, PrunedAttention):
            before: Any = model.get_submodule(path)
            module.to(before.out_proj.weight.dtype)


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _counted(mask: Mask) -> str:
    said = [
        f"{len(parts)} {name if len(parts) == 1 else f'{name}s'}"
        for name, parts in (("head", mask.heads), ("unit", mask.units))
        if parts
    ]
    return " and ".join(said)
