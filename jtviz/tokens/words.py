"""Which token a reader means by a word.

Required: what people read is enough (``tea`` for ``Ġtea``); a word that is not one token, or that the
vocabulary does not know, is refused. What the tokenizer itself takes for the same (``Tea`` for ``tea``) is
the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .codec import Side, codec
from .errors import OutOfRangeError
from .tokens import Tokens


def label(tokenizer: Any, token: int, side: Side = "source") -> str:
    """Return a token id as a person reads it."""
    return Tokens.from_ids(tokenizer, [token], side)[0]


def find_token(tokenizer: Any, word: str, side: Side = "source", among: Iterable[int] = ()) -> int:
    """Return the id of the one token that a word names.

    Looked for in this order: a token of `among` that reads so; a special token or a piece spelled as in
    the vocabulary (``[MASK]``, ``##ing``); the token of the word after a space, as in the middle of a
    sentence; the token of the word alone.

    Parameters
    ----------
    tokenizer : object
        A Hugging Face tokenizer, a `tokenizers.Tokenizer` or a `TokenizerPair`.
    word : str
        As it is read, or as the vocabulary spells it.
    side : {"source", "target"}
        Whose vocabulary, where the two sides of a model have different ones.
    among : iterable of int
        Ids of tokens that are likelier to be meant, such as those of an answer.

    Raises
    ------
    OutOfRangeError
        If the vocabulary has no such token, the word is several, or several of `among` read so.

    Examples
    --------
    >>> import jtviz
    >>> tokenizer = jtviz.demo.translator().tokenizer
    >>> label(tokenizer, find_token(tokenizer, "tea"))
    'tea'
    """
    reader = codec(tokenizer, side)
    shown = {i for i in among if label(tokenizer, i, side) == word}
    if len(shown) == 1:
        return shown.pop()
    if shown:
        spelled = ", ".join(repr(reader.piece(i)) for i in sorted(shown))
        raise OutOfRangeError(
            f"{word!r} is read for {len(shown)} tokens here: give one of {spelled}, or an id."
        )
    exact = reader.number(word)
    if exact is not None and (exact in reader.special or label(tokenizer, exact, side) != word):
        return exact
    ways = [_of_text(tokenizer, f" {word}", side), _of_text(tokenizer, word, side)]
    found = next((ids for ids in ways if len(ids) == 1), ways[-1])
    if reader.unknown in found or not found:
        raise OutOfRangeError(f"{word!r} is not in the vocabulary: give a word that is, or an id.")
    if len(found) > 1:
        pieces = ", ".join(repr(label(tokenizer, i, side)) for i in found)
        raise OutOfRangeError(
            f"{word!r} is not one token but {len(found)} ({pieces}): give one of them, or an id."
        )
    return found[0]


def _of_text(tokenizer: Any, text: str, side: Side) -> list[int]:
    """Return the ids of a text, without special tokens and marks of a space alone."""
    tokens = Tokens.encode(tokenizer, text, side)
    return [i for i, span in zip(tokens.ids or (), tokens.spans, strict=True) if span is not None]
