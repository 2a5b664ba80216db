"""The path of each token through the layers, in the plane where paths differ most.

Required: one plane for all layers and tokens, so that places can be compared; PCA is scikit-learn's, UMAP is
umap-learn's and the same each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jtviz.capture import JtvizError, Trace
from jtviz.capture.part import is_int

from .neighbours import components, evenly, laid_out
from .texts import side_of

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("pca", "umap")


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
        the whole paths of tokens evenly over the text, together at most 2,000 points. Others are put in
        the weighted middle of the 15 nearest of these, where UMAP's own ``transform`` begins. It takes
        seconds, and the first time in a session up to a minute more.
    seed : int
        Of UMAP: the same seed gives the same plane.

    Returns
    -------
    Trajectories
        By PCA, what scikit-learn's has with ``svd_solver="full"``. A stream that grows from layer to layer is
        laid out mostly by its length, and a massive activation (`features`) can take an axis for itself:
        ``explained`` says how much of the variance is seen.

    Raises
    ------
    JtvizError
        If there is no such side or method, so many dimensions are not there, or umap-learn, which UMAP needs,
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
    points = hidden.flatten(0, 1).float()
    tokens = tuple(trace.tokens[side])
    if method == "umap":
        few = evenly(layers, count)
        is_fitted = torch.isin(torch.arange(count), few).repeat(layers)
        return Trajectories(
            side=side,
            paths=laid_out(points, is_fitted, int(dimensions), seed).view(layers, count, -1),
            explained=torch.full((int(dimensions),), torch.nan),
            tokens=tokens,
            method=method,
            fitted=tuple(few.tolist()),
        )
    centre, directions, shares = components(points, int(dimensions))
    return Trajectories(
        side=side,
        paths=((points.double() - centre) @ directions.T).float().view(layers, count, -1),
        explained=shares.float(),
        tokens=tokens,
        directions=directions.float(),
        fitted=tuple(range(count)),
    )


__all__ = ["Trajectories", "trajectories"]
