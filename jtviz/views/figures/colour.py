"""Colours of heads and weights, as in the browser. Twin: js/src/core/colour.ts.

Required: the same red, green and blue as there, to the last digit; a ramp is even to the eye (OKLab,
https://bottosson.github.io/posts/oklab/).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

Lab = tuple[float, float, float]
Rgb = tuple[int, int, int]

HUES = (255, 55, 160, 350, 95, 215, 305, 25)
LIGHT = (0.55, 0.66, 0.44)
DARK = (0.74, 0.85, 0.63)
AGAINST = 150
"""How far the hue of negative weights is turned."""


@dataclass(frozen=True)
class Theme:
    """Colours of paper, ink, secondary ink, lines and what is pinned."""

    paper: Rgb
    ink: Rgb
    soft: Rgb
    line: Rgb
    accent: Rgb
    dark: bool


THEMES = {
    "light": Theme((255, 255, 255), (28, 28, 28), (92, 92, 92), (208, 208, 208), (25, 118, 210), dark=False),
    "dark": Theme((17, 17, 17), (232, 232, 232), (168, 168, 168), (72, 72, 72), (100, 181, 246), dark=True),
}


def hex_of(colour: Rgb) -> str:
    """Return a colour as ``#rrggbb``, which every reader of SVG knows."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def to_rgb(lab: Lab) -> Rgb:
    """Return an OKLab colour as 8-bit sRGB."""
    l, a, b = lab  # noqa: E741 - its name in the formula
    x = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3
    y = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3
    z = (l - 0.0894841775 * a - 1.291485548 * b) ** 3
    return (
        _gamma(4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z),
        _gamma(-1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z),
        _gamma(-0.0041960863 * x - 0.7034186147 * y + 1.707614701 * z),
    )


def to_lab(colour: Rgb) -> Lab:
    """Return an 8-bit sRGB colour in OKLab."""
    r, g, b = (_linear(part) for part in colour)
    l = math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)  # noqa: E741 - (as above)
    m = math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
    s = math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
    return (
        0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
        1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
        0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
    )


def head_colour(head: int, *, dark: bool) -> Rgb:
    """Return the colour of one head."""
    lightness = (DARK if dark else LIGHT)[head // len(HUES) % len(LIGHT)]
    return to_rgb(_from_lch(lightness, 0.13, HUES[head % len(HUES)]))


@cache
def ramp(background: Rgb, head: int | None, *, dark: bool) -> tuple[Rgb, ...]:
    """Return 256 colours from the background to the deepest of one head, or of several together."""
    return _ramp(background, _hue(head), dark=dark)


@cache
def ramp_against(background: Rgb, head: int | None, *, dark: bool) -> tuple[Rgb, ...]:
    """Return 256 colours from the background to the deepest of negative weights."""
    return _ramp(background, _hue(head) + AGAINST, dark=dark)


def shade(colours: tuple[Rgb, ...], strength: float) -> Rgb:
    """Return the colour of a strength between 0 and 1."""
    return colours[step_of(strength)]


def step_of(strength: float) -> int:
    """Return the place of a strength on a ramp; halves go up, as in JavaScript."""
    return math.floor(255 * max(0.0, min(1.0, strength)) + 0.5)


def ink_on(colour: Rgb) -> Rgb:
    """Return black or white, whichever reads better on a colour."""
    return (17, 17, 17) if to_lab(colour)[0] > 0.64 else (255, 255, 255)


def _ramp(background: Rgb, hue: float, *, dark: bool) -> tuple[Rgb, ...]:
    start = to_lab(background)
    end = _from_lch(0.88, 0.12, hue) if dark else _from_lch(0.36, 0.13, hue)
    return tuple(
        to_rgb(
            (
                start[0] + (end[0] - start[0]) * i / 255,
                start[1] + (end[1] - start[1]) * i / 255,
                start[2] + (end[2] - start[2]) * i / 255,
            )
        )
        for i in range(256)
    )


def _hue(head: int | None) -> int:
    return HUES[0] if head is None else HUES[head % len(HUES)]


def _from_lch(lightness: float, chroma: float, degrees: float) -> Lab:
    angle = degrees * math.pi / 180
    return lightness, chroma * math.cos(angle), chroma * math.sin(angle)


def _gamma(u: float) -> int:
    v = 12.92 * u if u <= 0.0031308 else 1.055 * u ** (1 / 2.4) - 0.055
    return math.floor(255 * max(0.0, min(1.0, v)) + 0.5)


def _linear(part: int) -> float:
    u = part / 255
    return u / 12.92 if u <= 0.04045 else ((u + 0.055) / 1.055) ** 2.4
