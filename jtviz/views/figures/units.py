"""A figure of the feed-forward units that a token sets off most: a bar for each.

Twin: js/src/layers/neurons-units.ts.

Required: every bar with its number, and how often its unit is as strong at other tokens.
"""

from __future__ import annotations

from jtviz.analysis.layers.units import StrongestUnits

from . import svg
from .colour import Theme, ramp, ramp_against
from .part import SMALL, TOKEN, Part, Swatches
from .words import number

NAME = 62.0
PLOT = 220.0
NUMBER = 56.0
OFTEN = 74.0
WIDE = NAME + PLOT + NUMBER + OFTEN
ROW = 15.0


def unit_bars(found: StrongestUnits, look: Theme) -> Part:
    """Draw the units that are set off at all."""
    rows = [row for row in zip(found.units, found.values, found.shares, strict=True) if row[1] != 0]
    low, high = min([0.0, *(row[1] for row in rows)]), max([0.0, *(row[1] for row in rows)])
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return NAME + (value - low) / span * PLOT

    up, down = (of(look.paper, None, dark=look.dark)[144] for of in (ramp, ramp_against))
    after = NAME + PLOT + NUMBER
    marks = [
        svg.text(0, 8, "unit", SMALL, look.soft),
        svg.text(NAME, 8, "activation", SMALL, look.soft),
        svg.text(WIDE, 8, "also strong at", SMALL, look.soft, text_anchor="end"),
    ]
    for n, (unit, value, share) in enumerate(rows, 1):
        y = n * ROW
        left, right = sorted((at(0), at(value)))
        marks += [
            svg.text(0, y + 8, f"{unit:,}", TOKEN, look.ink),
            svg.rect(left, y, max(0.6, right - left), ROW - 5, rx=1, fill=up if value > 0 else down),
            svg.text(after, y + 8, number(value), TOKEN, look.ink, text_anchor="end"),
            svg.text(WIDE, y + 8, percent(share), TOKEN, look.soft, text_anchor="end"),
        ]
    height = (len(rows) + 1) * ROW
    marks.append(svg.rect(at(0) - 0.3, ROW - 3, 0.6, height - ROW + 1, fill=look.soft))
    signs = Swatches(((up, "above zero"), (down, "below zero")), "bars")
    return Part(marks, WIDE, height - 2, [signs] if low < 0 else [], indent=0)


def percent(share: float) -> str:
    """Return a share as it is written everywhere."""
    is_small = 0 < share < 0.095
    return f"{100 * share:#.2g} %" if is_small else f"{100 * share:.0f} %"
