"""What a prediction rests on: attribution to tokens, and how far it can be trusted."""

from .attribute import attribute, targets_of
from .attribution import TOLERANCE, Attribution, method_named, together
from .baselines import BASELINES
from .cost import MEMORY
from .how import How, checked_how
from .methods import METHODS, Method
from .session import Session, opened

__all__ = [
    "BASELINES", "MEMORY", "METHODS", "TOLERANCE", "Attribution", "How", "Method", "Session", "attribute",
    "checked_how", "method_named", "opened", "targets_of", "together",
]  # fmt: skip
