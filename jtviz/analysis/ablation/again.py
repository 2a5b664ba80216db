"""Take the explanation of a prediction again without some parts, and compare the two.

Required: the same number, method and baseline; the two are scored on the same tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jtviz.analysis.attribution import Attribution
from jtviz.capture.intervention.ablation import Mask

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Again:
    """Two attributions of one number.

    Attributes
    ----------
    mask : Mask
        What is off in the second.
    intact, ablated : Attribution
        Of the intact model, and of the ablated one.
    """

    mask: Mask
    intact: Attribution
    ablated: Attribution

    @property
    def correlation(self) -> float | None:
        """Spearman's rank correlation of the scores; None where either says the same of all tokens."""
        from scipy.stats import spearmanr

        one, other = (np.concatenate(list(part.scores.values())) for part in (self.intact, self.ablated))
        if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
            return None
        return float(spearmanr(one, other).statistic)

    @property
    def sides(self) -> Mapping[str, tuple[tuple[str, ...], np.ndarray, np.ndarray]]:
        """For each side its tokens, and the scores of each."""
        return {
            side: (tokens.text, self.intact.scores[side], self.ablated.scores[side])
            for side, tokens in self.intact.tokens.items()
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a token: side, index, token, score of the intact model and of the ablated one."""
        import pandas as pd

        rows = [
            (side, i, token, float(intact[i]), float(ablated[i]))
            for side, (text, intact, ablated) in self.sides.items()
            for i, token in enumerate(text)
        ]
        return pd.DataFrame(rows, columns=["side", "index", "token", "intact", "ablated"])
