"""What a prediction rests on: attribution to tokens, and how far it can be trusted."""

from .attribute import attribute, opened
from .attribution import TOLERANCE, Attribution
from .baselines import BASELINES
from .cost import MEMORY
from .methods import METHODS, Method

__all__ = [
    "BASELINES", "MEMORY", "METHODS", "TOLERANCE", "Attribution", "Method", "attribute", "opened",
]  # fmt: skip
