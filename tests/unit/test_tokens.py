from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from jtviz.tokens import JtvizError, TokenizerNotFoundError, TokenizerPair, Tokens, codec, find_tokenizer
from jtviz.tokens.pieces import assemble, word_numbers

CORPUS = [
    "Where is the nearest station?",
    "I like to drink tea.",
    "车站在哪里？ 我喜欢喝茶。",
    "don't you know 🙂?",
] * 3
SENTENCE = "Where is 车站 🙂?\n don't"
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # No merges: every character outside ASCII is spread over several tokens.
    trainer = trainers.BpeTrainer(
        vocab_size=256 + 4, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=70, special_tokens=names, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


def metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=90, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return tokenizer


@pytest.fixture(params=[byte_level, word_piece, metaspace])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    made: Tokenizer = request.param()
    return made


def test_a_readers_sentence_is_covered_by_its_tokens(tokenizer: Tokenizer) -> None:
    tokens = Tokens.encode(tokenizer, SENTENCE)
    covered = {i for span in tokens.spans if span for i in range(*span)}
    assert all(c.isspace() for i, c in enumerate(SENTENCE) if i not in covered)
    for text, span in zip(tokens, tokens.spans, strict=True):
        assert span is None or not SENTENCE[slice(*span)].strip() or text == SENTENCE[slice(*span)]


def test_no_label_shows_how_a_vocabulary_spells_spaces(tokenizer: Tokenizer) -> None:
    ids = Tokens.encode(tokenizer, SENTENCE).ids
    assert ids is not None
    for tokens in (Tokens.encode(tokenizer, SENTENCE), Tokens.from_ids(tokenizer, ids)):
        assert not any(mark in text for text in tokens for mark in ("Ġ", "Ċ", "▁", "##", "�"))
        assert all(text.strip() for text in tokens)


def test_characters_spread_over_bytes_are_shown_whole() -> None:
    tokenizer = byte_level()
    ids = tokenizer.encode("茶🙂").ids
    assert len(ids) == 3 + 4
    assert list(Tokens.from_ids(tokenizer, ids)) == ["茶"] * 3 + ["🙂"] * 4
    assert list(Tokens.encode(tokenizer, "茶🙂")) == ["茶"] * 3 + ["🙂"] * 4
    # A text that stops in the middle of a character is shown as far as it goes.
    assert Tokens.from_ids(tokenizer, ids[:5]).sentence == "茶\ufffd\ufffd"


def test_ids_give_back_the_sentence_that_the_tokenizer_decodes(tokenizer: Tokenizer) -> None:
    text = "Where is the station? I like tea."
    ids = tokenizer.encode(text).ids
    wanted = tokenizer.decode(ids, skip_special_tokens=True)
    assert Tokens.from_ids(tokenizer, ids).sentence == wanted


def test_special_tokens_keep_their_name_and_have_no_place_in_the_sentence() -> None:
    tokens = Tokens.encode(word_piece(), "Where is tea?")
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
    assert [i for i, special in enumerate(tokens.special) if special] == [0, len(tokens) - 1]
    assert tokens.spans[0] is None
    assert tokens.words[0] is None


def test_white_space_alone_is_shown_by_a_sign() -> None:
    tokens = Tokens.encode(byte_level(), "a \n\tb")
    assert list(tokens) == ["a", "␣", "⏎", "⇥", "b"]


@pytest.mark.parametrize("strings", [["<img src=x onerror=alert(1)>", "</script>"], ["a", "b b", "茶"]])
def test_names_given_by_hand_are_left_alone(strings: list[str]) -> None:
    tokens = Tokens.from_strings(strings)
    assert list(tokens) == strings
    assert tokens.special == (False,) * len(strings)


def test_pieces_given_by_hand_are_made_readable() -> None:
    assert list(Tokens.from_strings(["<s>", "ĠWhere", "Ġis", "Ċ"])) == ["<s>", "Where", "is", "⏎"]
    assert Tokens.from_strings(["[CLS]", "play", "##ing", "."]).sentence == "playing."
    assert Tokens.from_strings(["▁I", "▁like", "<0xE8>", "<0x8C>", "<0xB6>"]).sentence == "I like茶"
    assert Tokens.from_strings(["<s>", "ĠWhere"]).special == (True, False)


def test_tokens_of_one_word_have_one_number() -> None:
    assert word_numbers("don't go!", [(0, 3), (3, 5), (6, 8), (8, 9), None]) == (0, 0, 1, 2, None)
    assert word_numbers("车站 ok", [(0, 1), (1, 2), (3, 5)]) == (0, 1, 2)


def test_a_word_end_mark_becomes_a_space() -> None:
    assert assemble(["low", "er</w>", "case</w>"], "suffix") == ("lower case", ((0, 3), (3, 5), (6, 10)))


def test_hugging_face_tokens_are_those_of_the_tokenizer_inside() -> None:
    transformers = pytest.importorskip("transformers")
    inner = metaspace()
    outer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", pad_token="<pad>")
    assert Tokens.encode(outer, SENTENCE) == Tokens.encode(inner, SENTENCE)
    ids = inner.encode(SENTENCE).ids
    assert Tokens.from_ids(outer, ids) == Tokens.from_ids(inner, ids)


class Slow:
    """A slow Hugging Face tokenizer with two vocabularies, as Marian's: no offsets, one decoder."""

    separate_vocabs = True
    is_fast = False
    all_special_ids = (0,)
    sp_model = None

    def __init__(self) -> None:
        self.source = {"</s>": 0, "▁I": 1, "▁drink": 2, "▁tea": 3, ".": 4}
        self.target = {"</s>": 0, "▁我": 1, "喝": 2, "茶": 3, "。": 4}

    def __call__(self, text: str | None = None, text_target: str | None = None) -> dict[str, list[int]]:
        vocabulary, given = (self.source, text) if text_target is None else (self.target, text_target)
        rest, ids = "▁" + str(given).replace(" ", "▁"), []
        while rest:
            piece = next(p for p in vocabulary if rest.startswith((p, "▁" + p)))
            rest = rest.removeprefix("▁" if not rest.startswith(piece) else "").removeprefix(piece)
            ids.append(vocabulary[piece])
        return {"input_ids": [*ids, 0]}

    def convert_ids_to_tokens(self, token: int) -> str:
        return {number: piece for piece, number in self.target.items()}[token]

    def get_src_vocab(self) -> dict[str, int]:
        return self.source

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return "".join(self.convert_ids_to_tokens(i) for i in ids if i).replace("▁", " ")


def test_a_slow_tokenizer_with_two_vocabularies_reads_each_side_with_its_own() -> None:
    tokens = Tokens.encode(Slow(), "I drink tea.")
    assert list(tokens) == ["I", "drink", "tea", ".", "</s>"]
    assert tokens.spans == ((0, 1), (2, 7), (8, 11), (11, 12), None)
    assert list(Tokens.from_ids(Slow(), [1, 2, 3, 4, 0], "target")) == ["我", "喝", "茶", "。", "</s>"]
    assert codec(Slow(), "target").decode([1, 2, 0]) == "我喝"


def test_a_pair_reads_each_side_with_its_own_tokenizer() -> None:
    pair = TokenizerPair(word_piece(), byte_level())
    assert Tokens.encode(pair, "Where is tea?") == Tokens.encode(pair.source, "Where is tea?")
    assert Tokens.encode(pair, "茶", "target") == Tokens.encode(pair.target, "茶")


def test_an_attached_tokenizer_is_found() -> None:
    inner = byte_level()
    assert find_tokenizer(SimpleNamespace(tokenizer=inner)) is inner


@pytest.mark.parametrize(
    "model", [SimpleNamespace(), SimpleNamespace(config=SimpleNamespace(_name_or_path="no/such-model"))]
)
def test_a_tokenizer_that_cannot_be_found_is_asked_for(model: Any) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(TokenizerNotFoundError, match="tokenizer="):
        find_tokenizer(model)


def test_something_that_is_no_tokenizer_is_refused() -> None:
    with pytest.raises(JtvizError, match="tokenizer= must be"):
        codec(5)
