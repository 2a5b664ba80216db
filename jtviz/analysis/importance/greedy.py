"""The order in which heads can go: after each, those that are left are measured again.

Required: heads that back each other up are not taken for useless one after the other: once some are gone, the
others are worth what they are worth then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jtviz.capture.intervention.ablation import Mask
from jtviz.capture.intervention.means import Means

from ..attribution.progress import Progress
from .opened import Numbers, Opened
from .spread import drops

if TYPE_CHECKING:
    from .metrics import Metric


def greedy(
    session: Opened, metric: Metric, means: Means | None, seed: int, progress: Progress
) -> tuple[Numbers, Numbers]:
    """Return how much worse the metric is when each head goes, and the standard error of that.

    In each round every head that is left is switched off beside those that are gone, and the one without
    which the metric is best goes, too. A number is of all that are gone by then, and never less than that of
    the head before: sorted by it, heads are in the order in which they went.

    Parameters
    ----------
    session : Opened
        The open model.
    metric : Metric
        What is measured.
    means : Means or None
        What stands in.
    seed : int
        Of the bootstrap.
    progress : Progress
        Told of each example and mask.
    """
    heads = session.heads
    values, errors = np.zeros(len(heads)), np.zeros(len(heads))
    gone: list[int] = []
    least = -np.inf
    while len(gone) < len(heads):
        left = [i for i in range(len(heads)) if i not in gone]
        masks = [Mask(heads=tuple(heads[i] for i in (*gone, one))) for one in left]
        intact, ablated = session.measure(metric, masks, means, progress)
        dropped = drops(metric, intact, ablated, seed)
        best = int(np.argmin(dropped.means))
        head = left[best]
        # Just above the one before, where rounding or luck would put it below.
        least = max(float(dropped.means[best]), float(np.nextafter(least, np.inf)))
        values[head], errors[head] = least, dropped.errors()[best]
        gone.append(head)
    return values, errors


def examples_in(session: Opened) -> int:
    """Return how many examples are run through the model for it, one by one."""
    heads = len(session.heads)
    return len(session.examples) * sum(left + 1 for left in range(1, heads + 1))
