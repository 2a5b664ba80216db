"""One call that computed attention, and any part of its pattern.

Required: a part equals the same part of the whole, and for a fused site costs only itself:
``exp(q k^T * scale + mask - lse)`` with the log-sum-exp of the row kept. Nothing here changes after
the trace, and a tensor that somebody else changed in place is noticed, not shown.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .change import version
from .errors import SiteRefusedError

if TYPE_CHECKING:
    from .blocks import BlockCall
    from .mask import Mask

_STREAM = 1 << 22  # scores held at once while streaming: 16 MiB of float32
_SUNKEN = -1e4  # a row whose log-sum-exp is this low was hidden with a finite constant: see `FusedSite.tile`


@dataclass(eq=False)
class Site(ABC):
    """What both kinds of site know.

    Attributes
    ----------
    name : str
        Module path, with ``#1``, ``#2`` at the second and third call of one module.
    path, call : str, int
        The parts of the name.
    batch : int
        Examples in the batch; the first is kept.
    heads, queries, keys : int
        Shape of the pattern.
    query_bits, key_bits, bit : int
        Where queries and keys came from, and the site's own bit (see `jtviz.capture.flow`).
    causal : bool or None
        Whether no query sees a later key; None if one token leaves it open.
    difference, tolerance : float
        Largest difference between recomputed rows times V and the model's own output, and what
        rounding allows. NaN where there was no output to compare with.
    first_look : callable or None
        What to check before the first number is shown: a trace from a file is read where it is looked at.
    """

    path: str
    call: int
    batch: int
    heads: int
    queries: int
    keys: int
    query_bits: int
    key_bits: int
    bit: int
    causal: bool | None
    blocks: tuple[BlockCall, ...]
    difference: float = 0.0
    tolerance: float = 0.0
    name: str = ""
    versions: tuple[tuple[Tensor, int], ...] = field(default=(), repr=False)
    first_look: Callable[[], None] | None = field(default=None, repr=False)

    @abstractmethod
    def tile(self, heads: Tensor, rows: Tensor | None, cols: Tensor | None) -> Tensor:
        """Return ``[heads, rows, cols]`` of the pattern, float32; None means all."""

    @property
    @abstractmethod
    def kept(self) -> tuple[Tensor, ...]:
        """The tensors this site keeps."""

    def watch(self) -> None:
        """Remember the versions of the kept tensors."""
        self.versions = tuple((t, version(t)) for t in self.kept)

    def unchanged(self) -> None:
        """Raise if a kept tensor was changed in place since the forward pass, or is not what a file held."""
        look = self.first_look  # another thread may be looking too
        if look is not None:
            look()
            self.first_look = None
        if any(version(tensor) != before for tensor, before in self.versions):
            raise SiteRefusedError(
                f"the tensors of {self.name or self.path} were changed in place after its attention was "
                f"computed, so its pattern cannot be shown; trace again."
            )


@dataclass(eq=False)
class WrittenSite(Site):
    """The model computed the pattern itself: ``[heads, queries, keys]`` is kept."""

    pattern: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)

    @property
    def kept(self) -> tuple[Tensor, ...]:
        """The tensors this site keeps."""
        return (self.pattern,)

    def tile(self, heads: Tensor, rows: Tensor | None, cols: Tensor | None) -> Tensor:
        """Return ``[heads, rows, cols]`` of the pattern, float32; None means all."""
        self.unchanged()
        part = self.pattern[heads] if rows is None else self.pattern[heads[:, None], rows]
        return (part if cols is None else part[..., cols]).float()


@dataclass(eq=False)
class FusedSite(Site):
    """The kernel was given Q, K, V: the pattern is recomputed where somebody looks.

    ``query`` is ``[heads, queries, d]``, ``key`` and ``value`` ``[key heads, keys, d]``; query head
    *h* looks through key head ``h // group``.
    """

    query: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)
    key: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)
    value: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)
    mask: Mask | None = field(default=None, repr=False)
    scale: float = 1.0
    lse: Tensor | None = field(default=None, repr=False)

    @property
    def kept(self) -> tuple[Tensor, ...]:
        """The tensors this site keeps."""
        return (self.query, self.key, self.value)

    @property
    def group(self) -> int:
        """How many query heads share one key head (Ainslie et al. 2023, GQA)."""
        return self.heads // len(self.key)

    def scores(self, heads: Tensor, rows: Tensor | None, cols: Tensor | None) -> Tensor:
        """Return masked scores ``[heads, rows, cols]``, float32, as the kernel forms them."""
        query = self.query[heads] if rows is None else self.query[heads[:, None], rows]
        key_heads = heads // self.group
        key = self.key[key_heads] if cols is None else self.key[key_heads[:, None], cols]
        scores = torch.matmul(query.float(), key.float().mT).mul_(self.scale)
        if self.mask is not None:
            device = scores.device
            rows = torch.arange(self.queries, device=device) if rows is None else rows
            cols = torch.arange(self.keys, device=device) if cols is None else cols
            scores += self.mask.tile(heads, rows, cols)
        return scores

    def tile(self, heads: Tensor, rows: Tensor | None, cols: Tensor | None) -> Tensor:
        """Return ``[heads, rows, cols]`` of the pattern, float32; None means all."""
        self.unchanged()
        if cols is None:
            return normalise(self.scores(heads, rows, None))
        if self.lse is None:
            self.lse = self.stream()
        lse = self.lse[heads] if rows is None else self.lse[heads[:, None], rows]
        if bool((lse < _SUNKEN).any()):
            # finfo.min swallows the scores it is added to: such a row is even, but its log-sum-exp
            # cannot say over how many keys.
            return normalise(self.scores(heads, rows, None))[..., cols]
        return self.scores(heads, rows, cols).sub_(lse[..., None]).exp_()

    def stream(self) -> Tensor:
        """Compute the log-sum-exp of every row, ``[heads, queries]``, a block of rows at a time."""
        device = self.query.device
        step = max(1, _STREAM // max(1, self.keys))
        out = torch.empty(self.heads, self.queries, device=device)
        for head in range(self.heads):
            index = torch.tensor([head], device=device)
            for start in range(0, self.queries, step):
                rows = torch.arange(start, min(start + step, self.queries), device=device)
                out[head, rows] = torch.logsumexp(self.scores(index, rows, None)[0], dim=-1)
        # A row that sees nothing: exp(-inf - 0) is the zero that the kernel returns.
        return out.masked_fill_(out == -torch.inf, 0.0)


def normalise(scores: Tensor) -> Tensor:
    """Softmax over keys; a row that sees nothing is zero, as ``scaled_dot_product_attention`` has it."""
    blind = scores.amax(dim=-1, keepdim=True) == -torch.inf
    pattern = torch.softmax(scores, dim=-1)
    return pattern.masked_fill_(blind, 0.0) if bool(blind.any()) else pattern
