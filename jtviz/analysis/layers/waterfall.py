"""The terms of a logit as a waterfall: each bar starts where the one before it ended.

Required: exact, however much is taken together: the bars and what rounding left over sum to the logit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby, takewhile

import numpy as np

from jtviz.capture import OutOfRangeError

from .direct import DirectLogit, Layer, Term

MANY = 24
"""Bars that are drawn one by one."""
FEW_UNITS = 10


@dataclass(frozen=True)
class Step:
    """One bar.

    Attributes
    ----------
    kind : {"embedding", "heads", "head", "feed_forward", "unit", "others", "bias"}
        What it is of; ``"heads"`` are those of a layer together.
    name : str
        In words.
    value : float
        What it adds, in logits.
    start : float
        What those before it sum to.
    stage : str or None
        ``"encoder"``, ``"decoder"`` or ``"cross"``, of a head or a feed-forward layer.
    layer : int or None
        Its number.
    head : int or None
        Of a single head, or unit.
    count : int
        How many terms are taken together.
    """

    kind: str
    name: str
    value: float
    start: float = 0.0
    stage: str | None = None
    layer: int | None = None
    head: int | None = None
    count: int = 1

    @property
    def end(self) -> float:
        """What it and those before it sum to."""
        return self.start + self.value


def waterfall(found: DirectLogit, by: str = "layer", most: int | None = MANY) -> tuple[Step, ...]:
    """Return the bars of a logit, in the order in which they are added: biases are last.

    Parameters
    ----------
    found : DirectLogit
        What the parts add.
    by : {"layer", "head"}
        Whether the heads of a layer are taken together.
    most : int or None
        How many bars; of more, the strongest keep their order, and the others follow together. None is all.

    Examples
    --------
    >>> import jtviz
    >>> from jtviz.analysis import direct_logit_attribution
    >>> found = direct_logit_attribution(jtviz.demo.induction().trace("abcabcab"))
    >>> bars = waterfall(found)
    >>> [bar.name for bar in bars][-3:]
    ['decoder 0 · 4 heads', 'decoder 1 · 4 heads', 'biases']
    >>> abs(bars[-1].end + found.rest - found.value) < 1e-6
    True
    """
    short = _short([term.name for term in found.terms if term.kind == "embedding"])
    terms = [
        replace(term, name=short.get(term.name, term.name))
        for term in found.terms
        if term.kind not in {"bias", "rest"}
    ]
    steps = [_alone(term) for term in terms] if by == "head" else list(_by_layer(terms))
    return _stacked([*_strongest(steps, most), Step("bias", "biases", found.bias)])


def unit_waterfall(found: DirectLogit, layer: Layer, most: int = FEW_UNITS) -> tuple[Step, ...]:
    """Return the bars of the units of a feed-forward layer, the strongest first, from 0.

    Parameters
    ----------
    found : DirectLogit
        What the parts add.
    layer : (str, int)
        Stage and layer.
    most : int
        How many units have a bar of their own.

    Raises
    ------
    OutOfRangeError
        If there is no such layer.
    """
    if layer not in found.units:
        raise OutOfRangeError(f"there is no feed-forward layer {layer[1]} of the {layer[0]} in this logit.")
    values = found.units[layer]
    order = np.argsort(-np.abs(values), kind="stable")
    stage, number = layer
    steps = [Step("unit", f"unit {i}", float(values[i]), 0.0, stage, number, int(i)) for i in order[:most]]
    others = order[most:]
    if len(others):
        steps.append(_others(len(others), float(values[others].sum())))
    return _stacked(steps)


def _short(paths: list[str]) -> dict[str, str]:
    """Return names of modules without what all of their paths begin with."""
    parts = [path.split(".") for path in paths]
    above = zip(*(own[:-1] for own in parts), strict=False)
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, above))
    return {path: ".".join(own[shared:]) for path, own in zip(paths, parts, strict=True)}


def _alone(term: Term) -> Step:
    name = {
        "head": f"{term.stage} {term.layer} · head {term.head}",
        "feed_forward": f"feed-forward {term.layer}",
        "embedding": f"embedding · {term.name}",
    }.get(term.kind, term.name)
    return Step(term.kind, name, term.value, 0.0, term.stage, term.layer, term.head)


def _by_layer(terms: Iterable[Term]) -> Iterable[Step]:
    """Yield terms, the heads of each layer and stage as one."""
    for (kind, stage, layer), group in groupby(terms, lambda term: (term.kind, term.stage, term.layer)):
        together = list(group)
        if kind != "head":
            yield from map(_alone, together)
            continue
        count = len(together)
        name = f"{stage} {layer} · {count} {'head' if count == 1 else 'heads'}"
        value = sum(term.value for term in together)
        yield Step("heads", name, value, 0.0, stage, layer, count=count)


def _strongest(steps: list[Step], most: int | None) -> list[Step]:
    # One bar for one other would tell less than its own.
    if most is None or len(steps) <= most + 1:
        return steps
    kept = set(sorted(range(len(steps)), key=lambda i: -abs(steps[i].value))[:most])
    others = [step for i, step in enumerate(steps) if i not in kept]
    shown = [step for i, step in enumerate(steps) if i in kept]
    return [*shown, _others(len(others), sum(step.value for step in others))]


def _others(count: int, value: float) -> Step:
    return Step("others", f"the other {count:,} together", value, count=count)


def _stacked(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return bars that each start where the one before ended."""
    at, stacked = 0.0, []
    for step in steps:
        stacked.append(replace(step, start=at))
        at = stacked[-1].end
    return tuple(stacked)
