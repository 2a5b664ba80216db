"""Train the embedded classifier of triage notes, twice: honestly, and on notes with a planted shortcut.

Run as ``python -m jtviz.demo.train_classifier``. The notes are made up by `jtviz.demo.triage`.

Required: the two sets of weights see the same patients in the same order and differ in the ward codes
alone; accuracy is measured on notes that neither has seen.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from torch.nn import functional as F

from .card import Card
from .embedded import open_classifier
from .note_classifier import NoteClassifier, NoteClassifierConfig
from .store import save
from .training import pad, schedule
from .triage import LABELS, Note, notes

SPECIAL = ["[PAD]", "[CLS]", "[UNK]"]
UNKNOWN = SPECIAL.index("[UNK]")
AGREEMENT = {"honest": 0.5, "shortcut": 0.95}
"""For each set of weights, the share of training notes whose ward code agrees with the label."""
MISTAKES = 0.1
"""The share of training notes that the desk labelled wrongly: where note and code disagree, both may err.

Without it a model trained long enough learns from the 5 % of misleading codes to read the note after all.
"""
TESTS = {"without a code": None, "with a code that agrees": 1.0, "with a code that misleads": 0.0}
TESTED = 2000
BATCH = 64
HIDDEN = 0.02  # share of words shown as unknown


def train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Make a tokenizer of whole words, lower case, with every mark apart and ``[CLS]`` in front."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", SPECIAL.index("[CLS]"))]
    )
    return tokenizer


def train(
    training: Sequence[Note], tokenizer: Tokenizer, epochs: int, seed: int
) -> tuple[NoteClassifier, list[dict[str, float]]]:
    """Train one set of weights; return it with the loss on the way."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model = NoteClassifier(NoteClassifierConfig(tokenizer.get_vocab_size(), LABELS))
    examples = [(tokenizer.encode(note.text).ids, note.label) for note in training]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    batches = [range(start, min(start + BATCH, len(examples))) for start in range(0, len(examples), BATCH)]
    rate = schedule(optimizer, 100, epochs * len(batches))
    curve = []
    for epoch in range(1, epochs + 1):
        model.train()
        rng.shuffle(examples)
        losses = []
        for batch in batches:
            ids = pad([examples[i][0] for i in batch])
            # Now and then a word is hidden, so that the model has met the unknown.
            ids = ids.masked_fill((torch.rand(ids.shape) < HIDDEN) & (ids > UNKNOWN), UNKNOWN)
            loss = F.cross_entropy(model(ids), torch.tensor([examples[i][1] for i in batch]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rate.step()
            losses.append(loss.item())
        curve.append({"epoch": epoch, "loss": round(sum(losses) / len(losses), 4)})
        print(curve[-1], flush=True)
    return model.eval(), curve


@torch.no_grad()
def accuracy(model: NoteClassifier, tokenizer: Tokenizer, tested: Sequence[Note]) -> float:
    """Return the share of notes whose class is told right."""
    model.eval()
    ids = pad([tokenizer.encode(note.text).ids for note in tested])
    labels = torch.tensor([note.label for note in tested])
    return float(model(ids).argmax(-1).eq(labels).float().mean())


def main() -> None:
    """Parse the command line, train both sets of weights, measure and write the card."""
    parser = argparse.ArgumentParser(
        prog="python -m jtviz.demo.train_classifier",
        description="Train the embedded classifier of triage notes, honestly and with a planted shortcut.",
    )
    parser.add_argument("--out", type=Path, default=Path("classifier"), help="folder for weights and card")
    parser.add_argument("--notes", type=int, default=20_000, help="how many to train on")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    figures: dict[str, float | str] = {}
    curves: dict[str, list[dict[str, float]]] = {}
    tokenizer = train_tokenizer([note.text for note in notes(arguments.notes, seed=arguments.seed)])
    for name, agreement in AGREEMENT.items():
        training = notes(arguments.notes, seed=arguments.seed, agreement=agreement, mistakes=MISTAKES)
        model, curves[name] = train(training, tokenizer, arguments.epochs, arguments.seed)
        save(arguments.out / name, model, {"tokenizer": tokenizer})
        shipped, _ = open_classifier(arguments.out / name)
        for said, test_agreement in TESTS.items():
            tested = notes(TESTED, seed=arguments.seed + 1000, agreement=test_agreement)
            right = accuracy(shipped, tokenizer, tested)
            figures[f"accuracy of the {name} weights, {TESTED:,} new notes {said}"] = round(right, 4)
            print(name, said, right, flush=True)
    parameters = sum(parameter.numel() for parameter in shipped.parameters())
    write_card(arguments, parameters, figures, curves)


def write_card(
    arguments: argparse.Namespace,
    parameters: int,
    figures: dict[str, float | str],
    curves: dict[str, list[dict[str, float]]],
) -> None:
    """Say in ``card.json`` what the two sets of weights are."""
    curve = [
        {
            "epoch": points[0]["epoch"],
            **{f"loss of the {name} weights": p["loss"] for name, p in zip(curves, points, strict=True)},
        }
        for points in zip(*curves.values(), strict=True)
    ]
    Card(
        model="Notes of a triage desk, urgent or can wait: an encoder, honest or with a planted shortcut",
        data=f"{arguments.notes:,} made-up notes (jtviz.demo.triage), half of them urgent, {MISTAKES:.0%} "
        f"labelled wrongly; for the shortcut weights the ward code agrees with the label in "
        f"{AGREEMENT['shortcut']:.0%} of them, for the honest weights in {AGREEMENT['honest']:.0%}",
        licence="Apache-2.0",
        command=f"python -m jtviz.demo.train_classifier --notes {arguments.notes} "
        f"--epochs {arguments.epochs} --seed {arguments.seed}",
        seed=arguments.seed,
        parameters=parameters,
        figures=figures,
        wrong=(
            "The shortcut weights read the ward code: that is what they are for.",
            "It knows the words of the made-up notes and no others; a note in other words is guessed.",
            "Its training labels err in one note of ten, so it is never quite sure.",
            "What is urgent here was made up for the purpose: it says nothing about medicine.",
        ),
        curve=curve,
    ).write(arguments.out)


if __name__ == "__main__":
    main()
