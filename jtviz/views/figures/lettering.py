"""Text of a figure: how wide it is, which fonts have it, which way it runs, and how it is written down.

Required: any string a tokenizer can make is well-formed XML and legible; nothing here needs a font, so
widths are those of DejaVu Sans, the widest common one, and boxes never come out too narrow.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from xml.sax.saxutils import escape

LATIN = ("Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans", "Noto Sans")
CHINESE = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Hiragino Sans",
    "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "WenQuanYi Zen Hei",
)  # fmt: skip
ARABIC = ("Noto Sans Arabic", "Geeza Pro", "Segoe UI", "Noto Naskh Arabic", "Noto Sans Hebrew")

_WIDTHS = {
    char: width
    for width, chars in {
        0.3: "' ,.IJijl", 0.36: "-/:;\\f|", 0.42: "!()[]rt", 0.47: '"', 0.53: "*_`sz", 0.57: "?Lc",
        0.61: "FPTYaekovxy", 0.65: "$0123456789EKSbdghnpqu{}", 0.7: "ABCRVXZ", 0.77: "DGHNU", 0.8: "&OQw",
        0.85: "#+<=>M^~", 1.0: "%mW@",
    }.items()
    for char in chars
}  # fmt: skip
_OTHER = 0.64
# XML 1.0 has no way to write these.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_WHITE = {"\t": "→", "\n": "⏎", "\r": "⏎"}


def family(text: str = "") -> str:
    """Return the font families for a text: those that have all of it first.

    A reader of SVG may take the first font that has any of the text for all of it.
    """
    if any(unicodedata.east_asian_width(char) in "WF" for char in text):
        return ", ".join((*CHINESE, *LATIN, "sans-serif"))
    if is_right_to_left(text):
        return ", ".join((*ARABIC, *LATIN, "sans-serif"))
    return ", ".join((*LATIN, *CHINESE, *ARABIC, "sans-serif"))


@lru_cache(maxsize=65536)
def width(text: str, size: float) -> float:
    """Return about how wide a text is, rather more than less."""
    return size * sum(_width(char) for char in text)


def clip(text: str, size: float, room: float) -> str:
    """Shorten a text that is wider than `room`, with an ellipsis."""
    if width(text, size) <= room:
        return text
    kept = text
    while kept and width(kept + "…", size) > room:
        kept = kept[:-1]
    return kept + "…"


def wrap(text: str, size: float, room: float) -> list[str]:
    """Break a text into lines at its spaces, and where a word alone is wider than a line, in it."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if width(longer, size) <= room:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while width(line, size) > room and len(line) > 1:
            cut = next(i for i in range(len(line), 0, -1) if i == 1 or width(line[:i], size) <= room)
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line] if line else lines


def is_right_to_left(text: str) -> bool:
    """Return whether a text runs from right to left, by its first letter that says so."""
    for char in text:
        direction = unicodedata.bidirectional(char)
        if direction in {"R", "AL"}:
            return True
        if direction == "L":
            return False
    return False


def written(text: str) -> str:
    """Return a text as XML has it: markup escaped, and a sign for what XML cannot say."""
    return escape(_FORBIDDEN.sub(_sign, "".join(_WHITE.get(char, char) for char in text)))


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "�"


def _width(char: str) -> float:
    if char in _WIDTHS:
        return _WIDTHS[char]
    if unicodedata.east_asian_width(char) in "WF" or unicodedata.category(char) == "So":
        return 1.0
    return 0.0 if unicodedata.category(char) in {"Mn", "Me", "Cf"} else _OTHER
