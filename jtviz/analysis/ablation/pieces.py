"""Two texts side by side, cut where they differ."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

Piece = tuple[str, str]
"""``"same"``, ``"gone"`` or ``"new"``, and the text."""


def pieces(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """Return two texts in pieces, and which of them the other does not have.

    Cut at words where there are spaces, else at characters.

    Examples
    --------
    >>> pieces("我喜欢喝茶。", "我喝茶。")[0]
    [('same', '我'), ('gone', '喜欢'), ('same', '喝茶。')]
    """
    a, b = _cut(one), _cut(other)
    left: list[Piece] = []
    right: list[Piece] = []
    for tag, i, j, k, n in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if i < j:
            left.append(("same" if tag == "equal" else "gone", "".join(a[i:j])))
        if k < n:
            right.append(("same" if tag == "equal" else "new", "".join(b[k:n])))
    return left, right


def _cut(text: str) -> Sequence[str]:
    words = text.split(" ")
    if len(words) < 2:
        return list(text)
    return [word if i == 0 else f" {word}" for i, word in enumerate(words)]
