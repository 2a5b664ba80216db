"""From a trace to numbers: pure functions that return small data classes, with no browser in sight."""

from .alignment import Alignment, align
from .attribution import METHODS, Attribution, Method, attribute
from .explain import TASKS, Explanation, Task
from .heads import LEAST, MEASURES, FoundHead, HeadMeasures, find_heads, head_measures
from .products import Products, products
from .scores import RepeatScores, repeat_scores
from .through import LONGEST, Relevance, relevance, rollout
from .weighted import WEIGHTINGS, weighted
from .words import WordAttention, by_words

__all__ = [
    "LEAST",
    "LONGEST",
    "MEASURES",
    "METHODS",
    "TASKS",
    "WEIGHTINGS",
    "Alignment",
    "Attribution",
    "Explanation",
    "FoundHead",
    "HeadMeasures",
    "Method",
    "Products",
    "Relevance",
    "RepeatScores",
    "Task",
    "WordAttention",
    "align",
    "attribute",
    "by_words",
    "find_heads",
    "head_measures",
    "products",
    "relevance",
    "repeat_scores",
    "rollout",
    "weighted",
]
