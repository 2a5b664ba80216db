"""From a trace to numbers: pure functions that return small data classes, with no browser in sight."""

from .alignment import Alignment, align
from .heads import LEAST, MEASURES, FoundHead, HeadMeasures, find_heads, head_measures
from .scores import RepeatScores, repeat_scores
from .through import LONGEST, Relevance, relevance, rollout
from .weighted import WEIGHTINGS, weighted

__all__ = [
    "LEAST",
    "LONGEST",
    "MEASURES",
    "WEIGHTINGS",
    "Alignment",
    "FoundHead",
    "HeadMeasures",
    "Relevance",
    "RepeatScores",
    "align",
    "find_heads",
    "head_measures",
    "relevance",
    "repeat_scores",
    "rollout",
    "weighted",
]
