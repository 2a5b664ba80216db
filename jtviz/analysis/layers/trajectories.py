"""The path of each token through the layers, in the plane where paths differ most.

Required: one plane for all layers and tokens, so that places can be compared; equal to scikit-learn's PCA.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jtviz.capture import JtvizError, Trace
from jtviz.capture.part import is_int

from .extra import learn
from .texts import side_of

if TYPE_CHECKING:
    import pandas as pd


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
        Float32 ``[dimensions]``: the share of the variance over all layers and tokens that each has.
    tokens : tuple of str
        Whose paths they are.
    """

    side: str
    paths: Tensor = field(repr=False)
    explained: Tensor
    tokens: tuple[str, ...] = field(repr=False)

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


def trajectories(trace: Trace, side: str | None = None, dimensions: int = 2) -> Trajectories:
    """Lay the residual stream out in a few dimensions: PCA over all layers and tokens.

    Parameters
    ----------
    trace : Trace
        Of any model whose blocks were found.
    side : {"encoder", "decoder"}, optional
        The encoder's where there is one, if left out.
    dimensions : int
        How many.

    Returns
    -------
    Trajectories
        Scikit-learn's PCA (exact, ``svd_solver="full"``). A stream that grows from layer to layer is laid out
        mostly by its length, and a massive activation (`features`) can take an axis for itself:
        ``explained`` says how much of the variance is seen.

    Raises
    ------
    JtvizError
        If there is no such side, so many dimensions are not there, or scikit-learn is not installed.

    Examples
    --------
    >>> import jtviz
    >>> found = trajectories(jtviz.demo.translator().trace("I like tea."), "encoder")
    >>> found.paths.shape, bool(found.explained.sum() <= 1)
    (torch.Size([3, 5, 2]), True)
    """
    side = side_of(trace, side)
    hidden = trace.hidden(side).cpu()
    layers, count, width = hidden.shape
    most = min(layers * count, width)
    if not is_int(dimensions) or not 1 <= dimensions <= most:
        raise JtvizError(f"dimensions= is a number, 1 to {most}, not {dimensions!r}.")
    if not bool(hidden.isfinite().all()):
        raise JtvizError("the residual stream holds numbers that are not finite: check the model's weights.")
    fitted = learn("decomposition").PCA(int(dimensions), svd_solver="full")
    paths = torch.as_tensor(fitted.fit_transform(hidden.flatten(0, 1).numpy())).float()
    return Trajectories(
        side=side,
        paths=paths.view(layers, count, -1),
        explained=torch.as_tensor(fitted.explained_variance_ratio_).float(),
        tokens=tuple(trace.tokens[side]),
    )


__all__ = ["Trajectories", "trajectories"]
