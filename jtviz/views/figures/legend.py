"""What colours stand for, beneath the picture."""

from __future__ import annotations

from . import svg
from .colour import Theme
from .lettering import width, wrap
from .look import Look, Member
from .part import SMALL, Bar, Swatches
from .shades import weight_at
from .words import number

LINE = 11.0
BAR = 110.0
SWATCH = 9.0


def swatches(look: Look) -> Swatches:
    """Return the colour of each head."""
    layers = {member.layer for member in look.members}
    return Swatches(
        tuple((member.colour, _name(member, many=len(layers) > 1)) for member in look.members),
        "layer" if look.members[0].head is None else "layer.head" if len(layers) > 1 else "head",
    )


def bar(look: Look, full: float | None, least: float, words: str) -> Bar:
    """Return the colour bar; `full` is None where each row has its own full colour."""
    scale = look.settings["scale"]
    is_signed = least < 0
    stops = tuple(look.ramp[round(i * 255 / 16)] for i in range(17))
    if is_signed:
        stops = (*(look.ramp_against[round(i * 255 / 16)] for i in range(16, 0, -1)), *stops)

    def at(strength: float) -> str:
        if full is None:
            return "0" if strength == 0 else "row’s largest" if strength > 0 else ""
        if scale == "rank":
            return {0.0: "0", 0.5: "median", 1.0: "largest"}.get(strength, "")
        value = weight_at(abs(strength), scale, full) or 0.0
        return ("−" if strength < 0 else "") + number(value)

    marks = (-1.0, 0.0, 1.0) if is_signed else (0.0, 0.5, 1.0) if full is not None else (0.0, 1.0)
    ticks = tuple(((m + 1) / 2 if is_signed else m, at(m)) for m in marks)
    scales = {"sqrt": ", square-root scale", "log": ", logarithmic scale", "rank": ", by rank"}
    return Bar(stops, ticks, words + scales.get(scale, ""))


def drawn(theme: Theme, part: Bar | Swatches, room: float, name: str) -> tuple[list[str], float]:
    """Return the elements of a legend at the origin, and how high it is."""
    return _bar(theme, part, room, name) if isinstance(part, Bar) else _swatches(theme, part, room)


def _name(member: Member, *, many: bool) -> str:
    if member.head is None:
        return str(member.layer)
    return f"{member.layer}.{member.head}" if many else str(member.head)


def _swatches(theme: Theme, part: Swatches, room: float) -> tuple[list[str], float]:
    marks = [svg.text(0, 8, part.words, SMALL, theme.soft)]
    indent = width(part.words, SMALL) + 6
    x, y = indent, 0.0
    for colour, name in part.colours:
        wide = SWATCH + 3 + width(name, SMALL) + 8
        if x + wide - 8 > room and x > indent:
            x, y = indent, y + LINE + 2
        marks.append(svg.rect(x, y, SWATCH, SWATCH, rx=2, fill=colour))
        marks.append(svg.text(x + SWATCH + 3, y + 8, name, SMALL, theme.ink))
        x += wide
    return marks, y + LINE


def _bar(theme: Theme, part: Bar, room: float, name: str) -> tuple[list[str], float]:
    last = len(part.stops) - 1
    stops = [
        svg.element("stop", offset=f"{100 * i / last:.4g}%", stop_color=colour)
        for i, colour in enumerate(part.stops)
    ]
    marks = [
        svg.element("linearGradient", *stops, id=name),
        svg.rect(0.3, 0.3, BAR, 7, fill=f"url(#{name})", stroke=theme.line, stroke_width=0.6),
    ]  # fmt: skip
    for share, said in part.ticks:
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        marks.append(svg.text(share * BAR, 17, said, SMALL, theme.ink, text_anchor=anchor))
    lines = wrap(part.words, SMALL, max(80.0, room - BAR - 10))
    marks += [svg.text(BAR + 10, 7.5 + n * LINE, line, SMALL, theme.soft) for n, line in enumerate(lines)]
    return marks, max(19.0, 8 + LINE * (len(lines) - 1))
