"""How much of a model is needed: measured over a data set."""

from .curve import PruningCurve, pruning_curve
from .importance import head_importance
from .interactions import Interactions, interactions
from .result import METHODS, HeadImportance, Number

__all__ = [
    "METHODS",
    "HeadImportance",
    "Interactions",
    "Number",
    "PruningCurve",
    "head_importance",
    "interactions",
    "pruning_curve",
]
