"""The embedded English-to-Chinese translator."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from jtviz.capture import HookedTransformer, hook
from jtviz.tokens import TokenizerPair

from .seq2seq import Seq2SeqConfig, Seq2SeqTransformer

FOLDER = Path(__file__).parent / "weights" / "translator"


@cache
def translator() -> HookedTransformer:
    """Return the embedded English-to-Chinese translator, the same object at every call.

    An encoder-decoder of 3 million parameters (two layers a side, four heads, width 192; Vaswani et
    al. 2017) that translates short everyday sentences. Trained on sentence pairs from tatoeba.org, CC
    BY 2.0 FR; ``jtviz/demo/weights/translator/card.json`` has its figures, `jtviz.demo.train_translator`
    the recipe.

    Returns
    -------
    HookedTransformer
        In evaluation mode, on the CPU, in float32.

    Examples
    --------
    >>> translator().generate("I like to drink tea.")
    '我喜欢喝茶。'
    """
    return hook(*load(FOLDER))


def load(folder: Path) -> tuple[Seq2SeqTransformer, TokenizerPair]:
    """Read a model that `jtviz.demo.train_translator` wrote, with its two tokenizers."""
    config = Seq2SeqConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    # Drawing initial weights that are overwritten at once must not move the reader's random numbers.
    with torch.random.fork_rng(devices=[]):
        model = Seq2SeqTransformer(config)
    weights = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    weights["project.weight"] = weights["target_embedding.weight"]
    model.load_state_dict(weights)
    source, target = (Tokenizer.from_file(str(folder / f"{side}.json")) for side in ("source", "target"))
    return model.eval(), TokenizerPair(source, target)
