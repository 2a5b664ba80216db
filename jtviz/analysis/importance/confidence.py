"""How sure of itself a head is: the largest weight of a query (Voita et al. 2019).

Required: the number can be checked by hand on the pattern; what is left out is said.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from jtviz.capture import Trace
from jtviz.capture.inputs import Prepared
from jtviz.capture.intervention.places import HeadPlace
from jtviz.capture.structure import setting

from ..attribution.progress import Progress
from .collate import Item
from .opened import Numbers, Opened

_WEIGHTS = 1 << 22  # looked at once, of all heads together
_SPECIAL = (
    ("eos_token_id", "end", "eos"),
    ("bos_token_id", "begin", "bos"),
    ("sep_token_id",),
    ("cls_token_id", "cls"),
    ("pad_token_id", "pad"),
    ("decoder_start_token_id",),
)


def confidence(opened: Opened, progress: Progress) -> Numbers:
    """Return the mean over queries of a head's largest attention weight, ``[heads, examples]``.

    Keys that are special tokens (end of sentence, separators, begin, padding) are left out: a head that has
    nothing to do looks there. Queries of padding are left out, too.
    """
    out = np.zeros((len(opened.heads), len(opened.examples)))
    for number, item in enumerate(opened.examples.items):
        trace, prepared, start = opened.trace(item), opened.prepared(item), 0
        for place in opened.places.heads:
            text = _text(opened, trace, prepared, trace.key_side(place.stage))
            read = _read(trace, item, trace.query_side(place.stage))
            found = _of_layer(trace, place, text, read)
            out[start : start + place.heads, number] = found
            start += place.heads
        progress.advance(1)
    return out


def _of_layer(trace: Trace, place: HeadPlace, text: Tensor, read: Tensor | None) -> Sequence[float]:
    site = trace.site(place.stage, place.layer)
    rows = torch.arange(site.queries)
    if read is not None and len(read) == len(rows):
        rows = rows[read]
    total = torch.zeros(site.heads, dtype=torch.float64)
    if not text.any() or not len(rows):
        return total.tolist()
    for part in torch.split(rows, max(1, _WEIGHTS // (site.heads * site.keys))):
        weights = trace.attention(place.stage, layer=place.layer, rows=part.tolist())
        total += weights[..., text.to(weights.device)].amax(-1).double().sum(-1).cpu()
    return (total / len(rows)).tolist()


def _text(opened: Opened, trace: Trace, prepared: Prepared, side: str) -> Tensor:
    """Return which tokens of a side are no special ones."""
    tokens = trace.tokens[side]
    special = torch.tensor(tokens.special)
    ids = prepared.ids.get("target" if side == "decoder" and len(trace.tokens) > 1 else "source")
    if opened.tokenizer is None and ids is not None and ids.numel() == len(special):
        # The configuration knows.
        known = [setting(opened.model, *names) for names in _SPECIAL]
        numbers = torch.tensor([number for number in known if number is not None])
        special |= torch.isin(ids.flatten().cpu(), numbers)
    return ~special


def _read(trace: Trace, item: Item, side: str) -> Tensor | None:
    is_answer = side == "decoder" and len(trace.tokens) > 1
    mask = item.inputs.get("decoder_attention_mask" if is_answer else "attention_mask")
    return mask[0].ne(0).cpu() if isinstance(mask, Tensor) and mask.ndim == 2 else None
