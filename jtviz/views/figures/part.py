"""What each way of drawing leaves: its elements, their size, and what is to be said below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .colour import Rgb

TOKEN = 9.0
"""Points of a token's text, and of the titles of axes and legends."""
SMALL = 8.0


@dataclass(frozen=True)
class Bar:
    """A colour bar: the stops from left to right, and numbers or words at shares of its length."""

    stops: tuple[Rgb, ...]
    ticks: tuple[tuple[float, str], ...]
    words: str


@dataclass(frozen=True)
class Swatches:
    """Colours of heads, each with its name."""

    colours: tuple[tuple[Rgb, str], ...]
    words: str


@dataclass(frozen=True)
class Part:
    """A drawn picture, its corner at the origin."""

    marks: list[str]
    width: float
    height: float
    legend: Sequence[Bar | Swatches] = ()
    words: Sequence[str] = ()
    """Sentences for the caption."""
    indent: float = 0.5
    """Where it stands in a wider figure: 0 is left, 1 is right."""
