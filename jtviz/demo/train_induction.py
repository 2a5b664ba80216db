"""Train the embedded induction model: random tokens that repeat themselves, read by attention alone.

Run as ``python -m jtviz.demo.train_induction``; it takes about six minutes on one core. No data is needed.

Required: a run can be repeated from its seed; the scores in the card are those of the shipped weights
on sequences drawn anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional as F

from jtviz.analysis import RepeatScores, repeat_scores
from jtviz.capture import hook

from .attention_only import AttentionOnlyConfig, AttentionOnlyTransformer
from .card import Card
from .embedded import open_induction
from .store import save
from .training import schedule

LENGTH = 64
PERIODS = (8, 32)


def make_tokenizer() -> Tokenizer:
    """Return a tokenizer with one token for each printable ASCII character; spaces are left out."""
    characters = [chr(code) for code in range(33, 127)]
    vocabulary = {token: number for number, token in enumerate(["<unk>", *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(Regex(r"\s"), "")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def repeats(count: int, vocabulary: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw sequences ``[count, 64]`` of random tokens, each repeating itself with a period of its own.

    Returns the token ids and the periods ``[count]``, from 8 to 32.
    """
    periods = torch.randint(PERIODS[0], PERIODS[1] + 1, (count,), generator=generator)
    drawn = torch.randint(vocabulary, (count, PERIODS[1]), generator=generator)
    return drawn.gather(1, torch.arange(LENGTH) % periods[:, None]), periods


def loss_of(model: nn.Module, ids: Tensor, periods: Tensor) -> Tensor:
    """Cross entropy where the next token can be known: once a token has come for the second time."""
    known = torch.arange(1, LENGTH) > periods[:, None]
    loss: Tensor = F.cross_entropy(model(ids[:, :-1])[known], ids[:, 1:][known])
    return loss


def train(
    layers: int, steps: int, seed: int, vocabulary: int
) -> tuple[AttentionOnlyTransformer, list[dict[str, float]]]:
    """Train a model of so many layers; return it with the loss on the way."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = AttentionOnlyTransformer(AttentionOnlyConfig(vocabulary, layers=layers))
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3, betas=(0.9, 0.98), weight_decay=0.01)
    rate = schedule(optimizer, 100, steps)
    curve = []
    for step in range(1, steps + 1):
        loss = loss_of(model, *repeats(64, vocabulary, generator))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        # Densely where induction forms, then now and then.
        if step <= 3 or step % (20 if step <= 400 else 400) == 0:
            curve.append({"step": step, "loss": round(loss.item(), 4)})
            print(f"{layers} layers, step {step}: loss {loss.item():.4f}", flush=True)
    return model.eval(), curve


def measure(model: AttentionOnlyTransformer, period: int, sequences: int = 32) -> tuple[RepeatScores, float]:
    """Return mean head scores on sequences of two equal halves, and how often the next token is right.

    Asked are the rows that read a token for the second time: what followed it is known.
    """
    generator = torch.Generator().manual_seed(period)
    hooked = hook(model)
    scores, right = [], 0.0
    for _ in range(sequences):
        half = torch.randint(model.config.vocab_size, (1, period), generator=generator)
        ids = torch.cat([half, half], dim=1)
        scores.append(repeat_scores(hooked.trace(inputs={"input_ids": ids}), period))
        right += model(ids)[0, period:-1].argmax(-1).eq(half[0, 1:]).float().mean().item() / sequences
    names = ("previous_token", "duplicate_token", "induction")
    mean = RepeatScores(*(torch.stack([getattr(s, name) for s in scores]).mean(0) for name in names))
    return mean, right


def figures(model: AttentionOnlyTransformer, one_layer: AttentionOnlyTransformer) -> dict[str, float | str]:
    """Measure what the card says."""
    out: dict[str, float | str] = {}
    for period in (8, 16, 24, 32):
        scores, right = measure(model, period)
        said = f"two halves of {period} random tokens"
        out[f"accuracy in the second half, {said}"] = round(right, 4)
        out[f"previous-token scores of layer 0, {said}"] = _listed(scores.previous_token[0])
        out[f"induction scores of layer 1, {said}"] = _listed(scores.induction[1])
    scores, right = measure(one_layer, PERIODS[1])
    said = f"two halves of {PERIODS[1]}, the same training with one layer"
    out[f"accuracy in the second half, {said}"] = round(right, 4)
    out[f"induction scores, {said}"] = _listed(scores.induction[0])
    return out


def _listed(scores: Tensor) -> str:
    return ", ".join(f"{score:.2f}" for score in scores.tolist())


def main() -> None:
    """Parse the command line, train, measure and write the card."""
    parser = argparse.ArgumentParser(
        prog="python -m jtviz.demo.train_induction", description="Train the embedded induction model."
    )
    parser.add_argument("--out", type=Path, default=Path("induction"), help="folder for weights and card")
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    tokenizer = make_tokenizer()
    vocabulary = tokenizer.get_vocab_size()
    one_layer, _ = train(1, arguments.steps, arguments.seed, vocabulary)
    model, curve = train(2, arguments.steps, arguments.seed, vocabulary)
    save(arguments.out, model, {"tokenizer": tokenizer})
    shipped, _ = open_induction(arguments.out)
    Card(
        model="The next character of a text that repeats itself: a decoder of two attention layers alone",
        data="generated by the training script: random characters that repeat with a period of 8 to 32",
        licence="Apache-2.0",
        command=f"python -m jtviz.demo.train_induction --steps {arguments.steps} --seed {arguments.seed}",
        seed=arguments.seed,
        parameters=sum(parameter.numel() for parameter in shipped.parameters()),
        figures=figures(shipped, one_layer),
        wrong=(
            "It knows no language: before a text repeats itself, its guess is as good as any.",
            "It reads at most 64 characters, printable ASCII only, and leaves out spaces.",
            "Where a character occurs twice within one period, both places that followed it are looked at.",
            "Where a text comes three times, weight is spread over both earlier copies: scores are lower.",
        ),
        curve=curve,
    ).write(arguments.out)


if __name__ == "__main__":
    main()
