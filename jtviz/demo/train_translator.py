"""Train the embedded English-to-Chinese translator.

Run as ``python -m jtviz.demo.train_translator --pairs pairs.tsv``. The file has one pair a line:
English, tab, Chinese (anything after a second tab is ignored). Tatoeba's sentence pairs, CC BY 2.0 FR,
can be had in this form as ``cmn-eng`` from https://www.manythings.org/anki/.

Required: a run can be repeated from its seed; held-out English occurs nowhere in training; the
checkpoint with the best development BLEU so far is always on disk and complete.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sacrebleu
import torch
from opencc import OpenCC
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

from .embedded import load
from .seq2seq import Seq2SeqConfig, Seq2SeqTransformer

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
_FULL_WIDTH = str.maketrans({
    ",": "，", "?": "？", "!": "！", ":": "：", ";": "；", "(": "（", ")": "）", "﹐": "，", "｡": "。",
    "「": "“", "」": "”", "『": "“", "』": "”", "％": "%", "－": "-", "＂": '"', "\u3000": " ",
})  # fmt: skip

Pair = tuple[str, str]
Example = tuple[list[int], list[int]]
Tokenizers = tuple[Tokenizer, Tokenizer]


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
    source.train_from_iterator(
        (e for e, _ in pairs),
        _trainer(source_size),
    )
    source.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])

    target = Tokenizer(models.BPE(unk_token="<unk>"))
    target.pre_tokenizer = pre_tokenizers.Split(Regex(r"[A-Za-z]+|."), "isolated")
    target.decoder = decoders.Fuse()
    target.train_from_iterator(
        (z for _, z in pairs),
        _trainer(target_size),
    )
    target.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return source, target


def _trainer(size: int) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False, min_frequency=2)


def pad(rows: Sequence[Sequence[int]], value: int = 0) -> Tensor:
    """Stack rows of ids into ``[rows, longest]``, padded on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])


def batches(examples: Sequence[Example], size: int, rng: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches of sentences of about one length."""
    order = sorted(range(len(examples)), key=lambda i: (len(examples[i][1]) + rng.random() * 3, rng.random()))
    chunks = [order[i : i + size] for i in range(0, len(order), size)]
    rng.shuffle(chunks)
    for chunk in chunks:
        yield pad([examples[i][0] for i in chunk]), pad([examples[i][1] for i in chunk])


def encode(pairs: Sequence[Pair], tokenizers: Tokenizers, rng: random.Random) -> list[Example]:
    """Turn pairs into ids; now and then without the last mark, as people type."""
    source, target = tokenizers
    examples = []
    for english, chinese in pairs:
        text = english[:-1] if rng.random() < 0.05 and english[-1:] in ".?!" else english
        examples.append((source.encode(text).ids, target.encode(chinese).ids))
    return examples


def translate(model: Seq2SeqTransformer, sentences: Sequence[str], tokenizers: Tokenizers) -> list[str]:
    """Translate greedily, in batches of sentences of about one length."""
    model.eval()
    source, target = tokenizers
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    out = [""] * len(sentences)
    for start in range(0, len(order), 128):
        chunk = order[start : start + 128]
        ids = model.generate(pad([source.encode(sentences[i]).ids for i in chunk]))
        for i, text in zip(chunk, target.decode_batch(ids.tolist()), strict=True):
            out[i] = text
    return out


def evaluate(model: Seq2SeqTransformer, pairs: Sequence[Pair], tokenizers: Tokenizers) -> dict[str, float]:
    """Corpus BLEU (``tokenize="zh"``) and chrF of greedy translations against one reference each."""
    hypotheses = translate(model, [english for english, _ in pairs], tokenizers)
    references = [[chinese for _, chinese in pairs]]
    return {
        "bleu": round(sacrebleu.corpus_bleu(hypotheses, references, tokenize="zh").score, 2),
        "chrf": round(sacrebleu.corpus_chrf(hypotheses, references).score, 2),
    }


def learning_rate(step: int, warmup: int, total: int) -> float:
    """Linear warm-up, then a cosine down to two per cent."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))


def save(folder: Path, model: Seq2SeqTransformer, tokenizers: Tokenizers) -> None:
    """Write weights (float16), configuration and tokenizers, each complete or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.half().contiguous() for k, v in model.state_dict().items() if k != "project.weight"}
    save_file(weights, folder / "model.safetensors.new")
    (folder / "model.safetensors.new").replace(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(model.config), indent=2) + "\n", encoding="utf-8")
    for name, tokenizer in zip(("source", "target"), tokenizers, strict=True):
        tokenizer.save(str(folder / f"{name}.json"), pretty=False)


def update_average(average: nn.Module, model: nn.Module, step: int) -> None:
    """Move the averaged weights a little towards the current ones (Polyak & Juditsky 1992)."""
    decay = min(0.998, step / (step + 50))
    with torch.no_grad():
        for kept, new in zip(average.parameters(), model.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)


def train(arguments: argparse.Namespace) -> None:
    """Train for the given number of epochs, keep the best checkpoint, and write its card."""
    torch.manual_seed(arguments.seed)
    rng = random.Random(arguments.seed)
    training, development, test = split_pairs(read_pairs(arguments.pairs), arguments.held_out, arguments.seed)
    tokenizers = train_tokenizers(training, arguments.source_vocabulary, arguments.target_vocabulary)
    config = Seq2SeqConfig(tokenizers[0].get_vocab_size(), tokenizers[1].get_vocab_size())
    model = Seq2SeqTransformer(config)
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.01)
    total = math.ceil(len(training) / arguments.batch) * arguments.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, 800, total))
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    best = -1.0
    curve: list[dict[str, float]] = []
    parts: dict[str, Any] = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    resume = arguments.out / "resume.pt"
    if resume.exists():
        state = torch.load(resume, weights_only=False)
        for part, name in (
            (model, "model"),
            (average, "average"),
            (optimizer, "optimizer"),
            (schedule, "schedule"),
        ):
            part.load_state_dict(state[name])
        best, curve = state["best"], state["curve"]
        rng.setstate(state["rng"])
    for epoch in range(len(curve), arguments.epochs):
        losses = []
        model.train()
        for source, target in batches(encode(training, tokenizers, rng), arguments.batch, rng):
            hidden = model.decode(target[:, :-1], model.encode(source), source)
            wanted = target[:, 1:]
            # Padding never reaches the output layer, which is the most expensive one.
            real = wanted.ne(config.pad)
            loss = criterion(model.project(hidden[real]), wanted[real])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            update_average(average, model, schedule.last_epoch)
            losses.append(loss.item())
        figures = evaluate(average, development, tokenizers)
        curve.append({"epoch": epoch + 1, "loss": round(sum(losses) / len(losses), 4), **figures})
        print(curve[-1], flush=True)
        if figures["bleu"] > best:
            best = figures["bleu"]
            save(arguments.out, average, tokenizers)
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**state, "best": best, "curve": curve, "rng": rng.getstate()}, resume)
    write_card(arguments, test, curve)


def write_card(
    arguments: argparse.Namespace, test: Sequence[Pair], curve: Sequence[Mapping[str, float]]
) -> None:
    """Measure the shipped weights on the test pairs and say what they are, in ``card.json``."""
    model, tokenizers = load(arguments.out)
    card = {
        "model": "English to Simplified Chinese, encoder-decoder, for short everyday sentences",
        "data": "sentence pairs from tatoeba.org, CC BY 2.0 FR, by way of manythings.org/anki (cmn-eng)",
        "licence": "Apache-2.0 for the weights, with attribution to tatoeba.org, CC BY 2.0 FR",
        "command": "python -m jtviz.demo.train_translator --pairs pairs.tsv "
        f"--epochs {arguments.epochs} --seed {arguments.seed}",
        "limits": "for short sentences: long ones lose parts or repeat themselves, rare names are guessed",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epoch": max(curve, key=lambda point: point["bleu"])["epoch"],
        "test": {
            "pairs": len(test),
            "one reference each, sacrebleu tokenize=zh, greedy": evaluate(
                model, test, (tokenizers.source, tokenizers.target)
            ),
        },
        "curve (development)": list(curve),
    }
    (arguments.out / "card.json").write_text(
        json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    print(json.dumps(card["test"]), flush=True)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m jtviz.demo.train_translator",
        description="Train the embedded English-to-Chinese translator. Interrupted, it goes on where it was.",
    )
    parser.add_argument("--pairs", type=Path, required=True, help="English, tab, Chinese; one pair a line")
    parser.add_argument("--out", type=Path, default=Path("translator"), help="folder for weights and card")
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--held-out", type=int, default=500, help="sentences kept for each test")
    parser.add_argument("--source-vocabulary", type=int, default=4000)
    parser.add_argument("--target-vocabulary", type=int, default=2600)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
