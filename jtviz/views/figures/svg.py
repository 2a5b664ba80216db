"""Elements of an SVG as strings. Required: short, and the same for the same picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.sax.saxutils import quoteattr

from .colour import Rgb, hex_of
from .lettering import family, is_right_to_left, written

PLAIN = family()
RIGHT_TO_LEFT = 'style="unicode-bidi:plaintext"'


def number(value: float) -> str:
    """Return a number in at most two decimals."""
    said = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if said == "-0" else said


def element(name: str, /, *inside: str, **attributes: object) -> str:
    """Return an element; ``_`` in a name is ``-``, colours and numbers are written out, None is left out."""
    said = "".join(
        f" {key.strip('_').replace('_', '-')}={_value(value)}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{said}>{''.join(inside)}</{name}>" if inside else f"<{name}{said}/>"


def rect(x: float, y: float, width: float, height: float, /, **attributes: object) -> str:
    """Return a rectangle."""
    return element("rect", x=x or None, y=y or None, width=width, height=height, **attributes)


def text(x: float, y: float, said: str, size: float, colour: Rgb, /, **attributes: object) -> str:
    """Return a line of text; its baseline is at `y`."""
    families = family(said)
    start = element(
        "text", x=x, y=y, font_size=size, fill=colour,
        font_family=None if families == PLAIN else families, **attributes,
    )[:-2]  # fmt: skip
    bidi = f" {RIGHT_TO_LEFT}" if is_right_to_left(said) else ""
    return f"{start}{bidi}>{written(said)}</text>"


def group(inside: Iterable[str], x: float = 0, y: float = 0, **attributes: object) -> str:
    """Return elements together, moved."""
    place = f"translate({number(x)} {number(y)})" if x or y else None
    return element("g", "\n", "\n".join(inside), "\n", transform=place, **attributes)


def document(inside: Iterable[str], width: float, height: float, paper: Rgb, says: Mapping[str, str]) -> str:
    """Return a whole picture, its units points; `says` has its title and its description."""
    size = f"{number(width)}pt", f"{number(height)}pt"
    return element(
        "svg",
        "\n",
        *(element(name, written(words)) + "\n" for name, words in says.items()),
        rect(0, 0, width, height, fill=paper),
        "\n",
        "\n".join(inside),
        "\n",
        xmlns="http://www.w3.org/2000/svg",
        width=size[0],
        height=size[1],
        viewBox=f"0 0 {number(width)} {number(height)}",
        font_family=PLAIN,
        role="img",
        xml__space="preserve",
    ).replace("xml--space", "xml:space", 1)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f'"{hex_of(value)}"'
    if isinstance(value, float | int):
        return f'"{number(value)}"'
    return quoteattr(str(value))
