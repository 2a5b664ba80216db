"""A figure of direct logits: bars that start where the one before ended.

Twin: js/src/layers/direct-waterfall.ts.

Required: every bar with its number; the last is the logit, which those above it sum to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from jtviz.analysis.layers.waterfall import Step

from . import svg
from .colour import Theme, ramp, ramp_against
from .lettering import clip
from .part import TOKEN, Part, Swatches

NAME = 186.0
PLOT = 260.0
NUMBER = 52.0
WIDE = NAME + PLOT + 2 * NUMBER
ROW = 15.0


def waterfall(steps: Sequence[Step], total: tuple[str, float], look: Theme) -> Part:
    """Draw a waterfall.

    Parameters
    ----------
    steps : sequence of Step
        The bars.
    total : (str, float)
        What they sum to, in words and as a number.
    look : Theme
        The colours.
    """
    ends = [0.0, total[1], *(step.end for step in steps)]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0
    digits = digits_of(span)

    def at(value: float) -> float:
        return NAME + (value - low) / span * PLOT

    height = (len(steps) + 2) * ROW
    marks = [
        _row(look, 0, "part", "adds", "so far", soft=True),
        svg.rect(at(0), ROW, 0.6, height - ROW, fill=look.soft),
    ]
    for n, step in enumerate(steps, 1):
        y = n * ROW
        colours = (ramp_against if step.value < 0 else ramp)(look.paper, None, dark=look.dark)
        left, right = sorted((at(step.start), at(step.end)))
        marks.append(svg.rect(left, y + 3, max(0.6, right - left), ROW - 6, fill=colours[128]))
        marks.append(svg.rect(at(step.end) - 0.25, y + ROW - 3, 0.5, 6, fill=look.soft))
        marks.append(
            _row(look, y, step.name, _number(step.value, digits, sign="+"), _number(step.end, digits))
        )
    y = (len(steps) + 1) * ROW
    left, right = sorted((at(0), at(total[1])))
    marks.append(svg.rect(0, y, WIDE, 0.6, fill=look.line))
    marks.append(svg.rect(left, y + 3, max(0.6, right - left), ROW - 6, fill=look.soft))
    marks.append(_row(look, y, total[0], "", _number(total[1], digits)))
    kinds = ((ramp, "adds"), (ramp_against, "takes away"))
    swatches = tuple((of(look.paper, None, dark=look.dark)[128], said) for of, said in kinds)
    return Part(marks, WIDE, height, [Swatches((*swatches, (look.soft, "all together")), "bars")], indent=0)


def _row(look: Theme, y: float, name: str, adds: str, so_far: str, *, soft: bool = False) -> str:
    ink = look.soft if soft else look.ink
    cells = [
        svg.text(0, 11, clip(name, TOKEN, NAME - 8), TOKEN, ink),
        svg.text(WIDE - NUMBER, 11, adds, TOKEN, ink, text_anchor="end"),
        svg.text(WIDE, 11, so_far, TOKEN, look.soft, text_anchor="end"),
    ]
    return svg.group(cells, 0, y)


def digits_of(span: float) -> int:
    """Return how many decimals numbers have that are read on a scale so long."""
    return max(2, min(6, 2 - math.floor(math.log10(span / 5))))


def _number(value: float, digits: int, sign: str = "-") -> str:
    said = format(value, f"{sign}.{digits}f")
    nought = f"{0:.{digits}f}"
    return ("+" * (sign == "+") + nought) if said.strip("+-") == nought else said.replace("-", "−")
