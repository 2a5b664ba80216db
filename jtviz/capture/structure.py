"""What can be told about a model before it runs: its arguments, its kind, its longest input.

Required: told from the signature, the configuration and the module tree; no architecture is named
and no library imported. Where a fact cannot be told, None is returned and nothing is assumed.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

_TARGET = (
    "decoder_input_ids",
    "tgt",
    "target",
    "trg",
    "y",
    "decoder_input",
    "target_ids",
    "tgt_ids",
    "decoder_ids",
)
_LIMITS = ("max_position_embeddings", "n_positions", "max_positions", "max_seq_len", "max_len", "block_size")


def parameters(model: nn.Module) -> dict[str, inspect.Parameter]:
    """Return the parameters of the model's forward."""
    return dict(inspect.signature(model.forward).parameters)


def accepts(model: nn.Module, name: str) -> bool:
    """Return whether the forward has an argument of this name (``**kwargs`` do not count)."""
    return name in parameters(model)


def is_hugging_face(model: nn.Module) -> bool:
    """Return whether the model follows the conventions of `transformers` (a config with a model type)."""
    return hasattr(getattr(model, "config", None), "model_type")


def is_encoder_decoder(model: nn.Module) -> bool:
    """Return whether the forward takes a source and a target."""
    if is_hugging_face(model):
        return bool(getattr(config(model), "is_encoder_decoder", False)) and accepts(
            model, "decoder_input_ids"
        )
    given = [p for p in parameters(model).values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    # A second argument that may be left out is what a language model is scored against, not what it reads.
    return len(given) > 1 and given[1].name in _TARGET and given[1].default is inspect.Parameter.empty


def config(model: nn.Module) -> Any:
    """Return the model's configuration, None if it has none."""
    return getattr(model, "config", None)


def setting(model: nn.Module, *names: str) -> int | None:
    """Return the first integer setting of one of these names, from generation config or config."""
    for source in (getattr(model, "generation_config", None), config(model)):
        for name in names:
            value = getattr(source, name, None)
            value = value[0] if isinstance(value, list) and value else value
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return None


def device_of(model: nn.Module) -> torch.device:
    """Return where the model's inputs have to be."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def longest(model: nn.Module, side: str) -> int | None:
    """Return how many tokens one side can read, where its positions are a table; None where they are not.

    Parameters
    ----------
    model : nn.Module
        Any model.
    side : {"encoder", "decoder"}
        Which side of an encoder-decoder.
    """
    said = next((v for v in (getattr(config(model), n, None) for n in _LIMITS) if isinstance(v, int)), None)
    if not is_hugging_face(model):
        return said
    tables = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
        and ("position" in name.rpartition(".")[2] or name.endswith("wpe"))
    ]
    other = "decoder" if side == "encoder" else "encoder"
    own = [(name, table) for name, table in tables if other not in name.split(".")] or tables
    if said is None or not own:
        return None
    # RoBERTa starts counting after the padding id, OPT and BART at an offset of two.
    skipped = [0 if t.padding_idx is None else t.padding_idx + 1 for _, t in own]
    rows = [t.num_embeddings - int(getattr(t, "offset", 0)) for _, t in own]
    return min(said, *(count - skip for count, skip in zip(rows, skipped, strict=True)))
