"""The tokens of one side as a person reads them.

Required: labels are text, not a tokenizer's spelling; each token knows its characters in the
sentence, its word, and whether it is special; nothing here knows about models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

from .codec import JOINT, Codec, Side, codec
from .pieces import Span, assemble, guess_scheme, piece_bytes, readable, trim, word_numbers

_SPECIAL = re.compile(
    r"</?s>|<(?:pad|unk|mask|bos|eos|cls|sep|start_of_turn|end_of_turn|extra_id_\d+)>|<\|[^|<>]*\|>"
    r"|\[(?:CLS|SEP|PAD|MASK|UNK|BOS|EOS)\]"
)


@dataclass(frozen=True)
class Tokens(Sequence[str]):
    """The tokens of one side. A sequence of labels: ``len``, indexing and iteration give the text.

    Attributes
    ----------
    text : tuple of str
        What a person reads: the characters of the sentence; a special token keeps its name
        (``</s>``); white space alone is shown by a sign (``␣``, ``⏎``).
    ids : tuple of int or None
        Token ids, where there are any.
    spans : tuple of (int, int) or None
        Characters of each token in `sentence`, without leading white space.
    words : tuple of int or None
        Number of the word each token belongs to (see `jtviz.tokens.pieces.word_numbers`).
    special : tuple of bool
        Whether the token is not text: begin, end, padding, separator.
    sentence : str
        The whole text.
    generated : tuple of bool or None
        Whether the model wrote the token itself (the rest is the prompt); None where nothing was generated.
    probability : tuple of (float or None) or None
        What the model gave each token, reading those before it; None for the first one, and where the
        model predicts no tokens.

    Examples
    --------
    >>> tokens = Tokens.from_strings(["<s>", "ĠWhere", "Ġis", "Ġit", "?"])
    >>> list(tokens), tokens.sentence
    (['<s>', 'Where', 'is', 'it', '?'], 'Where is it?')
    """

    text: tuple[str, ...]
    ids: tuple[int, ...] | None
    spans: tuple[Span | None, ...]
    words: tuple[int | None, ...]
    special: tuple[bool, ...]
    sentence: str
    generated: tuple[bool, ...] | None = None
    probability: tuple[float | None, ...] | None = None

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.text)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        """Return the text of a token, or of several."""
        return self.text[index]

    @classmethod
    def from_strings(cls, strings: Sequence[str]) -> Tokens:
        """Name tokens by hand, or by a tokenizer's pieces: their marks are recognised and removed.

        Parameters
        ----------
        strings : sequence of str
            One string a token.
        """
        pieces = [str(s) for s in strings]
        special = tuple(bool(_SPECIAL.fullmatch(p)) for p in pieces)
        text = [None if s else p for p, s in zip(pieces, special, strict=True)]
        sentence, spans = assemble(text, guess_scheme(pieces))
        return cls._of(sentence, spans, pieces, special, None)

    @classmethod
    def positions(cls, count: int) -> Tokens:
        """Name tokens by their position, ``"0"``, ``"1"``, and so on, for want of anything better."""
        return cls.from_strings([str(i) for i in range(count)])

    @classmethod
    def from_ids(cls, tokenizer: Any, ids: Sequence[int], side: Side = "source") -> Tokens:
        """Read token ids, for instance generated ones; the sentence is put together from their pieces.

        Parameters
        ----------
        tokenizer : object
            A Hugging Face tokenizer, a `tokenizers.Tokenizer` or a `TokenizerPair`.
        ids : sequence of int
            Token ids.
        side : {"source", "target"}
            Whose vocabulary, where the two sides of a model have different ones.
        """
        reader = codec(tokenizer, side)
        pieces = [reader.piece(i) for i in ids]
        special = tuple(i in reader.special for i in ids)
        text = [None if s else p for p, s in zip(pieces, special, strict=True)]
        sentence, spans = assemble(text, reader.scheme)
        return cls._of(sentence, spans, pieces, special, ids)

    @classmethod
    def encode(cls, tokenizer: Any, text: str | tuple[str, str], side: Side = "source") -> Tokens:
        """Cut a text into tokens, with the special tokens the tokenizer adds.

        Spans are the tokenizer's own offsets; a slow tokenizer has none, then its pieces are looked
        up in the text one after the other.

        Parameters
        ----------
        tokenizer : object
            A Hugging Face tokenizer, a `tokenizers.Tokenizer` or a `TokenizerPair`.
        text : str or (str, str)
            The sentence; of a pair, the tokenizer puts what it puts between two, and `sentence` has them on
            two lines.
        side : {"source", "target"}
            Whose vocabulary, where the two sides of a model have different ones.
        """
        reader = codec(tokenizer, side)
        ids, offsets = reader.encode(text) if isinstance(text, str) else reader.encode(*text)
        text = text if isinstance(text, str) else JOINT.join(text)
        pieces = [reader.piece(i) for i in ids]
        # An unknown token is special to the tokenizer, but it stands for text that the reader wrote.
        known = [i in reader.special for i in ids]
        if offsets is None:
            offsets = _look_up(text, pieces, known, reader)
        if offsets is None:
            return cls.from_ids(tokenizer, ids, side)
        spans = tuple(
            None if _only_a_mark(piece, text, span, reader) else trim(text, span)
            for piece, span in zip(pieces, offsets, strict=True)
        )
        special = tuple(
            k and (span is None or i != reader.unknown) for k, span, i in zip(known, spans, ids, strict=True)
        )
        return cls._of(text, spans, pieces, special, ids)

    @classmethod
    def _of(
        cls,
        sentence: str,
        spans: Sequence[Span | None],
        pieces: Sequence[str],
        special: tuple[bool, ...],
        ids: Sequence[int] | None,
    ) -> Tokens:
        text = []
        for span, piece, name in zip(spans, pieces, special, strict=True):
            label = sentence[slice(*span)] if span else piece if name else piece.strip("▁Ġ")
            text.append(readable(label))
        return cls(
            text=tuple(text),
            ids=None if ids is None else tuple(int(i) for i in ids),
            spans=tuple(spans),
            words=word_numbers(sentence, spans),
            special=special,
            sentence=sentence,
        )


def _only_a_mark(piece: str, text: str, span: Span, reader: Codec) -> bool:
    """Whether a piece is the space put before a text, which tokenizers place on the first letter."""
    written = piece_bytes(piece, reader.scheme, first=True)
    return not written.strip() and bool(text[slice(*span)].strip())


def _look_up(text: str, pieces: Sequence[str], special: Sequence[bool], reader: Codec) -> list[Span] | None:
    """Find each piece in the text, in order; None if one is not there (the tokenizer rewrote the text)."""
    visible = [None if s else p for p, s in zip(pieces, special, strict=True)]
    sentence, spans = assemble(visible, reader.scheme)
    cursor, found = 0, []
    for span in spans:
        part = "" if span is None else sentence[slice(*span)]
        at = text.lower().find(part.lower().strip(), cursor)
        if at < 0:
            return None
        found.append((at, at + len(part.strip())))
        cursor = found[-1][1]
    return found
