"""How far an attribution can be trusted: what the prediction rests on, and what it depends on.

Faithfulness takes tokens away, sensitivity changes the baseline, agreement the method, and randomisation the
model.
"""

from .agreement import Agreement, agreement
from .bundle import Trust, trust
from .curves import Compared
from .faithfulness import Faithfulness
from .randomisation import Randomisation, randomisation
from .sensitivity import Sensitivity, baseline_sensitivity
from .taking_away import faithfulness

__all__ = [
    "Agreement", "Compared", "Faithfulness", "Randomisation", "Sensitivity", "Trust", "agreement",
    "baseline_sensitivity", "faithfulness", "randomisation", "trust",
]  # fmt: skip
