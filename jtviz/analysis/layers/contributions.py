"""What attention and feed-forward layers add to the residual stream, token by token.

Required: what a block adds is said to be the sum of its parts only where it is, which is measured; what
cannot be had is NaN, and why is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jtviz.capture import JtvizError, Trace
from jtviz.capture.intervention.places import HeadPlace

from .again import places_of, run_again
from .texts import side_of

if TYPE_CHECKING:
    import pandas as pd

ALIKE = 1e-3
"""How far what is left of a block may differ between tokens, relative to what the block adds."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """How much each part of each block adds. Made by `contributions`.

    Attributes
    ----------
    side : str
        Which side.
    attention, cross, feed_forward : Tensor
        Float32 ``[layers, tokens]``: the length of what each puts out; NaN where it cannot be had. Attention
        is without the bias of its output projection, the feed-forward layer with its own.
    block : Tensor
        Float32 ``[layers, tokens]``: the length of what the whole block changed.
    adds_up : tuple of bool
        For each layer whether the block adds just these parts, but for one vector that is the same for all
        tokens (biases). It does not where the block normalises after adding (as in BERT) or before adding
        (as in Gemma 2), scales a part, or mixes experts; of a single token it cannot be told.
    notes : tuple of str
        What cannot be had and why, one sentence each.
    """

    side: str
    attention: Tensor = field(repr=False)
    cross: Tensor = field(repr=False)
    feed_forward: Tensor = field(repr=False)
    block: Tensor = field(repr=False)
    adds_up: tuple[bool, ...]
    notes: tuple[str, ...] = ()

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each layer and token."""
        import pandas as pd

        layers, tokens = self.block.shape
        names = ("attention", "cross", "feed_forward", "block")
        columns = {name: getattr(self, name).flatten().numpy() for name in names}
        places = {
            "layer": torch.arange(layers).repeat_interleave(tokens).numpy(),
            "token": torch.arange(tokens).repeat(layers).numpy(),
        }
        return pd.DataFrame(places | columns)


def contributions(trace: Trace, side: str | None = None) -> Contributions:
    """Measure what attention and feed-forward layers add to the residual stream.

    Parameters
    ----------
    trace : Trace
        Its text is read once more, by a twin of the model.
    side : {"encoder", "decoder"}, optional
        The encoder's where there is one, if left out.

    Returns
    -------
    Contributions
        Layers are blocks, from 0. Attention is the output of its heads through the output projection
        (`Trace.output_projection`), the feed-forward layer the output of its last linear layer.

    Raises
    ------
    JtvizError
        If there is no such side, its blocks were not found, or the model is gone or was changed.

    Examples
    --------
    >>> import jtviz
    >>> found = contributions(jtviz.demo.translator().trace("I like tea."), "decoder")
    >>> found.feed_forward.shape, found.adds_up
    (torch.Size([2, 6]), (True, True))
    """
    side = side_of(trace, side)
    places = places_of(trace)
    change = trace.hidden(side).cpu().diff(dim=0)
    stages = (side, "cross") if side == "decoder" else (side,)
    heads = [place for place in places.heads if place.stage in stages]
    units = [place for place in places.units if place.stage == side]
    seen = run_again(trace, [*heads, *units])
    blocks = {place.block: place.layer for place in heads if place.stage == side}
    parts: dict[str, Tensor] = {
        name: torch.full_like(change, torch.nan) for name in ("attention", "feed_forward")
    }
    parts["cross"] = torch.zeros_like(change)
    notes: list[str] = []
    for place in heads:
        name = "cross" if place.stage == "cross" else "attention"
        layer = blocks.get(place.block, place.layer) if name == "cross" else place.layer
        try:
            parts[name][layer] = _through(trace, place, seen[place][0])
        except JtvizError as error:
            parts[name][layer] = torch.nan
            notes.append(f"{name} of layer {layer}: {error}")
    for unit in units:
        added = seen[unit][1]
        if added is not None:
            parts["feed_forward"][unit.layer] = added
    missing = sorted(set(range(len(change))) - {unit.layer for unit in units})
    # A block that adds up without a feed-forward layer has none.
    known = parts | {"feed_forward": parts["feed_forward"].index_fill(0, torch.tensor(missing).long(), 0.0)}
    rest = change - sum(known.values())
    adds_up = tuple(_is_same(own, whole) for own, whole in zip(rest, change, strict=True))
    unfound = [layer for layer in missing if not adds_up[layer]]
    if unfound:
        which = f"block{'s' if len(unfound) > 1 else ''} {', '.join(map(str, unfound))}"
        notes.append(f"no feed-forward layer was found in {which}.")
    lengths = {name: torch.linalg.vector_norm(part, dim=-1) for name, part in parts.items()}
    if "cross" not in trace.stages or side != "decoder":
        lengths["cross"] = torch.full_like(lengths["cross"], torch.nan)
    return Contributions(
        side=side,
        **lengths,
        block=torch.linalg.vector_norm(change, dim=-1),
        adds_up=adds_up,
        notes=tuple(notes),
    )


def _through(trace: Trace, place: HeadPlace, heads: Tensor) -> Tensor:
    """Return what heads ``[heads, queries, d]`` add to the stream, ``[queries, width]``."""
    weight = trace.output_projection(place.stage, place.layer).cpu()
    return torch.einsum("hqd,hdw->qw", heads, weight)


def _is_same(rest: Tensor, change: Tensor) -> bool:
    """Return whether what is left over is one vector for all tokens."""
    if len(rest) < 2 or not bool(rest.isfinite().all()):
        return False
    off = torch.linalg.vector_norm(rest - rest.mean(0), dim=-1)
    return bool(off.max() <= ALIKE * torch.linalg.vector_norm(change, dim=-1).mean())


__all__ = ["ALIKE", "Contributions", "contributions"]
