"""Figures of a view, drawn in Python: vectors for a paper, pixels for a page without widgets."""

from .colour import THEMES
from .figure import as_png, as_svg, glance, look_at
from .strip import strip_png, strip_svg

__all__ = ["THEMES", "as_png", "as_svg", "glance", "look_at", "strip_png", "strip_svg"]
