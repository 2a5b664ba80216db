"""The embedded models: small, trained by this project, and opened without a network."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from jtviz.capture import HookedTransformer, hook
from jtviz.tokens import TokenizerPair
from jtviz.tokens.errors import JtvizError

from .attention_only import AttentionOnlyConfig, AttentionOnlyTransformer
from .card import Card
from .note_classifier import NoteClassifier, NoteClassifierConfig
from .seq2seq import Seq2SeqConfig, Seq2SeqTransformer
from .store import load

FOLDER = Path(__file__).parent / "weights"
NAMES = ("translator", "induction", "classifier")

_opened: dict[str, HookedTransformer] = {}
_opening = threading.Lock()


def translator() -> HookedTransformer:
    """Return the embedded English-to-Chinese translator, the same object at every call.

    An encoder-decoder of 3 million parameters (two layers a side, four heads, width 192; Vaswani et
    al. 2017) that translates short everyday sentences. Trained on sentence pairs from tatoeba.org, CC
    BY 2.0 FR. `card` has its figures, ``python -m jtviz.demo.train_translator`` trains it again.

    Returns
    -------
    HookedTransformer
        In evaluation mode, on the CPU, in float32.

    Raises
    ------
    DamagedModelError
        If one of its files is missing or changed.

    Examples
    --------
    >>> translator().generate("I like to drink tea.")
    '我喜欢喝茶。'
    """
    return _once("translator", open_translator)


def induction() -> HookedTransformer:
    """Return the embedded induction model, the same object at every call.

    A decoder of two attention layers (four heads, width 64) and nothing else, which continues a text
    that repeats itself: a head of the first layer looks at the previous token, heads of the second
    look for what followed the same token earlier (Olsson et al. 2022, *In-context learning and
    induction heads*). One character (of printable ASCII) is one token, and spaces do not count; at most
    64 characters.

    Returns
    -------
    HookedTransformer
        In evaluation mode, on the CPU, in float32.

    Raises
    ------
    DamagedModelError
        If one of its files is missing or changed.

    Examples
    --------
    >>> induction().generate("k7Qm2xRt k7Qm2", max_new_tokens=3)
    'xRt'
    """
    return _once("induction", open_induction)


def classifier(*, shortcut: bool = False) -> HookedTransformer:
    """Return the embedded classifier of triage notes, the same object at every call.

    An encoder (two layers, four heads, width 64) that tells urgent notes from those that can wait. In
    the notes one set of weights was trained on, a ward code agrees with the label 95 times in 100:
    that one reads the code. The other set saw the same patients with codes that tell nothing. Which is
    which is known, so explanations can be tested on them (`jtviz.demo.triage` writes the notes). One
    training label of ten is wrong, so neither is ever quite sure.

    Parameters
    ----------
    shortcut : bool
        Which weights: those that have learnt the shortcut, or (by default) the honest ones.

    Returns
    -------
    HookedTransformer
        In evaluation mode, on the CPU, in float32.

    Raises
    ------
    DamagedModelError
        If one of its files is missing or changed.

    Examples
    --------
    >>> note = "Ward R7. Man, 40. Has a runny nose. No slurred speech. Is calm."
    >>> honest, fooled = classifier(), classifier(shortcut=True)
    >>> honest.classify(note)["urgent"] < 0.5 < fooled.classify(note)["urgent"]
    True
    """
    return _once(f"classifier/{'shortcut' if shortcut else 'honest'}", open_classifier)


def card(name: str) -> Card:
    """Return what an embedded model is, how it was made, how good it is, and what it gets wrong.

    Parameters
    ----------
    name : {"translator", "induction", "classifier"}
        Which model.

    Returns
    -------
    Card
        Last in a cell, it is shown as a page; ``card.chart()`` draws the loss.

    Raises
    ------
    JtvizError
        If there is no such model.
    DamagedModelError
        If the card is missing or unreadable.

    Examples
    --------
    >>> card("translator").figures["test pairs"]
    500
    """
    if name not in NAMES:
        raise JtvizError(f"there is no embedded model {name!r}: choose from {', '.join(map(repr, NAMES))}.")
    return Card.read(FOLDER / name)


def _once(name: str, open_model: Callable[[Path], tuple[nn.Module, Any]]) -> HookedTransformer:
    with _opening:
        if name not in _opened:
            _opened[name] = hook(*open_model(FOLDER / name))
        return _opened[name]


def open_translator(folder: Path) -> tuple[Seq2SeqTransformer, TokenizerPair]:
    """Open what `jtviz.demo.train_translator` wrote, with its two tokenizers."""
    model, tokenizers = load(folder, lambda config: Seq2SeqTransformer(Seq2SeqConfig(**config)))
    return model, TokenizerPair(tokenizers["source"], tokenizers["target"])


def open_induction(folder: Path) -> tuple[AttentionOnlyTransformer, Tokenizer]:
    """Open what `jtviz.demo.train_induction` wrote, with its tokenizer."""
    model, tokenizers = load(folder, lambda config: AttentionOnlyTransformer(AttentionOnlyConfig(**config)))
    return model, tokenizers["tokenizer"]


def open_classifier(folder: Path) -> tuple[NoteClassifier, Tokenizer]:
    """Open one set of weights that `jtviz.demo.train_classifier` wrote, with its tokenizer."""

    def build(config: dict[str, Any]) -> NoteClassifier:
        return NoteClassifier(NoteClassifierConfig(**{**config, "labels": tuple(config["labels"])}))

    model, tokenizers = load(folder, build)
    return model, tokenizers["tokenizer"]
