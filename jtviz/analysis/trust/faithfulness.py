"""Whether the tokens that an attribution names are those that the prediction rests on.

Required: curves and figures never come without those of random orders; nothing is left out because it is
bad. Made by `jtviz.analysis.faithfulness`, see `taking_away`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..attribution.attribution import Attribution
from .curves import Compared, area

if TYPE_CHECKING:
    import pandas as pd

FEW = 12
"""Units up to which a text counts as short, and is compared with more random orders."""


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """How a prediction changes as tokens are taken away or put back, those scored highest first.

    Attributes
    ----------
    attribution : Attribution
        What is judged.
    measure : str
        What the curves are of, ``probability of urgent``.
    baseline : str
        What an absent token is.
    order : tuple of tuple of (str, int)
        The units in order, the most supporting first: the side and index of each token.
    share : ndarray
        ``[points]``: the share of the units that was replaced (deletion) or is there (insertion).
    deletion, insertion : ndarray
        ``[points]``: the number without the first units of the order; with nothing but them.
    random_deletion, random_insertion : ndarray
        ``[orders, points]``: the same for random orders.
    fractions : ndarray
        ``[fractions]``, of ERASER.
    comprehensiveness, sufficiency : ndarray
        ``[fractions]``: what the number loses without that share of the text, and with it alone.
    random_comprehensiveness, random_sufficiency : ndarray
        ``[orders, fractions]``.
    """

    attribution: Attribution
    measure: str
    baseline: str
    order: tuple[tuple[tuple[str, int], ...], ...]
    share: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    random_deletion: np.ndarray
    random_insertion: np.ndarray
    fractions: np.ndarray
    comprehensiveness: np.ndarray
    sufficiency: np.ndarray
    random_comprehensiveness: np.ndarray
    random_sufficiency: np.ndarray

    def __repr__(self) -> str:
        """Say what was found."""
        return f"Faithfulness({self.words})"

    @property
    def aopc_comprehensiveness(self) -> Compared:
        """Comprehensiveness averaged over the fractions (ERASER's AOPC): high is good."""
        return self._compared(float(self.comprehensiveness.mean()), self.random_comprehensiveness.mean(1), 1)

    @property
    def aopc_sufficiency(self) -> Compared:
        """Sufficiency averaged over the fractions: low is good."""
        return self._compared(float(self.sufficiency.mean()), self.random_sufficiency.mean(1), -1)

    @property
    def deletion_area(self) -> Compared:
        """Area under the deletion curve: low is good (Petsiuk et al. 2018)."""
        own, drawn = area(self.share, self.deletion), area(self.share, self.random_deletion)
        return self._compared(float(own), drawn, -1)

    @property
    def insertion_area(self) -> Compared:
        """Area under the insertion curve: high is good."""
        own, drawn = area(self.share, self.insertion), area(self.share, self.random_insertion)
        return self._compared(float(own), drawn, 1)

    def _compared(self, value: float, random: np.ndarray, better: int) -> Compared:
        return Compared(value, random, better, is_short=len(self.order) <= FEW)

    @property
    def beats_random(self) -> bool:
        """Whether its comprehensiveness is above that of nearly all random orders (`Compared.is_better`)."""
        return self.aopc_comprehensiveness.is_better

    @property
    def is_too_short(self) -> bool:
        """Whether the text is too short to tell: not even the best order would be called better."""
        return self.aopc_comprehensiveness.is_too_short

    @property
    def words(self) -> str:
        """Whether the order is better than a random one, in one sentence."""
        lost, alone = self.aopc_comprehensiveness, self.aopc_sufficiency
        name = self.attribution.method.label
        whether = f"{name} is"
        if lost.is_too_short:
            whether = f"whether {name} is better than random order, the text is"
        return (
            f"{whether} {lost.verdict}: without the tokens that it scores highest "
            f"the {self.measure} loses {_of_random(lost)} on average, and with them alone "
            f"{_of_random(alone)}."
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a point of the curves: the share, both curves, and those of random orders."""
        import pandas as pd

        columns = {"share": self.share, "deletion": self.deletion, "insertion": self.insertion}
        for name in ("deletion", "insertion"):
            drawn = getattr(self, f"random_{name}")
            columns[f"random_{name}"] = drawn.mean(0)
            columns[f"random_{name}_spread"] = drawn.std(0, ddof=1)
        return pd.DataFrame(columns)


def _of_random(found: Compared) -> str:
    return f"{found.value:.3g} (random orders: {found.mean:.3g} ± {found.spread:.2g})"
