"""From a trace to numbers: pure functions that return small data classes, with no browser in sight."""

from .alignment import Alignment, align
from .scores import RepeatScores, repeat_scores

__all__ = ["Alignment", "RepeatScores", "align", "repeat_scores"]
