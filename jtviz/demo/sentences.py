"""Sentence pairs for the embedded translator: read, normalised, split, varied and cut into tokens.

Required: one thing is written one way (simplified characters, full-width marks); held-out English
occurs nowhere in training; what is drawn at random comes from the generator that is passed in.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from opencc import OpenCC
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

Pair = tuple[str, str]
Example = tuple[list[int], list[int]]
Tokenizers = tuple[Tokenizer, Tokenizer]

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
LONGEST = 160  # characters of two English sentences put into one example
_FULL_WIDTH = str.maketrans({
    ",": "，", "?": "？", "!": "！", ":": "：", ";": "；", "(": "（", ")": "）", "﹐": "，", "｡": "。",
    "「": "“", "」": "”", "『": "“", "』": "”", "％": "%", "－": "-", "＂": '"', "\u3000": " ",
})  # fmt: skip

# The data knows two people. Others take their place in some sentences, so that a name is copied, not learnt.
_NAMES = {
    ("Tom", "汤姆"): (
        "John 约翰, Peter 彼得, Paul 保罗, David 大卫, Michael 迈克尔, James 詹姆斯, Robert 罗伯特, "
        "William 威廉, George 乔治, Charles 查尔斯, Henry 亨利, Jack 杰克, Mike 迈克, Bob 鲍勃, Jim 吉姆, "
        "Daniel 丹尼尔, Andrew 安德鲁, Thomas 托马斯, Eric 埃里克, Kevin 凯文, Steve 史蒂夫, Adam 亚当, "
        "Alex 亚历克斯, Ben 本, Martin 马丁, Simon 西蒙, Leo 利奥, Oliver 奥利弗, Felix 费利克斯, "
        "Lucas 卢卡斯, Edward 爱德华"
    ),
    ("Mary", "玛丽"): (
        "Anna 安娜, Lucy 露西, Alice 爱丽丝, Emma 艾玛, Jane 简, Kate 凯特, Susan 苏珊, Linda 琳达, "
        "Lisa 丽莎, Sarah 莎拉, Laura 劳拉, Julia 朱莉娅, Maria 玛丽亚, Helen 海伦, Nancy 南希, Betty 贝蒂, "
        "Emily 艾米丽, Diana 戴安娜, Sophie 索菲, Amy 艾米, Jenny 珍妮, Eva 伊娃, Nina 妮娜, "
        "Olivia 奥利维娅, Ruth 露丝, Clara 克拉拉, Barbara 芭芭拉, Martha 玛莎, Rachel 瑞秋, Sandra 桑德拉, "
        "Vera 薇拉"
    ),
}
NAMES = {known: [(n[0], n[1]) for n in map(str.split, names.split(","))] for known, names in _NAMES.items()}


def normalise_chinese(text: str, converter: OpenCC) -> str:
    """Simplify characters and make punctuation full-width, so that one thing is written one way."""
    text = converter.convert(text).translate(_FULL_WIDTH)
    text = "".join(unicodedata.normalize("NFKC", c) if c.isalnum() else c for c in text)
    if text.endswith("."):
        text = text.rstrip(".") + "。"
    quotes = text.split('"')
    text = "".join(part + ("“" if i % 2 == 0 else "”") for i, part in enumerate(quotes[:-1])) + quotes[-1]
    chinese = [not c.isascii() for c in text]
    # A space between Chinese characters is typography; between Latin words it is a word boundary.
    return "".join(
        c
        for i, c in enumerate(text)
        if not (c == " " and (i == 0 or i == len(text) - 1 or chinese[i - 1] or chinese[i + 1]))
    )


def read_pairs(path: Path) -> list[Pair]:
    """Read, normalise and deduplicate the sentence pairs."""
    converter = OpenCC("t2s")
    pairs: dict[Pair, None] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        english, chinese = line.split("\t")[:2]
        pairs[english.strip(), normalise_chinese(chinese, converter)] = None
    return list(pairs)


def split_pairs(pairs: Sequence[Pair], held_out: int, seed: int) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Split into training, development and test pairs that share no English sentence."""
    sentences = sorted({_key(english) for english, _ in pairs})
    random.Random(seed).shuffle(sentences)
    of = dict.fromkeys(sentences[:held_out], 2) | dict.fromkeys(sentences[held_out : 2 * held_out], 1)
    parts: tuple[list[Pair], list[Pair], list[Pair]] = ([], [], [])
    for english, chinese in pairs:
        parts[of.get(_key(english), 0)].append((english, chinese))
    once = tuple(list({_key(e): (e, z) for e, z in part}.values()) for part in parts[1:])
    return parts[0], once[0], once[1]


def _key(english: str) -> str:
    return "".join(c for c in english.lower() if c.isalnum())


def train_tokenizers(pairs: Sequence[Pair], source_size: int, target_size: int) -> Tokenizers:
    """Train byte-pair tokenizers: English by words (lower case), Chinese by characters."""
    pairs = [*pairs, *(pair for names in NAMES.values() for pair in names)]
    source = Tokenizer(models.BPE(unk_token="<unk>"))
    source.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("’", "'"),
            normalizers.NFKC(),
            normalizers.Lowercase(),
        ]
    )
    # The apostrophe stays inside a word (don't), every other mark stands alone.
    source.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Split(Regex(r"[^\p{L}'▁]|▁(?=[^\p{L}'])"), "isolated"),
        ]
    )
    source.decoder = decoders.Metaspace()
    source.train_from_iterator((e for e, _ in pairs), _trainer(source_size))
    source.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])

    target = Tokenizer(models.BPE(unk_token="<unk>"))
    target.pre_tokenizer = pre_tokenizers.Split(Regex(r"[A-Za-z]+|."), "isolated")
    target.decoder = decoders.Fuse()
    target.train_from_iterator((z for _, z in pairs), _trainer(target_size))
    target.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return source, target


def _trainer(size: int) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False, min_frequency=2)


def vary(pairs: Sequence[Pair], rng: random.Random) -> list[Pair]:
    """Return the pairs as people might write them, differently at every call.

    One in five Toms and Marys gets another name; one English sentence in ten lacks its last mark; one
    pair in twelve is followed by another one, as in a longer text (Kondo et al. 2021, *Sentence
    concatenation approach to data augmentation for neural machine translation*).
    """
    out = []
    for pair in pairs:
        english, chinese = _renamed(pair, rng)
        if rng.random() < 0.08:
            more_english, more_chinese = _renamed(rng.choice(pairs), rng)
            if len(english) + len(more_english) <= LONGEST and english[-1:] in ".?!":
                english, chinese = f"{english} {more_english}", chinese + more_chinese
        if rng.random() < 0.1 and english[-1:] in ".?!":
            english = english[:-1]
        out.append((english, chinese))
    return out


def _renamed(pair: Pair, rng: random.Random) -> Pair:
    english, chinese = pair
    for (name, transliterated), others in NAMES.items():
        if chinese.count(transliterated) == 1 and len(re.findall(rf"\b{name}\b", english)) == 1:
            other, other_transliterated = rng.choice(others)
            if rng.random() < 0.2:
                english = re.sub(rf"\b{name}\b", other, english)
                chinese = chinese.replace(transliterated, other_transliterated)
    return english, chinese


def encode(pairs: Sequence[Pair], tokenizers: Tokenizers) -> list[Example]:
    """Turn pairs into token ids."""
    source, target = tokenizers
    return [(source.encode(english).ids, target.encode(chinese).ids) for english, chinese in pairs]
