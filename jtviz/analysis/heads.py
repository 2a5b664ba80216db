"""What each head of a trace does, in a few numbers, and which heads do a named thing.

Required: every number is a mean over tokens that can be checked by hand on the pattern; what does not
apply (no token is repeated, no gradients) is NaN, never zero; memory does not grow with the square of the
length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from jtviz.capture import OutOfRangeError, Trace
from jtviz.capture.errors import JtvizError
from jtviz.capture.part import is_int
from jtviz.tokens import Tokens

_SCORES = 1 << 22  # weights looked at once, of all heads together


@dataclass(frozen=True, eq=False)
class HeadMeasures:
    """Measures of all heads of a stage, each ``[layers, heads]``; NaN where one does not apply.

    Layers with fewer heads than the widest end with NaN. Means are over queries. Weight is a share of
    attention, 0 to 1. Padding counts like any token: measure a text without.

    Attributes
    ----------
    entropy : Tensor
        ``-sum(a ln a)`` of a row, in nats: 0 where a query looks at one token, ``ln n`` where evenly at n.
    distance : Tensor
        How many tokens away a query looks on average.
    first_token : Tensor
        Weight of the first token, where heads with nothing to do look (Xiao et al. 2024, attention sinks).
    diagonal : Tensor
        Weight of the query's own token.
    previous_token : Tensor
        Weight of the token before.
    duplicate_token : Tensor
        Weight of earlier copies of the same token; over queries that have one.
    induction : Tensor
        Weight of the tokens that followed those copies (Olsson et al. 2022); over the same queries.
    same_word : Tensor
        Weight of the other tokens of the query's word; over words of several tokens.
    gradient : Tensor
        ``|sum(A * dL/dA)|``, what switching the head off changes to first order (Michel et al. 2019,
        equation 2), in units of the target; only of a trace with gradients.
    """

    entropy: Tensor
    distance: Tensor
    first_token: Tensor
    diagonal: Tensor
    previous_token: Tensor
    duplicate_token: Tensor
    induction: Tensor
    same_word: Tensor
    gradient: Tensor


MEASURES = tuple(field.name for field in fields(HeadMeasures))

LEAST = {
    "first_token": 0.5,
    "diagonal": 0.4,
    "previous_token": 0.4,
    "duplicate_token": 0.4,
    "induction": 0.4,
    "same_word": 0.4,
}
"""The weight from which a head is said to do a thing: most of what it has, or nearly so."""


@dataclass(frozen=True)
class FoundHead:
    """A head that does what was looked for.

    Attributes
    ----------
    stage, layer, head
        Where it is.
    value : float
        The measure.
    """

    stage: str
    layer: int
    head: int
    value: float


def head_measures(trace: Trace, stage: str, *, sample: int | None = None) -> HeadMeasures:
    """Measure what every head of a stage does.

    Parameters
    ----------
    trace : Trace
        Of any model. The time grows with the square of the length: seconds for 1,000 tokens and 12 x 12
        heads.
    stage : str
        ``"encoder"``, ``"decoder"`` or ``"cross"``. In cross attention only entropy, the first token's
        weight and the gradient apply, since queries and keys are of two texts.
    sample : int, optional
        Measure on this many queries, evenly spread, instead of all: an estimate, for long texts.

    Returns
    -------
    HeadMeasures
        Float32 tensors ``[layers, heads]``.

    Raises
    ------
    JtvizError
        If there is no such stage, or `sample` is no number of queries.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.hook(jtviz.demo.induction()).trace("k7Qm2xRt k7Qm2xRt")
    >>> measures = head_measures(trace, "decoder")
    >>> measures.induction.shape, bool(measures.induction[1].max() > 0.8)
    (torch.Size([2, 4]), True)
    """
    if sample is not None and (not is_int(sample) or sample < 1):
        raise JtvizError(f"sample= is a number of queries, at least 1, not {sample!r}.")
    layers = trace.layers(stage)
    most = max(trace.heads(stage, layer) for layer in range(layers))
    found = {name: torch.full((layers, most), torch.nan) for name in MEASURES}
    for layer in range(layers):
        for name, values in _measure(trace, stage, layer, sample).items():
            found[name][layer, : len(values)] = values
    return HeadMeasures(**found)


def find_heads(
    trace: Trace, measure: str, stage: str | None = None, at_least: float | None = None
) -> list[FoundHead]:
    """Return the heads that do a thing, the clearest first.

    Parameters
    ----------
    trace : Trace
        Of any model.
    measure : str
        What to look for: one of `LEAST`, such as ``"previous_token"`` or ``"induction"``.
    stage : str, optional
        Where to look; in every stage if left out.
    at_least : float, optional
        The weight, 0 to 1, from which a head counts; from `LEAST` if left out.

    Returns
    -------
    list of FoundHead
        Empty where no head reaches `at_least`, or the measure does not apply to the text.

    Raises
    ------
    OutOfRangeError
        If heads are not found by such a measure.
    JtvizError
        If there is no such stage, or `at_least` is no share.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.hook(jtviz.demo.induction()).trace("k7Qm2xRt k7Qm2xRt")
    >>> {(found.layer, found.value > 0.4) for found in find_heads(trace, "induction")}
    {(1, True)}
    """
    if measure not in LEAST:
        raise OutOfRangeError(f"heads are found by {', '.join(map(repr, LEAST))}, not {measure!r}.")
    least = LEAST[measure] if at_least is None else at_least
    if not 0 <= least <= 1:
        raise JtvizError(f"at_least= is a share of attention, 0 to 1, not {at_least!r}.")
    found = []
    for name in trace.stages if stage is None else [stage]:
        values = getattr(head_measures(trace, name), measure)
        # NaN is not at least anything.
        for layer, head in (values >= least).nonzero().tolist():
            found.append(FoundHead(name, layer, head, float(values[layer, head])))
    return sorted(found, key=lambda head: -head.value)


def _measure(trace: Trace, stage: str, layer: int, sample: int | None) -> dict[str, Tensor]:
    """Return the measures that apply to one layer, each ``[heads]``."""
    site = trace.site(stage, layer)
    is_self = trace.query_side(stage) == trace.key_side(stage)
    tokens = trace.tokens[trace.key_side(stage)]
    masks = _relations(tokens) if is_self else {}
    totals: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def add(name: str, values: Tensor) -> None:
        """Count values ``[heads, queries]``."""
        totals[name] = totals.get(name, torch.zeros(len(values))) + values.double().sum(-1).cpu()
        counts[name] = counts.get(name, 0) + values.shape[-1]

    step = max(1, _SCORES // (site.heads * site.keys))
    keys = torch.arange(site.keys, device=site.kept[0].device)
    measured = torch.arange(site.queries, device=keys.device)
    if sample is not None and sample < site.queries:
        measured = torch.linspace(0, site.queries - 1, sample, device=keys.device).round().long()
    for queries in torch.split(measured, step):
        is_all = len(measured) == site.queries
        rows = slice(int(queries[0]), int(queries[-1]) + 1) if is_all else queries.tolist()
        weights = trace.attention(stage, layer=layer, rows=rows)
        add("entropy", torch.special.entr(weights).sum(-1))
        add("first_token", weights[..., 0])
        if trace.target is not None:
            effect = weights * trace.gradient(stage, layer=layer, rows=rows)
            totals["gradient"] = totals.get("gradient", torch.zeros(1)) + effect.double().sum((-2, -1)).cpu()
        if not is_self:
            continue
        add("distance", (weights * (keys - queries[:, None]).abs()).sum(-1))
        add("diagonal", weights.gather(-1, queries.expand(len(weights), -1)[..., None])[..., 0])
        later = (queries > 0).nonzero()[:, 0]
        add("previous_token", weights[:, later, queries[later] - 1])
        for name, relation in masks.items():
            related, applies = (found.to(weights.device) for found in relation(queries.cpu()))
            # Few pairs are related: a product with the mask would read every weight.
            row, key = related.nonzero().T
            share = torch.zeros(weights.shape[:2], device=weights.device)
            add(name, share.index_add_(1, row, weights[:, row, key])[:, applies])
    means = {name: totals[name] / count for name, count in counts.items() if count}
    if "gradient" in totals:
        means["gradient"] = totals["gradient"].abs() * (site.queries / len(measured))
    return {name: values.float() for name, values in means.items()}


Relation = Callable[[Tensor], tuple[Tensor, Tensor]]


def _relations(tokens: Tokens) -> dict[str, Relation]:
    """Return what tells which keys are meant: for queries ``[n]`` a mask ``[n, keys]``, and who has any."""
    names = tokens.ids if tokens.ids is not None else tokens.text
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    ids = torch.tensor([numbers[name] for name in names])
    words = torch.tensor([-1 - i if word is None else word for i, word in enumerate(tokens.words)])
    places = torch.arange(len(ids))

    def copies(queries: Tensor) -> Tensor:
        return (ids == ids[queries, None]) & (places < queries[:, None])

    def duplicate(queries: Tensor) -> tuple[Tensor, Tensor]:
        mask = copies(queries)
        return mask, mask.any(-1)

    def induction(queries: Tensor) -> tuple[Tensor, Tensor]:
        mask = copies(queries)
        after = torch.zeros_like(mask)
        after[:, 1:] = mask[:, :-1]
        # The token after a copy next to the query is the query itself.
        return after & (places < queries[:, None]), mask.any(-1)

    def same_word(queries: Tensor) -> tuple[Tensor, Tensor]:
        mask = (words == words[queries, None]) & (places != queries[:, None])
        return mask, mask.any(-1)

    return {"duplicate_token": duplicate, "induction": induction, "same_word": same_word}
