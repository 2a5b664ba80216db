"""Points of many dimensions in few, so that neighbours stay together: UMAP.

Required: the same seed gives the same places; what it takes hardly grows beyond `FITTED` points.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from jtviz.capture import JtvizError
from jtviz.capture.part import is_int

from .extra import umap

FITTED = 2000
"""Points that UMAP is fitted to, at most: with more it takes minutes."""

NEIGHBOURS = 15
FEWER = 50
"""Dimensions that neighbours are sought in."""


def evenly(layers: int, count: int) -> Tensor:
    """Return the tokens whose paths, together, are as many points as UMAP is fitted to."""
    places = torch.linspace(0, count - 1, max(1, min(count, FITTED // layers))).tolist()
    return torch.tensor(sorted({int(place) for place in places}))


def laid_out(points: Tensor, is_fitted: Tensor, dimensions: int, seed: int) -> Tensor:
    """Return where UMAP lays points, float32 ``[points, dimensions]``.

    Parameters
    ----------
    points : Tensor
        ``[points, width]``.
    is_fitted : Tensor
        Which of them it is fitted to. Others are put in the weighted middle of the nearest of these, where
        UMAP's own ``transform`` begins.
    dimensions, seed : int
        How many, and of what is random.
    """
    if not is_int(seed) or not 0 <= seed < 2**32:
        raise JtvizError(f"seed= is a number, 0 to {2**32 - 1}, not {seed!r}.")
    module = umap()
    count = int(is_fitted.sum())
    if count < dimensions + 3:
        raise JtvizError(
            f"UMAP needs at least {dimensions + 3} points, and these are {count}: use method='pca'."
        )
    if points.shape[1] > FEWER:
        centre, directions, _ = components(points[is_fitted], min(FEWER, count))
        points = ((points.double() - centre) @ directions.T).float()
    near = min(NEIGHBOURS, count - 1)
    reducer = module.UMAP(n_components=dimensions, n_neighbors=near, random_state=int(seed), n_jobs=1)
    laid = torch.empty(len(points), dimensions)
    with warnings.catch_warnings():
        # That a text has few tokens, or falls into parts, is no news.
        warnings.filterwarnings("ignore", module=r"(umap|sklearn|scipy|numba|pynndescent)\.")
        laid[is_fitted] = torch.as_tensor(reducer.fit_transform(points[is_fitted].numpy())).float()
    if not bool(is_fitted.all()):
        far, which = torch.cdist(points[~is_fitted], points[is_fitted]).topk(near, largest=False)
        beyond = far - far[:, :1]
        weights = (-beyond / beyond.mean(1, keepdim=True).clamp_min(1e-30)).softmax(1)
        laid[~is_fitted] = (weights[..., None] * laid[is_fitted][which]).sum(1)
    return laid


def components(points: Tensor, dimensions: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the centre of points, their principal directions, and the share of the variance of each.

    As scikit-learn's PCA has them, signs too, in float64 and without its import.

    Examples
    --------
    >>> centre, directions, shares = components(torch.tensor([[0.0, 1.0], [4.0, 1.0], [2.0, 1.0]]), 1)
    >>> centre.tolist(), directions.tolist(), shares.tolist()
    ([2.0, 1.0], [[1.0, 0.0]], [1.0])
    """
    points = points.double()
    centre = points.mean(0)
    centred = points - centre
    if len(points) < points.shape[1]:
        _, lengths, directions = torch.linalg.svd(centred, full_matrices=False)
        sizes, directions = lengths[:dimensions].square(), directions[:dimensions]
    else:
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        sizes, directions = values.flip(0)[:dimensions].clamp_min(0), vectors.T.flip(0)[:dimensions]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return centre, directions * largest.sign(), sizes / centred.square().sum().clamp_min(1e-300)


__all__ = ["FITTED", "components", "evenly", "laid_out"]
