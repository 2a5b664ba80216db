"""A token named by what a reader sees of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from jtviz.capture import JtvizError, hook
from jtviz.tokens import OutOfRangeError, Tokens, find_token
from tests.zoo.families import FAMILIES

MERGES = [("t", "e"), ("te", "a"), ("Ġ", "tea"), ("Ġ", "t")]


def byte_level() -> Tokenizer:
    """Spell ``tea`` and ``Ġtea`` apart, as GPT-2 does."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(a + b for a, b in MERGES)]
    tokenizer = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def metaspace() -> Tokenizer:
    pieces = [("<unk>", 0.0), ("▁", -1.0), ("茶", -2.0), ("▁tea", -2.0), ("s", -3.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def word_piece() -> Tokenizer:
    words = ["[PAD]", "[UNK]", "tea", "##s", "drink", "##ing"]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]"])
    return tokenizer


def wrapped(tokenizer: Tokenizer) -> Any:
    made: Any = PreTrainedTokenizerFast
    return made(tokenizer_object=tokenizer, unk_token="[UNK]")


@pytest.mark.parametrize(
    ("make", "word", "piece"),
    [
        (byte_level, "tea", "Ġtea"),
        (byte_level, "Ġtea", "Ġtea"),
        (byte_level, "te", "te"),
        (byte_level, "\n", "Ċ"),
        (metaspace, "tea", "▁tea"),
        (metaspace, "茶", "茶"),
        (metaspace, "▁tea", "▁tea"),
        (word_piece, "tea", "tea"),
        (word_piece, "##ing", "##ing"),
        (word_piece, "[PAD]", "[PAD]"),
    ],
)
def test_a_word_names_its_token_as_it_is_read_or_spelled(
    make: Callable[[], Any], word: str, piece: str
) -> None:
    tokenizer = make()
    assert tokenizer.id_to_token(find_token(tokenizer, word)) == piece


@pytest.mark.parametrize("among", ["tea", "Ġtea"])
def test_what_is_there_is_meant_before_what_could_be(among: str) -> None:
    tokenizer: Any = byte_level()
    there = tokenizer.token_to_id(among)
    assert find_token(tokenizer, "tea", among=[there, 5]) == there


def test_two_tokens_that_read_the_same_are_not_told_apart_by_chance() -> None:
    tokenizer: Any = byte_level()
    both = [tokenizer.token_to_id(piece) for piece in ("tea", "Ġtea")]
    with pytest.raises(OutOfRangeError, match="'tea' is read for 2 tokens here: give one of 'tea', 'Ġtea'"):
        find_token(tokenizer, "tea", among=both)


@pytest.mark.parametrize("make", [metaspace, word_piece, lambda: wrapped(word_piece())])
def test_a_word_that_the_vocabulary_does_not_know_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(OutOfRangeError, match="'咖啡' is not in the vocabulary"):
        find_token(make(), "咖啡")


@pytest.mark.parametrize(
    ("make", "word"), [(byte_level, "teas"), (metaspace, "teas"), (word_piece, "drinking")]
)
def test_several_tokens_are_listed(make: Callable[[], Any], word: str) -> None:
    with pytest.raises(OutOfRangeError, match=r"is not one token but 2 \('(tea|drink)', '(s|ing)'\)"):
        find_token(make(), word)


def test_a_listed_token_can_be_given_back() -> None:
    tokenizer = word_piece()
    tokens = Tokens.encode(tokenizer, "drinking tea")
    assert [find_token(tokenizer, word, among=tokens.ids or ()) for word in tokens] == list(tokens.ids or ())


def test_a_hugging_face_tokenizer_is_asked_the_same() -> None:
    tokenizer = wrapped(word_piece())
    assert tokenizer.convert_ids_to_tokens(find_token(tokenizer, "##ing")) == "##ing"
    assert tokenizer.convert_ids_to_tokens(find_token(tokenizer, "tea")) == "tea"


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    family = FAMILIES["GPT-2"]
    hooked = hook(family.build("sdpa"))
    wanted = hooked.trace(inputs=family.inputs(1, "none"), target={"row": 3, "token": 7})
    number: Any
    for number in (np.int64, torch.tensor):
        target = {"row": number(3), "token": number(7)}
        assert hooked.trace(inputs=family.inputs(1, "none"), target=target).target == wanted.target
    bad: Any = 1.5
    with pytest.raises(JtvizError, match="a token of target= is a word or an id, not"):
        hooked.trace(inputs=family.inputs(1, "none"), target={"token": bad})


def test_an_unknown_token_is_known_however_it_is_called() -> None:
    unigram = Tokenizer(models.Unigram([("[UNK]", 0.0), ("▁tea", -2.0)], 0))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    bare: Any = PreTrainedTokenizerFast
    for tokenizer in (unigram, bare(tokenizer_object=word_piece())):
        with pytest.raises(OutOfRangeError, match="'zzz' is not in the vocabulary"):
            find_token(tokenizer, "zzz")


def test_a_word_beyond_the_models_vocabulary_is_refused() -> None:
    model = FAMILIES["GPT-2"].build("sdpa")
    size = int(model.config.vocab_size)
    tokenizer = Tokenizer(models.WordLevel({"a": 5, "extra": size + 3}))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(OutOfRangeError, match=f"'extra' is token {size + 3}, and the model's ids are 0 to"):
        hook(model, tokenizer).trace("a a a", target="extra")
