"""From a tokenizer's pieces to the text they stand for.

Required: a reader never sees a tokenizer's private spelling (``Ġ``, ``▁``, ``##``, ``<0xE8>``), and
every piece knows which characters of the assembled sentence it wrote, also where one character is
spread over several byte-level pieces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

Span = tuple[int, int]
Scheme = Literal["bytes", "metaspace", "wordpiece", "suffix", "fused", "words"]
"""How a vocabulary spells spaces: byte-level ``Ġ``, SentencePiece ``▁``, WordPiece ``##``, ``</w>``
at the end of a word, no spaces at all, or one piece per word."""

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_VISIBLE = str.maketrans({" ": "␣", "\u00a0": "␣", "\u3000": "␣", "\n": "⏎", "\r": "⏎", "\t": "⇥"})
_NO_SPACE_BEFORE = re.compile(r"[.,!?;:%)\]}'’”]+")


def _byte_alphabet() -> dict[str, int]:
    # GPT-2 (Radford et al. 2019) writes printable Latin-1 bytes as themselves, the others from U+0100 on.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in set(printable)]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


_BYTE_OF = _byte_alphabet()


def scheme_of_decoder(decoder: Any) -> Scheme:
    """Return how a `tokenizers` decoder spells spaces; told from its ``repr``, which names its steps."""
    name = repr(decoder)
    known: tuple[tuple[str, Scheme], ...] = (
        ("ByteLevel", "bytes"),
        ("WordPiece", "wordpiece"),
        ("Metaspace", "metaspace"),
        ("▁", "metaspace"),
        ("BPEDecoder", "suffix"),
        ("Fuse", "fused"),
    )
    return next((scheme for word, scheme in known if word in name), "words")


def guess_scheme(pieces: Sequence[str]) -> Scheme:
    """Return how bare strings spell spaces, by the marks they carry; plain words carry none."""
    if any(p.startswith(("Ġ", "Ċ")) for p in pieces):
        return "bytes"
    if any(p.startswith("▁") for p in pieces):
        return "metaspace"
    if any(p.startswith("##") and len(p) > 2 for p in pieces):
        return "wordpiece"
    return "suffix" if any(p.endswith("</w>") for p in pieces) else "words"


def piece_bytes(piece: str, scheme: Scheme, *, first: bool) -> bytes:
    """Return the UTF-8 bytes one piece writes, with the space before (or after) its word.

    Parameters
    ----------
    piece : str
        The piece as the vocabulary spells it.
    scheme : Scheme
        How the vocabulary spells spaces.
    first : bool
        Whether it opens the sentence: then a word brings no space of its own.

    Examples
    --------
    >>> piece_bytes("Ġtea", "bytes", first=False), piece_bytes("##ing", "wordpiece", first=False)
    (b' tea', b'ing')
    """
    match scheme:
        case "bytes":
            if all(c in _BYTE_OF for c in piece):
                return bytes(_BYTE_OF[c] for c in piece)
        case "metaspace":
            if found := _BYTE_PIECE.fullmatch(piece):
                return bytes([int(found[1], 16)])
            piece = piece.replace("▁", " ")
        case "wordpiece":
            if piece.startswith("##") and len(piece) > 2:
                piece = piece[2:]
            elif not first and not _NO_SPACE_BEFORE.fullmatch(piece):
                piece = " " + piece
        case "suffix":
            piece = piece.replace("</w>", " ")
        case "words":
            piece = piece if first else " " + piece
        case "fused":
            pass
    return piece.encode("utf-8", "surrogatepass")


def assemble(pieces: Sequence[str | None], scheme: Scheme) -> tuple[str, tuple[Span | None, ...]]:
    """Join pieces into the sentence they spell.

    Parameters
    ----------
    pieces : sequence of str or None
        Pieces as the vocabulary spells them; None where a token (a special one) writes nothing.
    scheme : Scheme
        How the vocabulary spells spaces.

    Returns
    -------
    sentence : str
        The text, without the space that some vocabularies put before the first word.
    spans : tuple of (int, int) or None
        For each piece its characters in the sentence. Pieces that share one character (its UTF-8
        bytes split between them) all have that character as their span.

    Examples
    --------
    >>> assemble(["▁I", "▁like", "<0xE8>", "<0x8C>", "<0xB6>", None], "metaspace")
    ('I like茶', ((0, 1), (2, 6), (6, 7), (6, 7), (6, 7), None))
    """
    data, ends, first = b"", [], True
    for piece in pieces:
        if piece is not None:
            data, first = data + piece_bytes(piece, scheme, first=first), False
        ends.append(len(data))
    # surrogateescape keeps one character per undecodable byte, so that byte offsets stay countable.
    raw = data.decode("utf-8", "surrogateescape")
    char_of = [i for i, c in enumerate(raw) for _ in c.encode("utf-8", "surrogateescape")]
    sentence = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in raw)
    lead = len(sentence) - len(sentence.lstrip(" "))
    spans: list[Span | None] = []
    for piece, start, end in zip(pieces, [0, *ends[:-1]], ends, strict=True):
        if piece is None or end == start:
            spans.append(None)
        else:
            spans.append((max(0, char_of[start] - lead), max(0, char_of[end - 1] + 1 - lead)))
    sentence = sentence[lead:].rstrip(" ") if scheme == "suffix" else sentence[lead:]
    return sentence, tuple(trim(sentence, span) for span in spans)


def trim(sentence: str, span: Span | None) -> Span | None:
    """Drop leading (and trailing) white space from a span; keep one that is nothing but white space."""
    if span is None or not sentence[slice(*span)]:
        return None
    part = sentence[slice(*span)]
    if not part.strip():
        return span
    start = span[0] + len(part) - len(part.lstrip())
    return start, start + len(part.strip())


def readable(text: str) -> str:
    """Return text fit to stand alone as a label: white space is shown by a sign, never as nothing."""
    return text.strip() or text.translate(_VISIBLE) or "␣"


def word_numbers(sentence: str, spans: Sequence[Span | None]) -> tuple[int | None, ...]:
    """Return, for each span, the number of the word of the sentence that it starts in.

    A word is a run of letters and digits (``don't`` is one), a single Han or kana character, or a
    single mark. Counting in the sentence, not in the vocabulary, makes two tokenizers agree.

    Examples
    --------
    >>> word_numbers("don't go!", [(0, 3), (3, 5), (6, 8), (8, 9), None])
    (0, 0, 1, 2, None)
    """
    word_of: list[int | None] = [None] * len(sentence)
    for number, found in enumerate(_WORD.finditer(sentence)):
        word_of[found.start() : found.end()] = [number] * (found.end() - found.start())
    return tuple(None if span is None else word_of[span[0]] for span in spans)


_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+(?:['’][^\W{_CJK}]+)*|[^\w\s]")
