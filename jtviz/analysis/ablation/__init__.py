"""Switch parts of a model off, and see what it loses on one text."""

from .again import Again
from .effect import HONEST, Effect, Part, Together
from .moved import moved
from .pieces import pieces
from .says import Question, Said
from .session import Ablating

__all__ = ["HONEST", "Ablating", "Again", "Effect", "Part", "Question", "Said", "Together", "moved", "pieces"]
