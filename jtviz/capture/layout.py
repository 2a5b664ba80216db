"""What there is in a trace: sides, stages, layers and heads, and how far they were checked.

Required: a question about something that is not there is answered with what is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from .blocks import one_call_each
from .check import Check, Checks
from .errors import JtvizError, OutOfRangeError
from .part import is_int
from .stages import STAGES, SideName, Stage, as_stage, key_side, query_side

if TYPE_CHECKING:
    from ..tokens import Tokens
    from .intervention.places import Places
    from .reading import Reading
    from .site import Site
    from .target import Target
    from .weights import Weight


@dataclass(eq=False, repr=False)
class Layout:
    """The parts of a trace, by name; see `Trace`, which says what they hold."""

    tokens: dict[str, Tokens]
    predicts: tuple[str, ...] | None
    logits: Tensor | None
    notes: tuple[str, ...]
    by_stage: Mapping[Stage, Sequence[Site]]
    chances: tuple[float | None, ...] | None = None
    target: Target | None = None
    unembedding_weight: Weight | None = None
    reading: Reading | None = None
    places: Places | None = None

    def __repr__(self) -> str:
        """Say what there is to look at."""
        sides = ", ".join(f"{side}: {len(tokens)} tokens" for side, tokens in self.tokens.items())
        layers = ", ".join(f"{stage}: {self.layers(stage)} layers" for stage in self.stages)
        return f"Trace({sides}; attention of {layers})"

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages there are, in the order encoder, decoder, cross."""
        return tuple(stage for stage in STAGES if stage in self.by_stage)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Every site, stage by stage, in layer order."""
        return tuple(site for stage in STAGES for site in self.by_stage.get(stage, ()))

    def site(self, stage: str, layer: int) -> Site:
        """Return the site of a stage and layer (from 0; from the end if negative).

        Raises
        ------
        JtvizError
            If there is no such stage.
        OutOfRangeError
            If there is no such layer.
        """
        sites = self._stage(stage)
        if not is_int(layer) or not -len(sites) <= layer < len(sites):
            raise OutOfRangeError(
                f"layer {layer!r} of the {stage} is not there: layers are 0 to {len(sites) - 1}."
            )
        return sites[layer]

    def layers(self, stage: str) -> int:
        """Return how many layers a stage has."""
        return len(self._stage(stage))

    def heads(self, stage: str, layer: int) -> int:
        """Return how many (query) heads a layer has."""
        return self.site(stage, layer).heads

    def key_heads(self, stage: str, layer: int) -> tuple[int, ...]:
        """Return for each query head the key head it looks through: the same where they share one (GQA)."""
        site = self.site(stage, layer)
        return tuple(head // site.group for head in range(site.heads))

    def query_side(self, stage: str) -> SideName:
        """Return whose tokens are the rows of a stage."""
        self._stage(stage)
        return query_side(as_stage(stage))

    def key_side(self, stage: str) -> SideName:
        """Return whose tokens are the columns of a stage."""
        self._stage(stage)
        return key_side(as_stage(stage))

    def check(self) -> Checks:
        """Return for each site the largest difference between recomputed rows times V and the model's own.

        The check itself runs during the trace; a site beyond rounding never becomes part of one. Attention
        that was computed elsewhere has nothing to be compared with, and is left out.

        Returns
        -------
        Checks
            A mapping of the name of each site to its difference; last in a cell, or printed, a table.

        Examples
        --------
        >>> import jtviz
        >>> trace = jtviz.hook(jtviz.demo.induction()).trace("abcabc")
        >>> max(trace.check().values()) < 1e-5
        True
        """
        return Checks(
            [
                Check.of(site, stage, layer)
                for stage in self.stages
                for layer, site in enumerate(self.by_stage[as_stage(stage)])
                if not math.isnan(site.difference)
            ]
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors that the trace keeps."""
        tensors = itertools.chain([self.logits], *(site.held() for site in self.sites))
        storages = {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for tensor in tensors
            if tensor is not None
        }
        return sum(storages.values())

    def block_paths(self, side: str) -> tuple[str, ...]:
        """Return the module path of each block of a side, in the order they ran.

        Raises
        ------
        JtvizError
            If its blocks are not numbered children with one attention call each.
        """
        calls = one_call_each(self._stage(side))
        if calls is None:
            raise JtvizError(f"the blocks of the {side} were not found: they are not numbered children.")
        return tuple(call.path for call in calls)

    def _stage(self, stage: str) -> Sequence[Site]:
        if stage not in self.by_stage:
            raise JtvizError(
                f"stage {stage!r} is not there: this trace has {', '.join(map(repr, self.stages))}."
            )
        return self.by_stage[as_stage(stage)]
