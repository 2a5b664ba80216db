"""What an absent token is: the baseline that a text is compared with.

Required: special tokens (begin, end, separators) stay as they are, since a text without them is none;
the result says which baseline it was, because the answer depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from jtviz.capture import JtvizError, Trace
from jtviz.capture.reading import Forward
from jtviz.tokens import Tokens
from jtviz.tokens.codec import codec

BASELINES = ("pad", "mask", "zero", "mean")

_SPELLINGS = {
    "pad": ("<pad>", "[PAD]", "<|pad|>"),
    "mask": ("<mask>", "[MASK]"),
}
_WORDS = {
    "pad": "padding in the place of each token",
    "mask": "the mask token in the place of each token",
    "zero": "a vector of zeros in the place of each token",
    "mean": "the mean of the vocabulary in the place of each token",
}

Side = Literal["source", "target"]


@dataclass(frozen=True, eq=False)
class Baseline:
    """What a text is compared with.

    Attributes
    ----------
    name : str
        ``"pad"``, ``"mask"``, ``"zero"``, ``"mean"`` or a text.
    words : str
        The same in words.
    vectors : dict of str to Tensor
        ``[1, tokens, width]`` for ``"source"`` and ``"target"``.
    """

    name: str
    words: str
    vectors: Mapping[str, Tensor]


def offered(trace: Trace) -> tuple[str, ...]:
    """Return the baselines that the model of a trace has."""
    if trace.reading is None:
        return ()
    tokenizer, ids = trace.reading.tokenizer, trace.reading.prepared.ids
    sides: tuple[Side, ...] = ("source", "target")
    return tuple(
        name
        for name in BASELINES
        if name not in _SPELLINGS
        or (ids and all(_token(tokenizer, name, side) is not None for side in sides if side in ids))
    )


def default_baseline(tokenizer: Any, forward: Forward) -> str:
    """Return ``"pad"`` where tokens have padding, ``"mean"`` where not, ``"zero"`` where there are none.

    Zero is no baseline for tokens: RMSNorm (Zhang & Sennrich 2019) makes any multiple of a vector the same,
    so that all of the way from zeros is in its first step, and no number of steps sums up what happens there.
    """
    sides: tuple[Side, ...] = ("source", "target")
    known = [_token(tokenizer, "pad", side) is not None for side in sides if side in forward.vectors]
    if not forward.reads_tokens:
        return "zero"
    return "pad" if all(known) else "mean"


def make_baseline(name: str, forward: Forward, tokens: Mapping[str, Tokens], tokenizer: Any) -> Baseline:
    """Return the vectors of a baseline.

    Parameters
    ----------
    name : str
        One of `BASELINES`, or a text with as many tokens as the one explained.
    forward : Forward
        The model with its vectors open.
    tokens : mapping of str to Tokens
        The tokens of ``"source"`` and ``"target"``.
    tokenizer : object or None
        Knows the padding and mask tokens.

    Raises
    ------
    JtvizError
        If the model has no such token, or the text is of another length.
    """
    vectors = {}
    for side, own in forward.vectors.items():
        of: Side = "target" if side == "target" else "source"
        vector = _vector(name, forward, of, tokens[side], tokenizer)
        kept = torch.tensor(stays(side, tokens[side]), device=own.device)[None, :, None]
        if name not in BASELINES and side == "source":
            kept = torch.zeros_like(kept)
        vectors[side] = torch.where(_wide(kept, own), own, vector.to(own.dtype).expand_as(own)).detach()
    return Baseline(name, _WORDS.get(name, f"the text “{name}”"), vectors)


def stays(side: str, tokens: Tokens) -> list[bool]:
    """Return whether each token of a side (``"source"`` or ``"target"``) stays whatever the baseline."""
    # The first token that a decoder reads starts it, whatever it is called.
    return [special or (side == "target" and i == 0) for i, special in enumerate(tokens.special)]


def _vector(name: str, forward: Forward, side: Side, tokens: Tokens, tokenizer: Any) -> Tensor:
    own = forward.vectors[side]
    if name == "zero":
        return torch.zeros_like(own)
    if name == "mean":
        return forward.mean_vector(side)
    if name in _SPELLINGS:
        found = _token(tokenizer, name, side)
        if found is None:
            raise JtvizError(
                f"this model has no {name} token: choose another baseline, {', '.join(map(repr, BASELINES))}."
            )
        return forward.look_up(side, torch.tensor([found]))
    if side == "target":
        # A text stands for what was read; what was written stays.
        return own
    if tokenizer is None:
        raise JtvizError("a text as baseline needs a tokenizer.")
    ids = Tokens.encode(tokenizer, name, side).ids or ()
    if len(ids) != len(tokens):
        raise JtvizError(
            f"the baseline has {len(ids)} tokens and the text has {len(tokens)}: a baseline text needs as "
            f"many; or choose from {', '.join(map(repr, BASELINES))}."
        )
    return forward.look_up(side, torch.tensor(ids))


def _wide(kept: Tensor, own: Tensor) -> Tensor:
    """Return a mask ``[1, tokens, 1]`` for vectors of any shape: what is no token is never kept."""
    return (
        kept if kept.shape[1] == own.shape[1] and own.ndim == 3 else torch.zeros_like(own, dtype=torch.bool)
    )


def _token(tokenizer: Any, name: str, side: Side) -> int | None:
    """Return the id of the padding or mask token."""
    if tokenizer is None:
        return None
    said = getattr(tokenizer, f"{name}_token_id", None)
    if isinstance(said, int):
        return said
    reader = codec(tokenizer, side)
    found = (reader.number(spelling) for spelling in _SPELLINGS[name])
    return next((number for number in found if number is not None), None)
