"""The path of each token through the layers, in the plane where paths differ most.

Required: one plane for all layers and tokens, so that places can be compared; PCA is scikit-learn's, UMAP is
umap-learn's and the same each time.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from jtviz.capture import JtvizError, Trace
from jtviz.capture.part import is_int

from .extra import learn, umap
from .texts import side_of

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("pca", "umap")
FITTED = 2000
"""Points that UMAP is fitted to, at most: with more it takes minutes."""

NEIGHBOURS = 15
FEWER = 50


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Paths of tokens. Made by `trajectories`.

    Attributes
    ----------
    side : str
        Which side.
    paths : Tensor
        Float32 ``[layers + 1, tokens, dimensions]``; the first is what entered the first block.
    explained : Tensor
        Float32 ``[dimensions]``: the share of the variance over all layers and tokens that each has; NaN by
        UMAP, which has no such share.
    tokens : tuple of str
        Whose paths they are.
    method : {"pca", "umap"}
        How they were laid out.
    directions : Tensor or None
        Float32 ``[dimensions, width]``: what each dimension is in the residual stream, of length 1; None by
        UMAP.
    fitted : tuple of int
        Tokens whose paths the plane was fitted to: all, or those of a long text that UMAP was fitted to.
    """

    side: str
    paths: Tensor = field(repr=False)
    explained: Tensor
    tokens: tuple[str, ...] = field(repr=False)
    method: str = "pca"
    directions: Tensor | None = field(default=None, repr=False)
    fitted: tuple[int, ...] = field(default=(), repr=False)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each layer and token: ``layer``, ``token``, ``text``, ``x0``, ``x1``, ..."""
        import pandas as pd

        layers, count, dimensions = self.paths.shape
        places = {f"x{i}": self.paths[..., i].flatten().numpy() for i in range(dimensions)}
        return pd.DataFrame(
            {
                "layer": torch.arange(layers).repeat_interleave(count).numpy(),
                "token": torch.arange(count).repeat(layers).numpy(),
                "text": list(self.tokens) * layers,
            }
            | places
        )


def trajectories(
    trace: Trace, side: str | None = None, dimensions: int = 2, *, method: str = "pca", seed: int = 0
) -> Trajectories:
    """Lay the residual stream out in a few dimensions, all layers and tokens at once.

    Parameters
    ----------
    trace : Trace
        Of any model whose blocks were found.
    side : {"encoder", "decoder"}, optional
        The encoder's where there is one, if left out.
    dimensions : int
        How many.
    method : {"pca", "umap"}
        Principal components, or UMAP (https://arxiv.org/abs/1802.03426), which keeps neighbours together and
        tells nothing by its distances. It is fitted, in 50 principal components where the stream is wider, to
        the whole paths of tokens evenly over the text, together at most `FITTED` points. Others are put in
        the weighted middle of the 15 nearest of these, where UMAP's own ``transform`` begins. It takes
        seconds, and the first time in a session up to a minute more.
    seed : int
        Of UMAP: the same seed gives the same plane.

    Returns
    -------
    Trajectories
        Scikit-learn's PCA (exact, ``svd_solver="full"``). A stream that grows from layer to layer is laid out
        mostly by its length, and a massive activation (`features`) can take an axis for itself:
        ``explained`` says how much of the variance is seen.

    Raises
    ------
    JtvizError
        If there is no such side or method, so many dimensions are not there, or scikit-learn (or umap-learn)
        is not installed.

    Examples
    --------
    >>> import jtviz
    >>> found = trajectories(jtviz.demo.translator().trace("I like tea."), "encoder")
    >>> found.paths.shape, bool(found.explained.sum() <= 1)
    (torch.Size([3, 5, 2]), True)
    """
    side = side_of(trace, side)
    if method not in METHODS:
        raise JtvizError(f"method= is 'pca' or 'umap', not {method!r}.")
    hidden = trace.hidden(side).cpu()
    layers, count, width = hidden.shape
    most = min(layers * count, width)
    if not is_int(dimensions) or not 1 <= dimensions <= most:
        raise JtvizError(f"dimensions= is a number, 1 to {most}, not {dimensions!r}.")
    if not bool(hidden.isfinite().all()):
        raise JtvizError("the residual stream holds numbers that are not finite: check the model's weights.")
    points = hidden.flatten(0, 1).numpy()
    tokens = tuple(trace.tokens[side])
    if method == "umap":
        few = np.unique(np.linspace(0, count - 1, max(1, min(count, FITTED // layers))).astype(int))
        is_fitted = np.tile(np.isin(np.arange(count), few), layers)
        laid = torch.as_tensor(_neighbours(points, is_fitted, int(dimensions), seed)).float()
        return Trajectories(
            side=side,
            paths=laid.view(layers, count, -1),
            explained=torch.full((int(dimensions),), torch.nan),
            tokens=tokens,
            method=method,
            fitted=tuple(few.tolist()),
        )
    found = learn("decomposition").PCA(int(dimensions), svd_solver="full")
    paths = torch.as_tensor(found.fit_transform(points)).float()
    return Trajectories(
        side=side,
        paths=paths.view(layers, count, -1),
        explained=torch.as_tensor(found.explained_variance_ratio_).float(),
        tokens=tokens,
        directions=torch.as_tensor(found.components_).float(),
        fitted=tuple(range(count)),
    )


def _neighbours(points: np.ndarray, is_fitted: np.ndarray, dimensions: int, seed: int) -> np.ndarray:
    """Return where UMAP lays points, ``[points, dimensions]``."""
    if not is_int(seed) or not 0 <= seed < 2**32:
        raise JtvizError(f"seed= is a number, 0 to {2**32 - 1}, not {seed!r}.")
    module = umap()
    count = int(is_fitted.sum())
    if count < dimensions + 3:
        raise JtvizError(
            f"UMAP needs at least {dimensions + 3} points, and these are {count}: use method='pca'."
        )
    if points.shape[1] > FEWER:
        pca = learn("decomposition").PCA(min(FEWER, count), svd_solver="full")
        points = pca.fit(points[is_fitted]).transform(points)
    near = min(NEIGHBOURS, count - 1)
    reducer = module.UMAP(n_components=dimensions, n_neighbors=near, random_state=int(seed), n_jobs=1)
    laid = np.empty((len(points), dimensions), dtype=np.float32)
    with warnings.catch_warnings():
        # That a text has few tokens, or is in parts, is no news.
        warnings.filterwarnings("ignore", module=r"(umap|sklearn|scipy|numba|pynndescent)\.")
        laid[is_fitted] = reducer.fit_transform(points[is_fitted])
    if not is_fitted.all():
        finder = learn("neighbors").NearestNeighbors(n_neighbors=near).fit(points[is_fitted])
        far, which = finder.kneighbors(points[~is_fitted])
        beyond = far - far[:, :1]
        weights = np.exp(-beyond / np.maximum(beyond.mean(1, keepdims=True), np.finfo(np.float32).tiny))
        weights /= weights.sum(1, keepdims=True)
        laid[~is_fitted] = (weights[..., None] * laid[is_fitted][which]).sum(1)
    return laid


__all__ = ["Trajectories", "trajectories"]
