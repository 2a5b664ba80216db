"""One call that computed attention, and any part of its pattern.

Required: a part equals the same part of the whole, and for a fused site costs only itself:
``exp(q k^T * scale + mask - lse)`` with the log-sum-exp of the row kept. Nothing here changes after
the trace, and a tensor that somebody else changed in place is noticed, not shown.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .change import version
from .errors import JtvizError, SiteRefusedError
from .mask import HIDES
from .part import Part, positions, size, take, whole

if TYPE_CHECKING:
    from .blocks import BlockCall
    from .mask import Mask
    from .weights import Weight

STREAM = 1 << 22
"""Scores held at once while streaming: 16 MiB of float32."""

SUNKEN = -1e4
"""A row whose log-sum-exp is this low was hidden with a finite constant: see `FusedSite.tile`."""

BLIND = -1e4
"""A key this far down cannot be looked at: ``exp(-1e4)`` is 0, and no constant that hides is nearer."""

HELD = ("query", "key", "value", "pattern", "lse", "gradient")
"""Names of the tensors that a site of either kind may have of its own."""


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
        Examples in the batch.
    example : int
        Which of them is kept.
    heads, queries, keys : int
        Shape of the pattern.
    query_bits, key_bits, bit : int
        Where queries and keys came from, and the site's own bit (see `jtviz.capture.flow`).
    causal : bool or None
        Whether no query sees a later key; None if one token leaves it open.
    difference, tolerance : float
        Largest difference between recomputed rows times V and the model's own output, and what
        rounding allows. NaN where there was no output to compare with.
    group : int
        How many query heads share one key head (Ainslie et al. 2023, GQA): query head *h* looks through
        key head ``h // group``.
    sums : tuple of float
        Smallest and largest sum of a row: less than one where a sink takes a share.
    value : Tensor
        ``[key heads, keys, d]``; empty where a written-out pattern was kept without gradients.
    gradient : Tensor or None
        ``[heads, queries, d]``: the gradient of the target with respect to the site's output.
    width : int
        Size of a head's output; 0 where it is not known.
    projection : Weight or None
        What the heads' outputs, side by side, were multiplied with, where that was seen.
    lock : RLock
        Held while the site is checked for the first time, and while a log-sum-exp is filled in.
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
    group: int = 1
    sums: tuple[float, float] = (1.0, 1.0)
    name: str = ""
    versions: tuple[tuple[Tensor, int], ...] = field(default=(), repr=False)
    first_look: Callable[[], None] | None = field(default=None, repr=False)
    value: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)
    gradient: Tensor | None = field(default=None, repr=False)
    width: int = 0
    example: int = 0
    projection: Weight | None = field(default=None, repr=False)
    lock: RLock = field(default_factory=RLock, repr=False)

    @abstractmethod
    def tile(self, heads: Sequence[int], rows: Part, cols: Part) -> Tensor:
        """Return ``[heads, rows, cols]`` of the pattern, float32."""

    @abstractmethod
    def masked(self, heads: Sequence[int], rows: Part, cols: Part) -> Tensor:
        """Return ``[heads, rows, cols]``, bool: which keys a query cannot look at."""

    def gradient_tile(self, heads: Sequence[int], rows: Part, cols: Part) -> Tensor:
        """Return ``[heads, rows, cols]`` of the gradient with respect to the pattern, float32."""
        self.unchanged()
        if self.gradient is None:
            raise JtvizError(
                "this trace has no gradients: trace again with target= (what to differentiate) or output=."
            )
        group = self.heads // len(self.value)
        out = torch.empty(len(heads), size(rows), size(cols), device=self.value.device)
        for number, head in enumerate(heads):
            value = take(self.value[head // group], cols, 0).float()
            torch.mm(take(self.gradient[head], rows, 0).float(), value.T, out=out[number])
        return out

    def unscaled(self, head: int, rows: Part) -> tuple[Tensor, Tensor]:
        """Return rows of one head before they are divided by their sum, and that sum ``[rows, 1]``.

        Keys at the end that none of these rows sees may be left out.
        """
        weights = self.tile([head], rows, self.all_cols)[0]
        return weights, torch.ones(len(weights), 1, device=weights.device)

    @property
    def all_heads(self) -> range:
        """Every query head."""
        return range(self.heads)

    @property
    def all_cols(self) -> slice:
        """Every key."""
        return slice(0, self.keys)

    @property
    def is_summed(self) -> bool:
        """Whether a column costs only itself: what its rows sum to is known."""
        return True

    @property
    @abstractmethod
    def kept(self) -> tuple[Tensor, ...]:
        """The tensors this site keeps."""

    def held(self) -> Iterator[Tensor | None]:
        """Yield every tensor that this site keeps in memory, also what it shares with others."""
        yield from self.kept
        yield self.gradient
        for block in self.blocks:
            yield block.before
            yield block.after

    def watch(self) -> None:
        """Remember the versions of the kept tensors."""
        self.versions = tuple((t, version(t)) for t in self.kept)

    @property
    def is_changed(self) -> bool:
        """Whether a kept tensor was changed in place since."""
        return any(version(tensor) != before for tensor, before in self.versions)

    def unchanged(self) -> None:
        """Raise if a kept tensor was changed in place since the forward pass, or is not what a file held."""
        if self.first_look is not None:
            with self.lock:
                look = self.first_look  # another thread may have looked meanwhile
                if look is not None:
                    look()
                    self.first_look = None
        if self.is_changed:
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
        return (self.pattern,) if self.gradient is None else (self.pattern, self.value)

    def tile(self, heads: Sequence[int], rows: Part, cols: Part) -> Tensor:
        """Return ``[heads, rows, cols]`` of the pattern, float32."""
        self.unchanged()
        out = torch.empty(len(heads), size(rows), size(cols), device=self.pattern.device)
        for number, head in enumerate(heads):
            out[number] = take(take(self.pattern[head], rows, 0), cols, 1)
        return out

    def masked(self, heads: Sequence[int], rows: Part, cols: Part) -> Tensor:
        """Return ``[heads, rows, cols]``, bool: what the model wrote as zero, all one can know."""
        return self.tile(heads, rows, cols) == 0


@dataclass(eq=False)
class FusedSite(Site):
    """The kernel was given Q, K, V: the pattern is recomputed where somebody looks.

    ``query`` is ``[heads, queries, d]``, ``key`` and ``value`` ``[key heads, keys, d]``; query head
    *h* looks through key head ``h // group``. ``lse`` is ``[heads, queries]``, NaN where nobody looked,
    ``lse_from_kernel`` whether the kernel gave it.
    """

    query: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)
    key: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)
    mask: Mask | None = field(default=None, repr=False)
    scale: float = 1.0
    lse: Tensor | None = field(default=None, repr=False)
    lse_from_kernel: bool = False

    @property
    def kept(self) -> tuple[Tensor, ...]:
        """The tensors this site keeps."""
        return (self.query, self.key, self.value)

    @property
    def is_summed(self) -> bool:
        """Whether a column costs only itself: what its rows sum to is known."""
        return self.lse is not None and not bool(self.lse.isnan().any())

    def held(self) -> Iterator[Tensor | None]:
        """Yield every tensor that this site keeps in memory, also what it shares with others."""
        yield from super().held()
        yield self.lse
        if self.mask is not None:
            yield from (value for value in vars(self.mask).values() if isinstance(value, Tensor))

    def scores(self, heads: Sequence[int], rows: Part, cols: Part) -> Tensor:
        """Return masked scores ``[heads, rows, cols]``, float32, as the kernel forms them."""
        scores = self.products(heads, rows, cols)
        if self.mask is not None:
            self.mask.add_to(scores, heads, rows, cols)
        return scores

    def products(self, heads: Sequence[int], rows: Part, cols: Part) -> Tensor:
        """Return scaled products of queries and keys ``[heads, rows, cols]``, float32, before the mask."""
        query, key = take(self.query, rows, 1), take(self.key, cols, 1)
        if len(heads) == self.heads > 1 and list(heads) == list(self.all_heads):
            grouped = query.float().reshape(len(key), -1, query.shape[-1])
            scores = torch.matmul(grouped, key.float().mT).view(self.heads, size(rows), size(cols))
        else:
            # One head after the other: taking several at once would copy their keys.
            scores = torch.empty(len(heads), size(rows), size(cols), device=query.device)
            for number, head in enumerate(heads):
                torch.mm(query[head].float(), key[head // self.group].float().T, out=scores[number])
        return scores.mul_(self.scale)

    def tile(self, heads: Sequence[int], rows: Part, cols: Part) -> Tensor:
        """Return ``[heads, rows, cols]`` of the pattern, float32."""
        self.unchanged()
        if whole(cols, self.keys):
            return normalise(self.scores(heads, rows, cols))
        lse = self.log_sum_exp(heads, rows)
        if bool((lse < SUNKEN).any()):
            # finfo.min swallows the scores it is added to: such a row is even, but its log-sum-exp
            # cannot say over how many keys.
            return take(normalise(self.scores(heads, rows, self.all_cols)), cols, 2)
        return self.scores(heads, rows, cols).sub_(lse[..., None]).exp_()

    def masked(self, heads: Sequence[int], rows: Part, cols: Part) -> Tensor:
        """Return ``[heads, rows, cols]``, bool: which keys a query cannot look at."""
        added = torch.zeros(len(heads), size(rows), size(cols), device=self.query.device)
        if self.mask is not None:
            self.mask.add_to(added, heads, rows, cols)
        return added <= BLIND

    def log_sum_exp(self, heads: Sequence[int], rows: Part) -> Tensor:
        """Return the log-sum-exp of these rows, ``[heads, rows]``; what is not known is computed once."""
        device = self.query.device
        with self.lock:
            if self.lse is None:
                self.lse = torch.full((self.heads, self.queries), torch.nan, device=device)
            for head in heads:
                known = take(self.lse[head], rows, 0)
                missing = positions(rows, device)[known.isnan()]
                for block in torch.split(missing, max(1, STREAM // max(1, self.keys))):
                    _, total, largest = exponentials(self.scores([head], block, self.all_cols)[0])
                    # A row that sees nothing: exp(-inf - 0) is the zero that the kernel returns.
                    self.lse[head, block] = (total.log_() + largest)[:, 0]
            return take(self.lse[list(heads)], rows, 1)

    def unscaled(self, head: int, rows: Part) -> tuple[Tensor, Tensor]:
        """Return rows of one head before they are divided by their sum, and that sum ``[rows, 1]``."""
        self.unchanged()
        cols = self.all_cols
        if self.mask is not None and self.mask.causal and self.queries == self.keys:
            cols = slice(0, int(positions(rows, self.query.device).max()) + 1)
        weights, total, largest = exponentials(self.scores([head], rows, cols)[0])
        if cols.stop < self.keys and bool((largest < HIDES / 2).any()):
            # Padding hidden with a finite constant looks at everything, later keys too.
            weights, total, _ = exponentials(self.scores([head], rows, self.all_cols)[0])
        return weights, total


def exponentials(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``exp(scores - largest)``, computed in place, its sum over keys and the largest score.

    A row that sees nothing has zeros, 1 and 0.
    """
    largest = scores.amax(dim=-1, keepdim=True)
    blind = largest == -torch.inf
    largest.masked_fill_(blind, 0.0)
    weights = scores.sub_(largest).exp_()
    return weights, weights.sum(-1, keepdim=True).masked_fill_(blind, 1.0), largest


def normalise(scores: Tensor) -> Tensor:
    """Turn scores into a pattern, in place: softmax over keys.

    A row that sees nothing becomes zero, as ``scaled_dot_product_attention`` has it.
    """
    weights, total, _ = exponentials(scores)
    return weights.div_(total)
