"""Feed-forward activations as sums of few patterns.

Required: patterns and weights are never negative; what is left out, and whether the solver had arrived, is
said.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from jtviz.capture import JtvizError, Trace
from jtviz.capture.part import is_int

from ..attribution.progress import Progress
from .extra import learn
from .neurons import activations, at_least_one
from .texts import side_of
from .units import Factors

LIMIT = 1 << 30
"""Bytes of activations that are factorised at once."""

STEPS = 500
"""Of the solver, at most."""

FAST = 1e9
"""About how many numbers times components the solver goes through in a second."""


def factorise(
    traces: Trace | Iterable[Trace],
    side: str | None = None,
    layer: int = 0,
    components: int = 8,
    *,
    seed: int = 0,
    steps: int = STEPS,
    progress: bool | None = None,
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
    steps : int
        Of the solver, at most; whether they were enough is in the result.
    progress : bool, optional
        Whether to say that the solver is at work; where it takes long if left out. (While texts are read the
        bar is that of `read`.)

    Returns
    -------
    Factors
        Scikit-learn's NMF, started from ``"nndsvda"``. Negative activations count as zero, as in Ecco
        (Alammar 2021). Unlike other analyses of a data set it has to keep the activations of all texts,
        ``4 * tokens * units`` bytes, at most `LIMIT`; the solver takes twice as much once more.

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
    learn("decomposition")  # to be missed before anything is computed
    at_least_one("components", components)
    at_least_one("steps", steps)
    if not is_int(seed) or not 0 <= seed < 2**32:
        raise JtvizError(f"seed= is a number, 0 to {2**32 - 1}, not {seed!r}.")
    parts: list[Tensor] = []
    labels: list[tuple[str, ...]] = []
    taken = 0
    for trace in [traces] if isinstance(traces, Trace) else traces:
        if not isinstance(trace, Trace):
            raise JtvizError(f"give traces, such as read(model, texts), not {type(trace).__name__}.")
        parts.append(activations(trace, side, layer))
        if parts[-1].shape[1] != parts[0].shape[1]:
            raise JtvizError(
                "these are traces of different models, whose units cannot be put together: give one model's."
            )
        labels.append(tuple(trace.tokens[side_of(trace, side)]))
        taken += parts[-1].nbytes
        if taken > LIMIT:
            raise JtvizError(
                f"activations of {len(parts)} texts take more than {LIMIT >> 30} GiB: give fewer."
            )
    if not parts:
        raise JtvizError("there are no traces: give at least one.")
    seconds = taken / 4 * components * steps / FAST
    with Progress(
        f"{components} patterns in {sum(map(len, labels)):,} tokens", 1, shown=progress, seconds=seconds
    ):
        return factors_of(parts, labels, components, seed=seed, steps=steps)


def factors_of(
    parts: Sequence[Tensor],
    labels: Sequence[Sequence[str]],
    components: int,
    *,
    seed: int = 0,
    steps: int = STEPS,
) -> Factors:
    """Return the factors of activations that are there already, ``[tokens, units]`` for each text.

    Raises
    ------
    JtvizError
        If there are fewer tokens or units than components, or scikit-learn is not installed.
    """
    table = torch.cat([part.clamp(min=0) for part in parts])
    most = min(table.shape)
    if components > most:
        raise JtvizError(f"components= is a number, 1 to {most}, not {components!r}.")
    model = learn("decomposition").NMF(components, init="nndsvda", max_iter=steps, random_state=seed)
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
        tokens=tuple(map(tuple, labels)),
        error=float(model.reconstruction_err_) / size if size else 0.0,
        converged=int(model.n_iter_) < steps,
    )


__all__ = ["Factors", "factorise", "factors_of"]
