"""The residual stream: what went into the first block of a stage and what came out of each.

Required: found from the forward pass. A block is a numbered child (``layers.3``) in which attention
was computed; where such children nest (T5's ``block.3.layer.0``), the outermost that has exactly one
call for each site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .change import version
from .errors import JtvizError, SiteRefusedError

if TYPE_CHECKING:
    from .site import Site


@dataclass(frozen=True)
class LastLinear:
    """The last linear layer that a block went through after its attention.

    Attributes
    ----------
    path, call : str, int
        Its module (or the one round it that adds to it, as LoRA does), and which call of that in one forward
        pass.
    size, out : int
        What goes in (the feed-forward units, where it is one), and what comes out.
    """

    path: str
    call: int
    size: int
    out: int


@dataclass(eq=False)
class BlockCall:
    """One call of a numbered module: the stream before and after."""

    path: str
    before: Tensor | None
    after: Tensor | None = None
    version: int = 0
    last_linear: LastLinear | None = None

    def __post_init__(self) -> None:
        """Keep the version of the input too."""
        self.before_version = 0 if self.before is None else version(self.before)

    def end_with(self, last: LastLinear) -> None:
        """Take note of a linear layer; the widest into the stream counts, a narrow one adds to it."""
        known, width = self.last_linear, None if self.before is None else self.before.shape[-1]
        if known is None or known.out != width or (last.out == width and last.size >= known.size):
            self.last_linear = last

    def move(self, device: torch.device) -> None:
        """Move what is kept to a device."""
        if not self.is_changed:
            self.before = None if self.before is None else self.before.to(device)
            self.before_version = 0 if self.before is None else version(self.before)
            self.leave(None if self.after is None else self.after.to(device))

    @property
    def is_changed(self) -> bool:
        """Whether what was kept was changed in place since."""
        return (self.after is not None and version(self.after) != self.version) or (
            self.before is not None and version(self.before) != self.before_version
        )

    def leave(self, output: Tensor | None) -> None:
        """Keep the output, and its version, so that a later change in place is noticed."""
        self.after = output
        self.version = 0 if output is None else version(output)


def residual(
    sites: Sequence[Site], stage: str, length: int, batch: int = 1, example: int = 0
) -> list[Tensor]:
    """Return the residual stream of a stage, without copying it.

    Parameters
    ----------
    sites : sequence of Site
        The sites of the stage, in layer order.
    stage : str
        Its name, for the message.
    length : int
        Number of tokens.
    batch : int
        Size of the batch.
    example : int
        Which example of it is returned.

    Returns
    -------
    list of Tensor
        ``[tokens, width]`` each: the input of the first block, then the output of each. The blocks of a model
        may be on several devices.

    Raises
    ------
    JtvizError
        If the model has no numbered blocks with one attention call each.
    SiteRefusedError
        If the stream was changed in place since.
    """
    calls = one_call_each(sites)
    if calls is None:
        raise JtvizError(
            f"the residual stream of the {stage} was not found: its blocks are not numbered children."
        )
    if any(call.is_changed for call in calls):
        raise SiteRefusedError(
            f"the residual stream of the {stage} was changed in place since, and cannot be shown."
        )
    stream = [calls[0].before, *(call.after for call in calls)]
    found = [None if x is None else _example(x, length, batch, example) for x in stream]
    rows = [row for row in found if row is not None]
    if len(rows) != len(found) or len({row.shape for row in rows}) != 1:
        raise JtvizError(
            f"the residual stream of the {stage} was not found: its blocks do not return [.., tokens, width]."
        )
    return rows


def one_call_each(sites: Sequence[Site]) -> list[BlockCall] | None:
    """Return the block of each site: the outermost with one call for each, None if there is none."""
    for depth in range(min((len(site.blocks) for site in sites), default=0)):
        calls = [site.blocks[depth] for site in sites]
        if len({id(call) for call in calls}) == len(calls):
            return calls
    return None


def _example(x: Tensor, length: int, batch: int, example: int) -> Tensor | None:
    if x.ndim == 2 and len(x) == length:
        return x
    if x.ndim != 3 or batch == length > 1:
        return None
    if x.shape[:2] == (batch, length):
        return x[example]
    # nn.Transformer without batch_first: [tokens, batch, width].
    return x[:, example] if x.shape[:2] == (length, batch) else None
