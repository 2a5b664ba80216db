"""Models on disk: one folder with the weights, the configuration, the tokenizers and a checksum of each.

Required: what is opened is what was saved, or it is refused with a sentence that names the file;
opening a model leaves the reader's random numbers alone.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_model, save_model
from tokenizers import Tokenizer
from torch import nn

from jtviz.tokens.errors import JtvizError

WEIGHTS, CONFIG, CHECKSUMS = "model.safetensors", "config.json", "sha256.json"

Model = TypeVar("Model", bound=nn.Module)


class DamagedModelError(JtvizError):
    """A file of an embedded model is missing or is not what was shipped."""


def save(folder: Path, model: Any, tokenizers: Mapping[str, Tokenizer]) -> None:
    """Write a model whose ``config`` is a dataclass.

    Parameters
    ----------
    folder : Path
        Made if it is not there. ``sha256.json`` is written last.
    model : nn.Module
        Its weights are written in float16; tied ones once.
    tokenizers : mapping of str to Tokenizer
        Each is written as ``<name>.json``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_model(copy.deepcopy(model).half(), str(folder / f"{WEIGHTS}.new"))
    (folder / f"{WEIGHTS}.new").replace(folder / WEIGHTS)
    write_json(folder / CONFIG, asdict(model.config))
    for name, tokenizer in tokenizers.items():
        tokenizer.save(str(folder / f"{name}.json"), pretty=False)
    files = (WEIGHTS, CONFIG, *(f"{name}.json" for name in tokenizers))
    write_json(folder / CHECKSUMS, {file: _checksum(folder / file) for file in files})


def load(folder: Path, build: Callable[[dict[str, Any]], Model]) -> tuple[Model, dict[str, Tokenizer]]:
    """Open what `save` wrote.

    Parameters
    ----------
    folder : Path
        Of the model.
    build : callable
        Makes the untrained model of a configuration.

    Returns
    -------
    model : nn.Module
        In evaluation mode, on the CPU, in float32.
    tokenizers : dict of str to Tokenizer
        By the names they were saved under.

    Raises
    ------
    DamagedModelError
        If a file is missing, or is not the one that was saved.
    """
    files = _verified(folder)
    # Drawing initial weights that are overwritten at once must not move the reader's random numbers, and
    # what the reader has switched on round this call must not follow the model about.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(mode=False), torch.device("cpu"):
        model = build(json.loads((folder / CONFIG).read_text(encoding="utf-8"))).float()
        load_model(model, str(folder / WEIGHTS))
    names = [file.removesuffix(".json") for file in files if file not in (WEIGHTS, CONFIG)]
    return model.eval(), {name: Tokenizer.from_file(str(folder / f"{name}.json")) for name in names}


def write_json(path: Path, content: Any) -> None:
    """Write JSON that a person can read."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _verified(folder: Path) -> list[str]:
    """Return the files of a model, each of them there and unchanged."""
    try:
        recorded = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        files = {str(file): str(checksum) for file, checksum in recorded.items()}
    except (OSError, ValueError, AttributeError):
        raise _damaged(folder, CHECKSUMS) from None
    for file, checksum in {WEIGHTS: "", CONFIG: "", **files}.items():
        try:
            intact = _checksum(folder / file) == checksum
        except OSError:
            intact = False
        if not intact:
            raise _damaged(folder, file)
    return list(files)


def _damaged(folder: Path, file: str) -> DamagedModelError:
    state = "is not what was shipped" if (folder / file).exists() else "is missing"
    return DamagedModelError(
        f"the embedded model in {folder} is damaged ({file} {state}): install jtviz again, "
        f"with pip install --force-reinstall jtviz."
    )


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
