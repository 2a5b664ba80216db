"""One way to talk to the tokenizers people have: `tokenizers.Tokenizer`, Hugging Face, or a pair.

Required: neither library is imported here; an object is recognised by what it can do. The two sides
of a translator may have two vocabularies, so everything is asked for a side.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .errors import JtvizError
from .pieces import Scheme, Span, guess_scheme, scheme_of_decoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Side = Literal["source", "target"]

JOINT = "\n"
"""Stands between the two texts of a pair, where they are read as one sentence."""


@dataclass(frozen=True, eq=False)
class TokenizerPair:
    """Two tokenizers of an encoder-decoder whose sides have different vocabularies.

    Parameters
    ----------
    source, target : tokenizers.Tokenizer
        For the text that is read and for the text that is written. The target's post-processor puts
        the begin token before and the end token after.
    """

    source: Tokenizer
    target: Tokenizer


class Codec(Protocol):
    """What jtviz asks of a tokenizer, for one side of a model."""

    @property
    def scheme(self) -> Scheme:
        """How pieces spell spaces."""

    @property
    def special(self) -> frozenset[int]:
        """Ids of tokens that are not text: begin, end, padding, mask."""

    @property
    def unknown(self) -> int | None:
        """Id of the token that stands for text without one of its own; None if there is none."""

    def encode(self, text: str, second: str | None = None) -> tuple[list[int], list[Span] | None]:
        """Return token ids, and the characters of each in the text where the tokenizer tells.

        Of a pair, in ``text + JOINT + second``.
        """

    def number(self, piece: str) -> int | None:
        """Return the id of a token, given the vocabulary's spelling; None if there is none."""

    def piece(self, token: int) -> str:
        """Return the vocabulary's spelling of a token id."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, without special tokens."""


def codec(tokenizer: Any, side: Side = "source") -> Codec:
    """Return the codec of one side of a tokenizer.

    Raises
    ------
    JtvizError
        If the object is no tokenizer jtviz knows how to talk to.
    """
    if isinstance(tokenizer, TokenizerPair):
        return RustCodec(getattr(tokenizer, side))
    if hasattr(tokenizer, "convert_ids_to_tokens") and callable(tokenizer):
        return HuggingFaceCodec(tokenizer, side)
    if hasattr(tokenizer, "id_to_token") and hasattr(tokenizer, "encode"):
        return RustCodec(tokenizer)
    raise JtvizError(
        f"tokenizer= must be a Hugging Face tokenizer, a tokenizers.Tokenizer or a jtviz TokenizerPair, "
        f"not {type(tokenizer).__name__}."
    )


@dataclass(frozen=True)
class RustCodec:
    """A `tokenizers.Tokenizer`."""

    tokenizer: Any

    @cached_property
    def scheme(self) -> Scheme:
        """How pieces spell spaces."""
        return scheme_of_decoder(self.tokenizer.decoder)

    @cached_property
    def special(self) -> frozenset[int]:
        """Ids of tokens that are not text."""
        return _special_ids(self.tokenizer.get_added_tokens_decoder())

    @cached_property
    def unknown(self) -> int | None:
        """Id of the token that stands for text without one of its own."""
        model = self.tokenizer.model
        if hasattr(model, "unk_token"):
            return None if model.unk_token is None else self.number(model.unk_token)
        # A Unigram model knows its unknown token by number, and tells it only when saved.
        found: int | None = json.loads(self.tokenizer.to_str())["model"].get("unk_id")
        return found

    def number(self, piece: str) -> int | None:
        """Return the id of a token, given the vocabulary's spelling."""
        found: int | None = self.tokenizer.token_to_id(piece)
        return found

    def encode(self, text: str, second: str | None = None) -> tuple[list[int], list[Span] | None]:
        """Return token ids and the characters of each."""
        encoding = self.tokenizer.encode(text, second)
        return list(encoding.ids), _in_joint(text, encoding.offsets, encoding.sequence_ids)

    def piece(self, token: int) -> str:
        """Return the vocabulary's spelling of a token id."""
        return _spelling(self.tokenizer.id_to_token(token), token)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


@dataclass(frozen=True)
class HuggingFaceCodec:
    """A `transformers` tokenizer, fast or slow."""

    tokenizer: Any
    side: Side

    @cached_property
    def scheme(self) -> Scheme:
        """How pieces spell spaces."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is not None:
            return scheme_of_decoder(backend.decoder)
        if hasattr(self.tokenizer, "byte_decoder"):
            return "bytes"
        if hasattr(self.tokenizer, "sp_model") or hasattr(self.tokenizer, "spm_target"):
            return "metaspace"
        if hasattr(self.tokenizer, "wordpiece_tokenizer"):
            return "wordpiece"
        return guess_scheme(list(self.tokenizer.get_vocab()))

    @cached_property
    def special(self) -> frozenset[int]:
        """Ids of tokens that are not text."""
        added = _special_ids(getattr(self.tokenizer, "added_tokens_decoder", {}))
        return added | frozenset(self.tokenizer.all_special_ids)

    @property
    def unknown(self) -> int | None:
        """Id of the token that stands for text without one of its own."""
        found: int | None = getattr(self.tokenizer, "unk_token_id", None)
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        return RustCodec(backend).unknown if found is None and backend is not None else found

    def number(self, piece: str) -> int | None:
        """Return the id of a token, given the vocabulary's spelling."""
        if self._source_pieces is not None:
            return next((i for i, own in self._source_pieces.items() if own == piece), None)
        found: int | None = self.tokenizer.convert_tokens_to_ids(piece)
        # What is not there comes back as the unknown token.
        return found if found is not None and self.piece(found) == piece else None

    def encode(self, text: str, second: str | None = None) -> tuple[list[int], list[Span] | None]:
        """Return token ids, and the characters of each where the tokenizer is a fast one."""
        given = {"text": text} if self.side == "source" else {"text_target": text}
        if second is not None:
            given["text_pair"] = second
        if getattr(self.tokenizer, "is_fast", False):
            encoding = self.tokenizer(**given, return_offsets_mapping=True)
            found = _in_joint(text, encoding["offset_mapping"], encoding.sequence_ids(0))
            return list(encoding["input_ids"]), found
        return list(self.tokenizer(**given)["input_ids"]), None

    @cached_property
    def _source_pieces(self) -> dict[int, str] | None:
        # Marian with two vocabularies: convert_ids_to_tokens knows the target's only.
        if self.side == "source" and getattr(self.tokenizer, "separate_vocabs", False):
            return {number: piece for piece, number in self.tokenizer.get_src_vocab().items()}
        return None

    def piece(self, token: int) -> str:
        """Return the vocabulary's spelling of a token id."""
        if self._source_pieces is not None:
            return _spelling(self._source_pieces.get(token), token)
        return _spelling(self.tokenizer.convert_ids_to_tokens(token), token)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def _in_joint(text: str, offsets: Sequence[Span], parts: Sequence[int | None]) -> list[Span]:
    """Return the characters of each token in the two texts of a pair together."""
    shifts = [len(text) + len(JOINT) if part == 1 else 0 for part in parts]
    return [(int(a) + shift, int(b) + shift) for (a, b), shift in zip(offsets, shifts, strict=True)]


def _special_ids(added: Any) -> frozenset[int]:
    return frozenset(number for number, token in added.items() if token.special)


def _spelling(piece: str | None, token: int) -> str:
    # Vocabularies are often padded to a round size: such an id has no spelling.
    return f"<{token}>" if piece is None else str(piece)
