"""Find the tokenizer that belongs to a model, so that nobody has to pass what is already known."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import TokenizerNotFoundError

_HOW = (
    "pass one: tokenizer=AutoTokenizer.from_pretrained(...), a tokenizers.Tokenizer, or inputs= and tokens="
)


def find_tokenizer(model: Any) -> Any:
    """Return the tokenizer of a model.

    Looked for in this order: an attribute ``tokenizer`` (a pipeline, a hooked model, a plain module
    that carries one); for a Hugging Face model, the checkpoint its configuration names.

    Parameters
    ----------
    model : object
        A pipeline, a hooked model or a module.

    Raises
    ------
    TokenizerNotFoundError
        If there is none; the message says how to pass one.
    """
    attached = getattr(model, "tokenizer", None)
    if attached is not None:
        return attached
    name = getattr(getattr(model, "config", None), "_name_or_path", "") or ""
    if not name:
        raise TokenizerNotFoundError(f"no tokenizer was found on {type(model).__name__}: {_HOW}.")
    try:
        # Only a Hugging Face model gets here, so transformers is installed and already imported.
        return importlib.import_module("transformers").AutoTokenizer.from_pretrained(name)
    except Exception as error:  # the hub fails in many ways, and each means the same to the reader
        raise TokenizerNotFoundError(
            f"no tokenizer could be loaded for {name!r} ({type(error).__name__}): {_HOW}."
        ) from error
