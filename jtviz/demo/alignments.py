"""Sentence pairs aligned by hand, and how often a translator's cross attention agrees with them.

Required: a pair that says something impossible is refused with its line, so that a slip of the hand
never becomes a figure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jtviz.analysis import align
from jtviz.capture import HookedTransformer
from jtviz.tokens.errors import JtvizError

Span = tuple[int, int]


@dataclass(frozen=True)
class AlignedPair:
    """A sentence, its translation, and what its words were made from.

    Attributes
    ----------
    english, chinese : str
        The two sentences.
    links : tuple of (Span, tuple of Span)
        For each aligned Chinese word its characters, and those of the English words of which any is right.
    """

    english: str
    chinese: str
    links: tuple[tuple[Span, tuple[Span, ...]], ...]


def read_alignments(path: Path) -> list[AlignedPair]:
    """Read a file of hand-aligned pairs.

    Each line holds English, tab, Chinese, tab, links separated by spaces, in the order of the Chinese:
    ``喝=drink``, or ``我=I|my`` where either is right. Lines that start with ``#`` are comments.

    Raises
    ------
    JtvizError
        If a line has not three parts, a word is not in its sentence, or an English word is there more
        than once.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_pair(line) for line in lines if line and not line.startswith("#")]


def _pair(line: str) -> AlignedPair:
    parts = line.split("\t")
    if len(parts) != 3:
        raise JtvizError(f"a line must hold English, tab, Chinese, tab, links, not {line!r}.")
    english, chinese, written = parts
    links, cursor = [], 0
    for link in written.split():
        word, _, sources = link.partition("=")
        start = chinese.find(word, cursor)
        found = [_whole_words(source, english) for source in sources.split("|")]
        if start < 0 or any(len(spans) != 1 for spans in found):
            raise JtvizError(f"{link!r} does not name one place in each sentence: {english} / {chinese}")
        cursor = start + len(word)
        links.append(((start, cursor), tuple(spans[0] for spans in found)))
    return AlignedPair(english, chinese, tuple(links))


def _whole_words(word: str, sentence: str) -> list[Span]:
    return [found.span() for found in re.finditer(rf"(?<![\w']){re.escape(word)}(?![\w'])", sentence)]


def alignment_accuracy(translator: HookedTransformer, pairs: Sequence[AlignedPair]) -> list[float]:
    """Return, for each layer of cross attention, the share of aligned words that it gets right.

    The mean over heads, in the row that predicts the first token of a Chinese word, must give its
    largest weight to a right English word; a special token is a wrong one.

    Raises
    ------
    JtvizError
        If there is no pair.
    """
    if not pairs:
        raise JtvizError("there are no aligned pairs to measure on.")
    traces = [translator.trace(pair.english, target_text=pair.chinese) for pair in pairs]
    out = []
    for layer in range(traces[0].layers("cross")):
        right = [
            align(trace, layer).strongest(word) in sources
            for trace, pair in zip(traces, pairs, strict=True)
            for word, sources in pair.links
        ]
        out.append(sum(right) / len(right))
    return out
