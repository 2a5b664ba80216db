"""A token of a figure: its text, and the box behind it. Required: the same token is drawn the same."""

from __future__ import annotations

from dataclasses import dataclass

from . import svg
from .colour import Rgb, ink_on
from .lettering import clip, width
from .look import Look

FAINT = 0.45
"""Opacity of what is left out as key."""


@dataclass(frozen=True)
class Label:
    """A token to be drawn: whose, what it says, at most how wide, and its shade."""

    role: str
    index: int
    said: str
    size: float
    shade: Rgb | None = None

    @classmethod
    def of(
        cls, look: Look, role: str, index: int, *, size: float, room: float, shade: Rgb | None = None
    ) -> Label:
        """Return the label of a query or key, shortened to its room."""
        return cls(role, index, clip(look.labels[role][index], size, room), size, shade)

    @property
    def width(self) -> float:
        """About how wide its text is."""
        return width(self.said, self.size)

    def text(self, look: Look, x: float, y: float, anchor: str, **more: object) -> str:
        """Return its text, its middle at height `y`."""
        is_special = look.is_special(self.role, self.index)
        colour = look.theme.soft if is_special else look.theme.ink
        if self.shade is not None and self.shade != look.theme.paper:
            colour = ink_on(self.shade)
        is_hidden = self.role == "key" and look.is_hidden(self.index)
        return svg.text(
            x,
            y + 0.36 * self.size,
            self.said,
            self.size,
            colour,
            text_anchor=anchor,
            font_style="italic" if is_special else None,
            text_decoration="underline" if self.index in look.marks[self.role] else None,
            opacity=FAINT if is_hidden else None,
            data_side=self.role,
            data_index=str(self.index),
            **more,
        )

    def box(self, look: Look, x: float, y: float, wide: float, high: float) -> list[str]:
        """Return the box behind it, if it is shaded or pinned."""
        marks = []
        if self.shade is not None and self.shade != look.theme.paper:
            marks.append(svg.rect(x, y, wide, high, rx=2, fill=self.shade))
        is_pinned = look.pin(self.role) == self.index
        if is_pinned or look.focus(self.role) == self.index:
            marks.append(
                svg.rect(
                    x + 0.5,
                    y + 0.5,
                    wide - 1,
                    high - 1,
                    rx=2,
                    fill="none",
                    stroke=look.theme.accent,
                    stroke_width=1.2 if is_pinned else 0.8,
                )
            )
        return marks
