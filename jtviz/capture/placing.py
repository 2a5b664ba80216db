"""Where a trace is kept: on the device where it was computed, or together on one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .blocks import BlockCall
from .mask import Mask
from .site import HELD, FusedSite, Site


def keep_together(sites: Sequence[Site], device: torch.device) -> None:
    """Move what the sites keep to one device; what several sites share stays shared.

    Parameters
    ----------
    sites : sequence of Site
        Changed in place.
    device : torch.device
        Where to.
    """
    masks: dict[int, Mask] = {}
    blocks: dict[int, BlockCall] = {}
    for site in sites:
        site.unchanged()
        for name in HELD:
            held = getattr(site, name, None)
            if isinstance(held, Tensor):
                setattr(site, name, held.to(device))
        if isinstance(site, FusedSite) and site.mask is not None:
            mask = site.mask
            site.mask = masks.setdefault(id(mask), _mask(mask, device))
        for block in site.blocks:
            if id(block) not in blocks:
                blocks[id(block)] = block
                block.move(device)
        site.watch()


def _mask(mask: Mask, device: torch.device) -> Mask:
    held = {name: value.to(device) for name, value in vars(mask).items() if isinstance(value, Tensor)}
    moved: Mask = replace(mask, **held)  # type: ignore[type-var]  # every mask is a dataclass
    return moved
