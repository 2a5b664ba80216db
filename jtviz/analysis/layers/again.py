"""Run what a trace has read once more, to see what it does not keep: units, and what parts of blocks add.

Required: a twin of the model runs, so that the reader's is as it was found; only what was asked for is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jtviz.capture import JtvizError, Trace
from jtviz.capture.intervention.intervention import Intervention
from jtviz.capture.intervention.places import HeadPlace, Places, UnitPlace

Place = HeadPlace | UnitPlace


def places_of(trace: Trace) -> Places:
    """Return where heads and units are.

    Raises
    ------
    JtvizError
        If the trace came without its model.
    """
    if trace.places is None or trace.reading is None:
        raise JtvizError("this trace came from a file or arrays, without its model: trace the text again.")
    return trace.places


def run_again(trace: Trace, wanted: Sequence[Place]) -> dict[Place, tuple[Tensor, Tensor | None]]:
    """Return what goes into the last layer of feed-forward parts, and what comes out; and what heads put out.

    Parameters
    ----------
    trace : Trace
        Whose reading is read.
    wanted : sequence of HeadPlace or UnitPlace
        What to keep.

    Returns
    -------
    dict of place to (Tensor, Tensor or None)
        Of units ``[tokens, units]`` and what they add ``[tokens, width]``; of heads ``[heads, queries, d]``.
        Float32, on the CPU.

    Raises
    ------
    JtvizError
        If the model of the trace is gone or was changed, or what was seen is not one row a token.
    """
    places = places_of(trace)
    reading = trace.reading
    if reading is None:
        raise JtvizError("this trace came without its model: trace the text again.")
    seen: dict[Place, Tensor] = {}
    added: dict[Place, Tensor] = {}
    kept = set(wanted)

    def see(place: Place, values: Tensor) -> None:
        if place in kept:
            seen[place] = _of_example(trace, place, values)

    with reading.running() as twin:
        hooks = [_keep_outputs(twin, trace, place, added) for place in kept if isinstance(place, UnitPlace)]
        try:
            with Intervention(twin, places, seen=see):
                twin(*reading.prepared.args, **reading.prepared.kwargs)
        finally:
            for one in hooks:
                one.remove()
    return {place: (seen[place], added.get(place)) for place in wanted}


def _keep_outputs(
    twin: nn.Module, trace: Trace, place: UnitPlace, added: dict[Place, Tensor]
) -> torch.utils.hooks.RemovableHandle:
    count = 0

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        nonlocal count
        if count % place.calls == place.call:
            added[place] = _of_example(trace, place, output)
        count += 1

    return twin.get_submodule(place.path).register_forward_hook(keep)


def _of_example(trace: Trace, place: Place, values: Tensor) -> Tensor:
    """Return the part of one example."""
    site = trace.site(place.stage, place.layer)
    # A model may go on in the same memory: Falcon adds attention onto it.
    values = values.detach().float().cpu().clone()
    if isinstance(place, HeadPlace):
        return values[site.example]
    count, batch = site.queries, site.batch
    if values.ndim == 2 and len(values) == count:
        return values
    if values.ndim == 3 and values.shape[:2] == (batch, count):
        return values[site.example]
    if values.ndim == 3 and values.shape[:2] == (count, batch):
        return values[:, site.example]
    raise JtvizError(
        f"the feed-forward layer {place.path} does not see one row a token, {tuple(values.shape)}."
    )
