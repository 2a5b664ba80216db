"""Traces of attention that was computed elsewhere: ready-made patterns, or queries and keys.

Required: numbers are shown as they were given; what cannot be attention (negative weights, NaN, sizes
that do not fit) is refused with one sentence that says which layer and what is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..tokens import Tokens
from .check import row_sums
from .errors import JtvizError
from .inputs import named_sides
from .mask import MaskBook
from .record import looks_causal
from .site import FusedSite, Site, WrittenSite
from .stages import STAGES, Stage, as_stage, match_lengths
from .trace import Trace

Names = Sequence[str] | Mapping[str, Sequence[str]] | None
_SUM_SLACK = 1e-2  # float16 patterns sum to one within this


def from_arrays(attention: Any, tokens: Names = None, *, stage: str | None = None, example: int = 0) -> Trace:
    """Open attention patterns that are there already.

    Parameters
    ----------
    attention : array, sequence of arrays, or mapping of str to either
        Weights ``[layers, heads, queries, keys]``; or one ``[heads, queries, keys]`` a layer, which may
        differ in heads. A batch may stand before the heads, as in ``outputs.attentions`` of a Hugging
        Face model. NumPy arrays, tensors of any float type, or nested lists. With a mapping, the keys are
        stages: ``{"encoder": ..., "decoder": ..., "cross": ...}``.
    tokens : sequence of str, or mapping of str to sequence of str, optional
        One string a token; of both sides, ``{"encoder": [...], "decoder": [...]}``. Positions if left out.
    stage : str, optional
        ``"encoder"``, ``"decoder"`` or ``"cross"``, where `attention` is no mapping. Left out, a pattern in
        which no query sees a later key is the decoder's, any other square one the encoder's.
    example : int
        Which example of a batch.

    Returns
    -------
    Trace
        For `show_attention` and for `Trace.attention`; it has no residual stream and no logits.

    Raises
    ------
    JtvizError
        If the arrays are no attention, or do not fit each other or the tokens.

    Examples
    --------
    >>> trace = from_arrays([[[[1.0, 0.0], [0.5, 0.5]]]], ["Hello", "world"])
    >>> trace.stages, trace.attention("decoder", layer=0).tolist()
    (('decoder',), [[[1.0, 0.0], [0.5, 0.5]]])
    """
    by_stage: dict[Stage, list[Site]] = {}
    notes: list[str] = []
    if stage is not None and isinstance(attention, Mapping):
        raise JtvizError("stage= goes with one array; a mapping names its stages itself.")
    given = attention if isinstance(attention, Mapping) else {stage or "": attention}
    for name, layers in given.items():
        known_layers = _layers(layers, "[layers, heads, queries, keys]")
        patterns = [_example(layer, example, f"layer {i}") for i, layer in enumerate(known_layers)]
        known = as_stage(name or _guess(patterns))
        by_stage[known] = [_written(pattern, known, i, notes) for i, pattern in enumerate(patterns)]
    return _trace(by_stage, tokens, notes)


def from_qkv(
    query: Any,
    key: Any,
    value: Any = None,
    *,
    tokens: Names = None,
    stage: str | None = None,
    causal: bool = False,
    mask: Any = None,
    scale: float | None = None,
) -> Trace:
    """Do what `Trace.from_qkv` promises."""
    if causal and mask is not None:
        raise JtvizError("pass causal=True or mask=, not both: a mask can hide later keys itself.")
    shape = "[layers, heads, tokens, d]"
    queries, keys = _layers(query, shape), _layers(key, shape)
    values = [None] * len(queries) if value is None else _layers(value, shape)
    if not len(queries) == len(keys) == len(values):
        raise JtvizError(f"query, key and value have {len(queries)}, {len(keys)} and {len(values)} layers.")
    alike = queries[0].shape[-2] == keys[0].shape[-2]
    if causal and not alike:
        raise JtvizError("causal=True needs as many keys as queries: pass mask= for anything else.")
    known = as_stage(stage or ("decoder" if causal else "encoder" if alike else "cross"))
    masks = MaskBook()
    sites: list[Site] = []
    for i, (q, k, v) in enumerate(zip(queries, keys, values, strict=True)):
        parts = [_example(x, 0, f"layer {i}") for x in (q, k)]
        parts.append(parts[1][..., :0] if v is None else _example(v, 0, f"layer {i}"))
        site = _fused(parts, known, i, scale)
        wanted = None if mask is None else _mask(mask, site)
        site.mask = masks.enter(wanted, site.queries, site.keys, is_causal=causal)
        sites.append(site)
    return _trace({known: sites}, tokens, [])


def _mask(given: Any, site: FusedSite) -> Tensor:
    mask = torch.as_tensor(given).detach()
    if mask.dtype is not torch.bool and not mask.is_floating_point():
        raise JtvizError("mask must be boolean (True: may look) or float (added to the scores).")
    whole = (site.heads, site.queries, site.keys)
    fits = mask.ndim <= len(whole) and all(
        size in {1, wanted} for size, wanted in zip(reversed(mask.shape), reversed(whole), strict=False)
    )
    if not fits or bool(mask.isnan().any()):
        raise JtvizError(
            f"mask must fit [heads, queries, keys], here {list(whole)}, and hold no NaN; "
            f"it is {list(mask.shape)}."
        )
    return mask


def _layers(given: Any, shape: str) -> list[Tensor]:
    """Return one tensor a layer, whatever they came in."""
    if isinstance(given, list | tuple) and given:
        try:
            layers = [_tensor(part) for part in given]
        except JtvizError:
            layers = []
        if layers and all(layer.ndim in {3, 4} for layer in layers):
            return layers
    whole = _tensor(given)
    if whole.ndim not in {3, 4, 5} or not len(whole):
        raise JtvizError(f"give an array {shape}, or one a layer, not one of shape {list(whole.shape)}.")
    return [whole] if whole.ndim == 3 else list(whole)


def _tensor(given: Any) -> Tensor:
    try:
        tensor = torch.as_tensor(given).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise JtvizError(f"this is no array of numbers: {error}.") from None
    if tensor.is_complex():
        raise JtvizError("this is an array of complex numbers, and attention is real.")
    if not isinstance(given, Tensor):
        # torch would share NumPy's memory, and nobody would notice a change.
        tensor = tensor.clone()
    return tensor if tensor.is_floating_point() else tensor.float()


def _example(layer: Tensor, example: int, name: str) -> Tensor:
    if layer.ndim == 3 and example:
        raise JtvizError(f"example={example} needs a batch: {name} is one example, {list(layer.shape)}.")
    if layer.ndim == 4:
        if not 0 <= example < len(layer):
            raise JtvizError(f"example {example} is not there: {name} has {len(layer)} examples.")
        layer = layer[example]
    if layer.ndim != 3 or not layer.numel():
        raise JtvizError(f"{name} must have heads and tokens, and is of shape {list(layer.shape)}.")
    if not bool(layer.isfinite().all()):
        raise JtvizError(f"{name} holds NaN or infinity: there is nothing to show.")
    return layer


def _guess(patterns: Sequence[Tensor]) -> Stage:
    if any(pattern.shape[1] != pattern.shape[2] for pattern in patterns):
        return "cross"
    causal = {looks_causal(pattern) for pattern in patterns}
    return "decoder" if True in causal and False not in causal else "encoder"


def _written(pattern: Tensor, stage: Stage, layer: int, notes: list[str]) -> WrittenSite:
    name = f"{stage}.{layer}"
    if bool((pattern < 0).any()):
        raise JtvizError(f"{name} has negative weights, and attention has none: give patterns after softmax.")
    least, most = row_sums(pattern)
    if 1 - least > _SUM_SLACK or most - 1 > _SUM_SLACK:
        notes.append(f"rows of {name} sum to {least:.3g} to {most:.3g}, not to one")
    site = WrittenSite(**_shared(name, *pattern.shape), pattern=pattern, sums=(least, most))
    site.watch()
    return site


def _fused(parts: Sequence[Tensor], stage: Stage, layer: int, scale: float | None) -> FusedSite:
    query, key, value = parts
    name = f"{stage}.{layer}"
    fits = key.shape[-1] == query.shape[-1] and value.shape[:2] == key.shape[:2]
    if not fits or len(query) % len(key):
        shapes = ", ".join(str(list(part.shape)) for part in (parts if value.numel() else parts[:2]))
        raise JtvizError(f"queries, keys and values of {name} do not fit each other: {shapes}.")
    site = FusedSite(
        **_shared(name, len(query), query.shape[1], key.shape[1]),
        query=query,
        key=key,
        value=value,
        scale=query.shape[-1] ** -0.5 if scale is None else float(scale),
        group=len(query) // len(key),
    )
    site.watch()
    return site


def _shared(name: str, heads: int, queries: int, keys: int) -> dict[str, Any]:
    shape = {"batch": 1, "heads": heads, "queries": queries, "keys": keys}
    nowhere = {"query_bits": 0, "key_bits": 0, "bit": 0, "causal": None, "blocks": ()}
    # There is no output of a model to compare with.
    return {"path": name, "name": name, "call": 0, "difference": math.nan, **shape, **nowhere}


def _trace(by_stage: Mapping[Stage, Sequence[Site]], tokens: Names, notes: Sequence[str]) -> Trace:
    if not by_stage:
        raise JtvizError("there is no attention to open: the mapping is empty.")
    ordered = {stage: by_stage[stage] for stage in STAGES if stage in by_stage}
    lengths = match_lengths(ordered)
    if not isinstance(tokens, Mapping | Sequence | None):
        raise JtvizError(f"tokens= is a list with one string a token, not {type(tokens).__name__}.")
    if tokens is not None and not isinstance(tokens, Mapping):
        if len(lengths) > 1:
            raise JtvizError("tokens= needs the names of both sides: {'encoder': [...], 'decoder': [...]}.")
        tokens = {next(iter(lengths)): tokens}
    named = named_sides(tokens)
    for side, names in named.items():
        if side not in lengths:
            raise JtvizError(f"there is no side {side!r} to name: choose from {sorted(lengths)}.")
        if len(names) != lengths[side]:
            raise JtvizError(f"the {side} has {lengths[side]} tokens, but {len(names)} names were given.")
    out: dict[str, Tokens] = {
        side: named.get(side) or Tokens.positions(lengths[side])
        for side in ("encoder", "decoder")
        if side in lengths
    }
    return Trace(out, None, None, tuple(notes), ordered)
