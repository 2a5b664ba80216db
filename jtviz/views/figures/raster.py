"""Pixels: a picture of numbers as PNG, and a drawn SVG as PNG."""

from __future__ import annotations

import re
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np

from jtviz.capture import JtvizError

from . import svg
from .colour import THEMES

# Marks that make a text run by its own first letter, for a rasteriser that knows `unicode-bidi` not.
_ISOLATED = re.compile(rf"({re.escape(svg.RIGHT_TO_LEFT)}[^>]*>)([^<]*)(</text>)")


def png_of(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """Return ``[rows, columns, 3]`` as a PNG file."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def rasterised(drawn: str, scale: float) -> bytes:
    """Return an SVG as PNG, `scale` pixels to a CSS pixel.

    Raises
    ------
    JtvizError
        If this computer has none of the fonts, so that there would be no word in it.
    """
    if not _has_letters():
        raise JtvizError(
            "no font was found on this computer, so a PNG would have no words: save as .svg, or install a "
            "font (fonts-dejavu, for example)."
        )
    return _png(_ISOLATED.sub("\\1\u2067\\2\u2069\\3", drawn), scale)


@cache
def _has_letters() -> bool:
    paper = THEMES["light"].paper
    blank, written = (
        svg.document([svg.text(2, 12, said, 9, (0, 0, 0))], 40, 16, paper, {}) for said in (" ", "Attention")
    )
    return _png(blank, 1) != _png(written, 1)


def _png(drawn: str, scale: float) -> bytes:
    # Imported here: the font book is read at import.
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=drawn, zoom=scale, dpi=96))
