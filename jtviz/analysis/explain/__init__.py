"""Explain a prediction of any model: what was predicted, by its task, and what it rests on."""

from .explain import all_explained, explained
from .explanation import Explanation
from .request import HYPOTHESIS, Request
from .tasks import TASKS, Task, task_named

__all__ = [
    "HYPOTHESIS",
    "TASKS",
    "Explanation",
    "Request",
    "Task",
    "all_explained",
    "explained",
    "task_named",
]
