"""Let an encoder-decoder answer a batch of texts.

Required: greedily, and each text as if it stood alone; a model whose ``generate`` takes no batch answers
one text at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jtviz.capture.generation import decoder_begin, generate_ids
from jtviz.capture.structure import is_hugging_face, longest, setting

LONGEST = 60
"""New tokens an answer may have."""


def written(
    model: nn.Module, tokenizer: Any, together: Mapping[str, Tensor], alone: Sequence[Mapping[str, Tensor]]
) -> list[list[int]]:
    """Return the ids of an answer to each text, from the begin token on.

    Parameters
    ----------
    model : nn.Module
        An encoder-decoder, in evaluation mode.
    tokenizer : object or None
        Knows the begin and end tokens where the configuration does not.
    together : mapping of str to Tensor
        What the encoder reads, of all texts.
    alone : sequence of mappings
        The same of each text, without padding.

    Raises
    ------
    JtvizError
        If the model cannot write.
    """
    with torch.no_grad():
        ids = _in_one(model, together) if len(alone) > 1 else None
        if ids is None or len(ids) != len(alone):
            return [
                generate_ids(model, tokenizer, dict(one), max_new_tokens=LONGEST, num_beams=1)
                for one in alone
            ]
        return [_cut(model, tokenizer, row) for row in ids.tolist()]


def _in_one(model: nn.Module, together: Mapping[str, Tensor]) -> Tensor | None:
    """Return what the model's own ``generate`` writes to all texts; None if it has none."""
    own: Any = getattr(model, "generate", None)
    if own is None:
        return None
    limit = longest(model, "decoder")
    count = LONGEST if limit is None else min(LONGEST, limit)
    if is_hugging_face(model):
        made: Any = own(**together, max_new_tokens=count, do_sample=False, num_beams=1)
        return torch.as_tensor(made)
    options = {"max_new_tokens": count, "num_beams": 1}
    takes = inspect.signature(own).parameters
    try:
        made = own(next(iter(together.values())), **{n: v for n, v in options.items() if n in takes})
    except (RuntimeError, ValueError, TypeError, IndexError):
        # Made for one text: it answers them one by one.
        return None
    return made if isinstance(made, Tensor) and made.ndim == 2 else None


def _cut(model: nn.Module, tokenizer: Any, ids: list[int]) -> list[int]:
    """Return an answer without what fills the batch up: all after the end token, and padding."""
    if not is_hugging_face(model):
        begin = decoder_begin(model, tokenizer)
        ids = ids if ids[:1] == [begin] else [begin, *ids]
    end, pad = setting(model, "eos_token_id", "end", "eos"), setting(model, "pad_token_id", "pad")
    # BART begins with its end token, T5 with its padding.
    last = next((place for place, i in enumerate(ids) if place and i == end), len(ids))
    ids = ids[: last + 1]
    while len(ids) > 2 and ids[-1] == pad:
        ids.pop()
    return ids
