"""Train the embedded English-to-Chinese translator.

Run as ``python -m jtviz.demo.train_translator --pairs pairs.tsv``. The file has one pair a line:
English, tab, Chinese (anything after a second tab is ignored). Tatoeba's sentence pairs, CC BY 2.0 FR,
can be had in this form as ``cmn-eng`` from https://www.manythings.org/anki/.

Required: a run can be repeated from its seed, also when it was interrupted (to rounding: with another
number of threads PyTorch adds up differently); held-out English occurs nowhere in training; the
checkpoint with the best development BLEU so far is on disk, whole or refused.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sacrebleu
import torch
from torch import Tensor, nn

from jtviz.capture import hook

from .alignments import alignment_accuracy, read_alignments
from .card import Card
from .embedded import open_translator
from .sentences import Example, Pair, Tokenizers, encode, read_pairs, split_pairs, train_tokenizers, vary
from .seq2seq import Seq2SeqConfig, Seq2SeqTransformer
from .store import save
from .training import pad, schedule

RESUME = "resume.pt"
BEAMS = 4
SHORT = 8  # words
EXAMPLES = 5
LIMITS = (
    "Long sentences lose parts or repeat themselves: most of the training sentences have under ten words.",
    "Rare words and names are guessed, often as something that sounds plausible.",
    "Sentences of one word are rare in its data and come out clipped: Hello becomes 好。",
    "It was never taught to doubt: what is not English is translated too.",
)


def batches(examples: Sequence[Example], size: int, rng: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches of sentences of about one length."""
    order = sorted(range(len(examples)), key=lambda i: (len(examples[i][1]) + rng.random() * 3, rng.random()))
    chunks = [order[i : i + size] for i in range(0, len(order), size)]
    rng.shuffle(chunks)
    for chunk in chunks:
        yield pad([examples[i][0] for i in chunk]), pad([examples[i][1] for i in chunk])


def translate(
    model: Seq2SeqTransformer, sentences: Sequence[str], tokenizers: Tokenizers, num_beams: int = 1
) -> list[str]:
    """Translate in batches of sentences of about one length."""
    model.eval()
    source, target = tokenizers
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    out = [""] * len(sentences)
    for start in range(0, len(order), 128):
        chunk = order[start : start + 128]
        ids = model.generate(pad([source.encode(sentences[i]).ids for i in chunk]), num_beams=num_beams)
        for i, text in zip(chunk, target.decode_batch(ids.tolist()), strict=True):
            out[i] = text
    return out


def evaluate(
    model: Seq2SeqTransformer, pairs: Sequence[Pair], tokenizers: Tokenizers, num_beams: int = 1
) -> dict[str, float]:
    """Corpus BLEU (``tokenize="zh"``) and chrF of translations against one reference each."""
    hypotheses = translate(model, [english for english, _ in pairs], tokenizers, num_beams)
    references = [[chinese for _, chinese in pairs]]
    return {
        "bleu": round(sacrebleu.corpus_bleu(hypotheses, references, tokenize="zh").score, 2),
        "chrf": round(sacrebleu.corpus_chrf(hypotheses, references).score, 2),
    }


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
    rate = schedule(optimizer, 800, total)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    best = -1.0
    curve: list[dict[str, float]] = []
    parts: dict[str, Any] = {"model": model, "average": average, "optimizer": optimizer, "schedule": rate}
    resume = arguments.out / RESUME
    if resume.exists():
        state: dict[str, Any] = torch.load(resume, weights_only=False)
        if state["settings"] != settings(arguments):
            raise SystemExit(f"{resume} is of a run with other settings: choose another --out.")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        best, curve = state["best"], state["curve"]
        rng.setstate(state["rng"])
        torch.set_rng_state(state["torch_rng"])
    for epoch in range(len(curve), arguments.epochs):
        losses = []
        model.train()
        for source, target in batches(encode(vary(training, rng), tokenizers), arguments.batch, rng):
            hidden = model.decode(target[:, :-1], model.encode(source), source)
            wanted = target[:, 1:]
            # Padding never reaches the output layer, which is the most expensive one.
            real = wanted.ne(config.pad)
            loss = criterion(model.project(hidden[real]), wanted[real])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rate.step()
            update_average(average, model, rate.last_epoch)
            losses.append(loss.item())
        figures = evaluate(average, development, tokenizers)
        curve.append({"epoch": epoch + 1, "loss": round(sum(losses) / len(losses), 4), **figures})
        print(curve[-1], flush=True)
        if figures["bleu"] > best:
            best = figures["bleu"]
            save(arguments.out, average, dict(zip(("source", "target"), tokenizers, strict=True)))
        state = {name: part.state_dict() for name, part in parts.items()}
        state |= {"best": best, "curve": curve, "settings": settings(arguments)}
        state |= {"rng": rng.getstate(), "torch_rng": torch.get_rng_state()}
        torch.save(state, resume.with_suffix(".new"))
        resume.with_suffix(".new").replace(resume)
    write_card(arguments, test, curve)


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a run cannot change half-way: all but the files and the number of epochs."""
    apart = {"pairs", "alignments", "out", "epochs"}
    return {name: value for name, value in vars(arguments).items() if name not in apart}


def write_card(
    arguments: argparse.Namespace, test: Sequence[Pair], curve: Sequence[Mapping[str, float]]
) -> None:
    """Measure the shipped weights, and say what they are in ``card.json``."""
    model, pair = open_translator(arguments.out)
    tokenizers = (pair.source, pair.target)
    figures: dict[str, float | str] = {
        "epoch of the shipped weights": max(curve, key=lambda point: point["bleu"])["epoch"],
        "test pairs": len(test),
    }
    short = [(english, chinese) for english, chinese in test if len(english.split()) <= SHORT]
    for said, num_beams in (("greedy", 1), (f"{BEAMS} beams", BEAMS)):
        for of, pairs in (("test pairs", test), (f"the {len(short)} of at most {SHORT} words", short)):
            score = evaluate(model, pairs, tokenizers, num_beams)
            figures[f"BLEU ({said}, {of})"] = score["bleu"]
            figures[f"chrF ({said}, {of})"] = score["chrf"]
    wrong = list(LIMITS)
    if arguments.alignments is not None:
        aligned = read_alignments(arguments.alignments)
        words = sum(len(one.links) for one in aligned)
        for layer, share in enumerate(alignment_accuracy(hook(model, pair), aligned)):
            said = f"{words} words aligned by hand in {len(aligned)} pairs"
            figures[f"right by cross attention of layer {layer} ({said})"] = round(share, 3)
        wrong += worst(model, [(one.english, one.chinese) for one in aligned], tokenizers)
    measured_on = {} if arguments.alignments is None else {"alignments": "alignments.tsv"}
    options = {"pairs": "pairs.tsv", **measured_on, "epochs": arguments.epochs, **settings(arguments)}
    said_options = [f"--{name.replace('_', '-')} {value}" for name, value in options.items()]
    Card(
        model="English to Simplified Chinese, for short everyday sentences: an encoder-decoder",
        data="sentence pairs from tatoeba.org, CC BY 2.0 FR, by way of manythings.org/anki (cmn-eng)",
        licence="Apache-2.0 for the weights, with attribution to tatoeba.org, CC BY 2.0 FR",
        command=" ".join(["python -m jtviz.demo.train_translator", *said_options]),
        seed=arguments.seed,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        figures=figures,
        wrong=wrong,
        curve=curve,
    ).write(arguments.out)
    print(json.dumps(figures, indent=2), flush=True)


def worst(model: Seq2SeqTransformer, pairs: Sequence[Pair], tokenizers: Tokenizers) -> list[str]:
    """Return the sentences that are translated worst, by chrF against the reference."""
    said = translate(model, [english for english, _ in pairs], tokenizers)
    score = [sacrebleu.sentence_chrf(t, [z]).score for t, (_, z) in zip(said, pairs, strict=True)]
    order = sorted(range(len(pairs)), key=score.__getitem__)[:EXAMPLES]
    return [f"{pairs[i][0]} becomes {said[i]} instead of {pairs[i][1]}" for i in order]


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m jtviz.demo.train_translator",
        description="Train the embedded English-to-Chinese translator. Interrupted, it goes on where it was.",
    )
    parser.add_argument("--pairs", type=Path, required=True, help="English, tab, Chinese; one pair a line")
    parser.add_argument("--alignments", type=Path, help="hand-aligned pairs, to measure the cross attention")
    parser.add_argument("--out", type=Path, default=Path("translator"), help="folder for weights and card")
    parser.add_argument("--epochs", type=int, default=38)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--held-out", type=int, default=500, help="sentences kept for each test")
    parser.add_argument("--source-vocabulary", type=int, default=4000)
    parser.add_argument("--target-vocabulary", type=int, default=2600)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
