"""An explanation as HTML: tokens shaded by their scores, what was explained, and how far it can be trusted.

Required: no script, no style sheet, no network; whatever comes from a reader, a tokenizer or a model is text;
numbers are Python's own (`np.float64` in a style is no colour); zero has no colour, and the sign is told by
hue and, for whoever sees none, by a minus.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ..attribution.attribution import Attribution
from ..attribution.units import Unit, checked_unit

if TYPE_CHECKING:
    from .explanation import Explanation

FOR, AGAINST = (66, 105, 208), (194, 120, 28)
"""For and against what is explained: the blue and the orange of the bars, apart in lightness too."""
STRONGEST = 0.75
"""Opacity of the strongest score: ink stays readable on it, on light and dark paper."""

_SCALES = {"logit": "logit", "log_prob": "log-probability", "prob": "probability", "loss": "loss"}
_SIDES = {"encoder": "read", "decoder": "written before"}
_SMALL = "font-size:12px;opacity:.8"


def html(found: Explanation, *, unit: Unit, normalise: bool, annotate: bool) -> str:
    """Return the page; see `Explanation.to_html`."""
    checked_unit(unit)
    parts = []
    for number, (name, part) in enumerate(zip(found.names, found.parts, strict=True)):
        parts.append(_part(name, part, unit, found.columns, normalise=normalise, annotate=annotate))
        if found.trust is not None:
            faith = found.trust[number].faithfulness
            is_fine = faith is not None and (faith.beats_random or faith.is_too_short)
            weight = "" if is_fine else ";font-weight:bold"
            # The first sentence is about the sum, which is said already.
            said = found.trust[number].sentences[1:]
            parts.append("".join(f'<div style="{_SMALL}{weight}">{escape(one)}</div>' for one in said))
    if not found.parts:
        parts.append(f'<div style="{_SMALL}">Name what to explain with target=.</div>')
    title = f"{escape(found.task)}: <b>{escape(found.prediction)}</b>"
    return (
        '<div style="font:13px/1.5 system-ui,sans-serif;max-width:72em">'
        f"<div>{title}</div>{''.join(parts)}</div>"
    )


def _part(
    name: str, part: Attribution, unit: Unit, columns: int | None, *, normalise: bool, annotate: bool
) -> str:
    sides = {side: _labelled(part, side, unit) for side in part.tokens}
    full = max((abs(score) for _, scores in sides.values() for score in scores), default=0.0)
    scale = _SCALES.get(part.score.target.output, "its own scale")
    unit_of = f"as shares of the strongest {scale}" if normalise else f"in {scale}"
    by = full if normalise and full else 1.0
    strips = []
    for side, (texts, scores) in sides.items():
        head = f'<div style="{_SMALL}">{_SIDES[side]}</div>' if len(sides) > 1 else ""
        cells = []
        for i, (text, score) in enumerate(zip(texts, scores, strict=True)):
            special = part.tokens[side].special
            grid = columns is not None and unit == "token"
            before = sum(special) if grid else 0
            if grid and columns and i >= before and (i - before) % columns == 0:
                cells.append("<br>")
            cells.append(_cell(text, score, full, by, annotate=annotate))
        strips.append(f'{head}<div style="line-height:2.1">{" ".join(cells)}</div>')
    chance = part.score.probability
    facts = [f"{part.score.words} = {_number(part.score.value)}"]
    if chance is not None:
        facts.append(f"probability {chance:.1%}")
    facts.append(part.method.label)
    if part.baseline is not None:
        facts.append(f"baseline “{part.baseline}” = {_number(part.baseline_value)}")
    if part.n_steps is not None:
        facts.append(f"{part.n_steps} points")
    return (
        f'<div style="margin-top:8px"><b>{escape(name)}</b> '
        f'<span style="{_SMALL}">{escape(" · ".join(facts))}</span></div>'
        f"{''.join(strips)}{_legend(full / by, unit_of, is_signed=part.method.is_signed)}{_worth(part)}"
    )


def _labelled(part: Attribution, side: str, unit: Unit) -> tuple[Sequence[str], list[float]]:
    """Return the units of a side as they stand in the text, with their scores."""
    units = part.by_unit(unit)[side]
    return units.names, [float(score) for score in units.scores]


def _cell(text: str, score: float, full: float, by: float, *, annotate: bool) -> str:
    said = _number(score / by)
    below = f'<span style="font-size:10px;opacity:.8"> {said}</span>' if annotate else ""
    style = f"background:{_colour(score, full)};padding:2px 3px;border-radius:3px;white-space:pre-wrap"
    return f'<span style="{style}" title="{escape(f"{text}: {said}")}">{escape(text)}{below}</span>'


def _colour(score: float, full: float) -> str:
    red, green, blue = FOR if score > 0 else AGAINST
    opacity = STRONGEST * abs(score) / full if full else 0.0
    return f"rgba({red},{green},{blue},{opacity:.3f})"


def _legend(full: float, unit: str, *, is_signed: bool) -> str:
    ends = (-1.0, -0.5, 0.0, 0.5, 1.0) if is_signed else (0.0, 0.5, 1.0)
    cells = "".join(
        f'<span style="background:{_colour(end, 1.0)};padding:1px 6px">{_number(end * full)}</span>'
        for end in ends
    )
    words = "against … for" if is_signed else "how much, without a sign"
    return f'<div style="{_SMALL}">{cells} {words}, {escape(unit)}</div>'


def _worth(part: Attribution) -> str:
    """Say how far the scores are from their sum, never hidden when it is bad."""
    notes = [escape(note) for note in part.notes]
    if part.relative_delta is None or part.delta is None:
        said = f"{escape(part.method.label)} promises no sum of its scores"
    else:
        verdict = "complete" if part.is_complete else "not complete"
        said = f"the sum is off by {_number(part.delta)} ({part.relative_delta:.1%}): {verdict}"
    weight = "" if part.is_complete else ";font-weight:bold"
    return f'<div style="{_SMALL}{weight}">{"; ".join([said, *notes])}</div>'


def _number(value: float | None) -> str:
    """Return a number as it is written, with a minus for negative ones."""
    return "?" if value is None else f"{float(value):.3g}".replace("-", "−")
