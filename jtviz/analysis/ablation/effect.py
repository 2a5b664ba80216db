"""What switching heads and units off changes of what a model makes of one text.

Required: every number has its intact counterpart beside it; nothing here trains the model again, and it says
so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from jtviz.capture import Trace
from jtviz.capture.intervention.ablation import Mask

from .says import Question, Said

if TYPE_CHECKING:
    import pandas as pd

HONEST = (
    "Ablation measures the model as it is, without training again: a part whose absence changes nothing here "
    "may be backed up by others."
)


@dataclass(frozen=True)
class Effect:
    """The intact model and the ablated one, side by side.

    Attributes
    ----------
    mask, mode
        What is off, and what stands in for it.
    asked : Question
        What the two are compared by.
    intact, ablated : Said
        What each says.
    divergence : tuple of float
        ``KL(intact || ablated)`` of each row of `asked` (one of a classifier), in nats; empty where the model
        gives no probabilities.
    moved : mapping of str to array
        For each stage how far each head's attention moved, ``[layers, heads]`` (see `moved`).
    trace : Trace
        The ablated model, reading the same tokens.
    notes : tuple of str
        What had to run otherwise than in the intact trace.
    seconds : float
        How long it took.
    """

    mask: Mask
    mode: str
    asked: Question
    intact: Said
    ablated: Said
    divergence: tuple[float, ...]
    moved: Mapping[str, np.ndarray] = field(repr=False)
    trace: Trace = field(repr=False)
    notes: tuple[str, ...] = ()
    seconds: float = field(repr=False, default=0.0)

    def __repr__(self) -> str:
        """Say in one line what changed."""
        apart = f", KL {self.kl:.3g} nats" if self.divergence else ""
        return (
            f"Effect({self.mask.words}: {self.asked.words} {self.intact.value:.3g} → "
            f"{self.ablated.value:.3g}{apart})"
        )

    @property
    def kl(self) -> float:
        """The mean of `divergence`; 0 where the model gives no probabilities."""
        return float(np.mean(self.divergence)) if self.divergence else 0.0

    def strongest_moved(self, count: int = 24) -> list[tuple[str, int, int, float]]:
        """Return the heads whose attention moved most: stage, layer, head and distance.

        Heads that are off themselves are left out: nobody sees where they look.
        """
        off = set(self.mask.heads)
        found = [
            (stage, int(layer), int(head), float(values[layer, head]))
            for stage, values in self.moved.items()
            for layer, head in zip(*np.nonzero(~np.isnan(values)), strict=True)
            if (stage, int(layer), int(head)) not in off and values[layer, head] > 1e-4
        ]
        return sorted(found, key=lambda one: -one[3])[:count]


@dataclass(frozen=True)
class Part:
    """One head or unit."""

    kind: Literal["head", "unit"]
    stage: str
    layer: int
    index: int

    @property
    def mask(self) -> Mask:
        """The mask that has this part off."""
        place = ((self.stage, self.layer, self.index),)
        return Mask(heads=place) if self.kind == "head" else Mask(units=place)

    @property
    def name(self) -> str:
        """``encoder 0.3``, ``unit encoder 0.17``."""
        word = "" if self.kind == "head" else "unit "
        return f"{word}{self.stage} {self.layer}.{self.index}"


@dataclass(frozen=True)
class Together:
    """How parts back each other up.

    Attributes
    ----------
    parts : tuple of Part
        What is off.
    alone : tuple of float
        How far the output is off with each of them off alone; empty where they are too many.
    joint : float
        With all of them off.
    pairs : mapping of (int, int) to float
        With two of them off, of the first `MOST`.
    unit : str
        Of all these numbers.
    """

    MOST: ClassVar[int] = 8

    parts: tuple[Part, ...]
    alone: tuple[float, ...]
    joint: float
    pairs: Mapping[tuple[int, int], float]
    unit: str = "nats"

    @property
    def words(self) -> str:
        """What that means, in one sentence."""
        total = sum(self.alone)
        if not self.alone:
            joint = f"{self.joint:.3g} {self.unit}"
            return f"{len(self.parts)} parts together change {joint}; alone was not measured."
        said = f"Alone they change {total:.3g} {self.unit} in sum, together {self.joint:.3g}: "
        if self.joint > 1.5 * total:
            return said + "they back each other up."
        if self.joint < 0.67 * total:
            return said + "they do the same thing one after the other, or undo each other."
        return said + "they act mostly on their own."

    def interaction(self, one: int, other: int) -> float:
        """Return what two parts change beyond the sum of each alone."""
        pair = (min(one, other), max(one, other))
        return self.pairs[pair] - self.alone[one] - self.alone[other]

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a pair: both parts, what each changes alone, both, and their interaction."""
        import pandas as pd

        rows = [
            (
                self.parts[i].name,
                self.parts[j].name,
                self.alone[i],
                self.alone[j],
                joint,
                self.interaction(i, j),
            )
            for (i, j), joint in self.pairs.items()
            if self.alone
        ]
        return pd.DataFrame(
            rows, columns=["part", "other part", "alone", "other alone", "joint", "interaction"]
        )
