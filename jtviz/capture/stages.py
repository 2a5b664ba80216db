"""Which stage a site belongs to: encoder, decoder or cross.

Required: decided by what the forward pass did, not by names. Queries and keys of cross-attention come
from different tensors (`jtviz.capture.flow`); in a model that has it, a self-attention belongs to the
encoder if its output reaches the keys of a cross-attention, to the decoder otherwise. A model without
cross-attention is a decoder where no query sees a later key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from .errors import JtvizError, SiteRefusedError

if TYPE_CHECKING:
    from .site import Site

Stage = Literal["encoder", "decoder", "cross"]
SideName = Literal["encoder", "decoder"]
STAGES: tuple[Stage, ...] = get_args(Stage)


def as_stage(name: str) -> Stage:
    """Return the stage of this name.

    Raises
    ------
    JtvizError
        If there is none.
    """
    for known in STAGES:
        if known == name:
            return known
    raise JtvizError(f"a stage is one of {', '.join(map(repr, STAGES))}, not {name!r}.")


def query_side(stage: Stage) -> SideName:
    """Return whose tokens look."""
    return "encoder" if stage == "encoder" else "decoder"


def key_side(stage: Stage) -> SideName:
    """Return whose tokens are looked at."""
    return "decoder" if stage == "decoder" else "encoder"


def sort_into_stages(sites: Sequence[Site], *, decoder: bool) -> dict[Stage, list[Site]]:
    """Sort the sites of one forward pass into stages, each in the order they ran.

    Parameters
    ----------
    sites : sequence of Site
        In the order they ran.
    decoder : bool
        What to call self-attention over a single token when nothing says whether it is causal.
    """
    cross = [site for site in sites if _is_cross(site)]
    reached = 0
    for site in cross:
        reached |= site.key_bits
    out: dict[Stage, list[Site]] = {"encoder": [], "decoder": [], "cross": cross}
    for site in sites:
        if site in cross:
            continue
        causal = decoder if site.causal is None else site.causal
        encoder = bool(site.bit & reached) if cross else not causal
        out["encoder" if encoder else "decoder"].append(site)
    return {stage: found for stage, found in out.items() if found}


def _is_cross(site: Site) -> bool:
    # A causal rule means that positions are shared, whatever else reached one side only.
    return site.query_bits != site.key_bits and not (site.causal and site.queries == site.keys > 1)


def match_lengths(by_stage: Mapping[Stage, Sequence[Site]]) -> dict[SideName, int]:
    """Return the number of tokens of each side, told from the shapes of its sites.

    Raises
    ------
    SiteRefusedError
        If the sites of one side disagree: then rows and columns are not that side's tokens.
    """
    lengths: dict[SideName, int] = {}
    first: dict[SideName, Site] = {}
    for stage, sites in by_stage.items():
        for site in sites:
            for side, length in ((query_side(stage), site.queries), (key_side(stage), site.keys)):
                if lengths.setdefault(side, length) != length:
                    raise SiteRefusedError(
                        f"{site.name} attends over {length} positions of the {side}, but "
                        f"{first[side].name} over {lengths[side]}: hook the one part of the model that has "
                        f"what you want to see."
                    )
                first.setdefault(side, site)
    return lengths
