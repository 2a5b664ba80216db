"""Feed-forward units: the strongest for a token, the strongest tokens for one, and what goes together.

Required: an activation is the input of the last linear layer of a block's feed-forward part, as the model
itself computed it; memory over many texts is bounded and stated.
"""

from __future__ import annotations

import heapq
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from jtviz.capture import JtvizError, OutOfRangeError, Trace
from jtviz.capture.part import is_int

from .again import places_of, run_again
from .extra import learn
from .texts import read, side_of

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 1 << 30
"""Bytes of activations that are factorised at once."""


@dataclass(frozen=True)
class StrongestUnits:
    """The units that a token sets off most. Made by `strongest_units`.

    Attributes
    ----------
    units : tuple of int
        Those with the largest magnitude first.
    values : tuple of float
        Their activations.
    """

    units: tuple[int, ...]
    values: tuple[float, ...]

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each unit."""
        import pandas as pd

        return pd.DataFrame({"unit": self.units, "value": self.values})


@dataclass(frozen=True)
class StrongToken:
    """A token that sets a unit off.

    Attributes
    ----------
    value : float
        The activation.
    text : int
        Number of its text.
    token : int
        Its position.
    label : str
        The token as it reads.
    sentence : str
        The text.
    """

    value: float
    text: int
    token: int
    label: str
    sentence: str


@dataclass(frozen=True)
class StrongestTokens:
    """The tokens that set a unit off most. Made by `strongest_tokens`.

    Attributes
    ----------
    tokens : tuple of StrongToken
        Those with the largest magnitude first.
    n : int
        Of how many tokens.
    """

    tokens: tuple[StrongToken, ...]
    n: int

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each token."""
        import pandas as pd

        return pd.DataFrame([vars(one) for one in self.tokens])


@dataclass(frozen=True, eq=False)
class Factors:
    """Activations as sums of few patterns. Made by `factorise`.

    Attributes
    ----------
    weights : tuple of Tensor
        For each text float32 ``[tokens, components]``: how much of each pattern is in each token; never
        negative. A component's largest weight over all texts is one.
    components : Tensor
        Float32 ``[components, units]``: the patterns.
    tokens : tuple of (tuple of str)
        For each text its tokens.
    error : float
        What the patterns leave out, ``|A - W H| / |A|``.
    converged : bool
        Whether the solver had arrived.
    """

    weights: tuple[Tensor, ...] = field(repr=False)
    components: Tensor = field(repr=False)
    tokens: tuple[tuple[str, ...], ...] = field(repr=False)
    error: float
    converged: bool

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each token: ``text``, ``token``, ``label`` and ``c0``, ``c1``, ..."""
        import pandas as pd

        rows = [
            {"text": number, "token": i, "label": label} | {f"c{j}": float(x) for j, x in enumerate(row)}
            for number, (weights, labels) in enumerate(zip(self.weights, self.tokens, strict=True))
            for i, (row, label) in enumerate(zip(weights, labels, strict=True))
        ]
        return pd.DataFrame(rows)


def activations(trace: Trace, side: str | None = None, layer: int = 0) -> Tensor:
    """Return what feed-forward units put out: the input of the last linear layer of a block.

    Parameters
    ----------
    trace : Trace
        Its text is read once more, by a twin of the model.
    side : {"encoder", "decoder"}, optional
        The encoder's where there is one, if left out.
    layer : int
        The block, from 0.

    Returns
    -------
    Tensor
        Float32 ``[tokens, units]``, on the CPU.

    Raises
    ------
    JtvizError
        If there is no such side, no feed-forward units were found, or the model is gone or was changed.
    OutOfRangeError
        If there is no such layer.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.demo.translator().trace("I like tea.")
    >>> activations(trace, "encoder", layer=1).shape
    torch.Size([5, 512])
    """
    place = places_of(trace).unit(side_of(trace, side), layer)
    return run_again(trace, [place])[place][0]


def strongest_units(
    trace: Trace, side: str | None = None, layer: int = 0, token: int = -1, *, count: int = 10
) -> StrongestUnits:
    """Return the feed-forward units that a token sets off most.

    Parameters
    ----------
    trace, side, layer
        As in `activations`.
    token : int
        Its position.
    count : int
        How many units at most.

    Raises
    ------
    JtvizError
        As `activations`, or if `count` is no number of units.
    OutOfRangeError
        If there is no such layer or token.

    Examples
    --------
    >>> import jtviz
    >>> found = strongest_units(jtviz.demo.translator().trace("I like tea."), "encoder", 1, token=2)
    >>> len(found.units), abs(found.values[0]) >= abs(found.values[1])
    (10, True)
    """
    _at_least_one("count", count)
    length = len(trace.tokens[side_of(trace, side)])
    if not is_int(token) or not -length <= token < length:
        raise OutOfRangeError(f"token {token!r} is not there: tokens are 0 to {length - 1}.")
    row = activations(trace, side, layer)[token]
    order = row.abs().argsort(descending=True, stable=True)[:count]
    return StrongestUnits(tuple(order.tolist()), tuple(row[order].tolist()))


def strongest_tokens(
    model: Any,
    texts: Any,
    side: str | None = None,
    layer: int = 0,
    unit: int = 0,
    *,
    count: int = 20,
    tokenizer: Any = None,
    progress: bool | None = None,
) -> StrongestTokens:
    """Return the tokens of a data set that set a feed-forward unit off most.

    Parameters
    ----------
    model : nn.Module, pipeline or HookedTransformer
        Any model that reads texts; each is read twice.
    texts : iterable of str, or data frame
        As in `read`. They stream: memory is that of one text.
    side, layer
        As in `activations`.
    unit : int
        From 0.
    count : int
        How many tokens at most. Special tokens are left out: they are the same in every text.
    tokenizer, progress
        As in `read`.

    Raises
    ------
    JtvizError
        As `activations` and `read`.
    OutOfRangeError
        If there is no such layer or unit.

    Examples
    --------
    >>> import jtviz
    >>> found = strongest_tokens(jtviz.demo.translator(), ["I like tea.", "We drink milk."], unit=7, count=3)
    >>> len(found.tokens), found.n
    (3, 8)
    """
    _at_least_one("count", count)
    best: list[tuple[float, int, int, StrongToken]] = []
    total = 0
    for number, trace in enumerate(read(model, texts, side, tokenizer=tokenizer, progress=progress)):
        own = side_of(trace, side)
        place = places_of(trace).unit(own, layer)
        if not is_int(unit) or not -place.units <= unit < place.units:
            raise OutOfRangeError(
                f"unit {unit!r} is not there: layer {layer} of the {own} has units 0 to {place.units - 1}."
            )
        tokens = trace.tokens[own]
        column = run_again(trace, [place])[place][0][:, unit].tolist()
        for i, value in enumerate(column):
            if tokens.special[i]:
                continue
            total += 1
            one = StrongToken(value, number, i, tokens[i], tokens.sentence)
            # Of equals the first one stays; the positions tell any two apart.
            heapq.heappush(best, (abs(value), -number, -i, one))
            if len(best) > count:
                heapq.heappop(best)
    return StrongestTokens(tuple(one for *_, one in sorted(best, key=lambda x: x[:3], reverse=True)), total)


def factorise(
    traces: Trace | Iterable[Trace],
    side: str | None = None,
    layer: int = 0,
    components: int = 8,
    *,
    seed: int = 0,
) -> Factors:
    """Write feed-forward activations as sums of few patterns: non-negative matrix factorisation.

    Parameters
    ----------
    traces : Trace, or iterable of Trace
        Of one text or of many; `read` streams them.
    side, layer
        As in `activations`.
    components : int
        How many patterns.
    seed : int
        Of the solver.

    Returns
    -------
    Factors
        Scikit-learn's NMF, started from ``"nndsvda"``. Negative activations count as zero, as in Ecco
        (Alammar 2021). Activations of all texts are kept: ``4 * tokens * units`` bytes.

    Raises
    ------
    JtvizError
        As `activations`; if there are fewer tokens or units than components, activations would take more than
        `LIMIT` bytes, or scikit-learn is not installed.
    OutOfRangeError
        If there is no such layer.

    Examples
    --------
    >>> import jtviz
    >>> found = factorise(jtviz.demo.translator().trace("I like tea."), "encoder", 1, components=3)
    >>> found.weights[0].shape, found.components.shape
    (torch.Size([5, 3]), torch.Size([3, 512]))
    """
    decomposition = learn("decomposition")
    _at_least_one("components", components)
    parts: list[Tensor] = []
    labels: list[tuple[str, ...]] = []
    taken = 0
    for trace in [traces] if isinstance(traces, Trace) else traces:
        if not isinstance(trace, Trace):
            raise JtvizError(f"give traces, such as read(model, texts), not {type(trace).__name__}.")
        parts.append(activations(trace, side, layer).clamp(min=0))
        labels.append(tuple(trace.tokens[side_of(trace, side)]))
        taken += parts[-1].nbytes
        if taken > LIMIT:
            raise JtvizError(
                f"activations of {len(parts)} texts take more than {LIMIT >> 30} GiB: give fewer."
            )
    if not parts:
        raise JtvizError("there are no traces: give at least one.")
    table = torch.cat(parts)
    most = min(table.shape)
    if components > most:
        raise JtvizError(f"components= is a number, 1 to {most}, not {components!r}.")
    model = decomposition.NMF(components, init="nndsvda", max_iter=_STEPS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", learn("exceptions").ConvergenceWarning)
        found = model.fit_transform(table.numpy())
    # Only the product of the two is determined: a weight of one is the largest.
    largest = np.where(found.max(0) > 0, found.max(0), 1)
    size = float(torch.linalg.vector_norm(table))
    weights = torch.as_tensor(found / largest).float()
    return Factors(
        weights=tuple(weights.split_with_sizes([len(part) for part in parts])),
        components=torch.as_tensor(model.components_ * largest[:, None]).float(),
        tokens=tuple(labels),
        error=float(model.reconstruction_err_) / size if size else 0.0,
        converged=int(model.n_iter_) < _STEPS,
    )


_STEPS = 500


def _at_least_one(name: str, value: Any) -> None:
    if not is_int(value) or value < 1:
        raise JtvizError(f"{name}= is a number, at least 1, not {value!r}.")


__all__ = [
    "Factors",
    "StrongToken",
    "StrongestTokens",
    "StrongestUnits",
    "activations",
    "factorise",
    "strongest_tokens",
    "strongest_units",
]
