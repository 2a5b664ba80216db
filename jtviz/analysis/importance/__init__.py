"""How much of a model is needed: measured over a data set."""

from .importance import head_importance
from .result import METHODS, HeadImportance, Number

__all__ = ["METHODS", "HeadImportance", "Number", "head_importance"]
