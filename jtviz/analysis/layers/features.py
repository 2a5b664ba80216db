"""Statistics of the residual stream: which dimensions carry it, which stand out, how long it is.

Required: nothing runs but what the trace holds; every number can be checked by hand on `Trace.hidden`; the
threshold of what stands out is stated with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jtviz.capture import JtvizError, OutOfRangeError, Trace
from jtviz.capture.part import is_int

from .extra import learn
from .texts import side_of

if TYPE_CHECKING:
    import pandas as pd

MASSIVE = 100.0
"""An activation is massive from this magnitude on, if it is also `ABOVE` times the layer's median magnitude
(Sun et al. 2024, *Massive Activations in Large Language Models*)."""
ABOVE = 1000.0
OUTLIER = 6.0
"""A dimension is an outlier where a token's magnitude reaches this (Dettmers et al. 2022, *LLM.int8()*)
and `SIGMAS` standard deviations of the layer, so that a stream that is large as a whole has none."""
SIGMAS = 6.0


@dataclass(frozen=True)
class Massive:
    """A single number that is far larger than the others of its layer.

    Attributes
    ----------
    layer, token, dimension : int
        Where it is; the layer as in `Trace.hidden`.
    value : float
        With its sign.
    ratio : float
        Its magnitude over the median magnitude of the layer.
    """

    layer: int
    token: int
    dimension: int
    value: float
    ratio: float


@dataclass(frozen=True)
class Outlier:
    """A dimension that stands out of a layer.

    Attributes
    ----------
    layer, dimension : int
        Where it is; the layer as in `Trace.hidden`.
    value : float
        Its number of largest magnitude, with its sign.
    tokens : int
        At how many tokens it stands out.
    """

    layer: int
    dimension: int
    value: float
    tokens: int


@dataclass(frozen=True, eq=False)
class Features:
    """Statistics of the residual stream of one side. Made by `features`.

    Layers are those of `Trace.hidden`: 0 is what enters the first block.

    Attributes
    ----------
    side : str
        Which side.
    norms : Tensor
        Float32 ``[layers + 1, tokens]``: the length of each vector.
    added : Tensor
        Float32 ``[layers, tokens]``: the length of what each block changed.
    variance : Tensor
        Float32 ``[layers + 1, width]``: of each dimension over tokens.
    hidden : Tensor
        Float32 ``[layers + 1, tokens, width]``: the stream itself.
    """

    side: str
    norms: Tensor = field(repr=False)
    added: Tensor = field(repr=False)
    variance: Tensor = field(repr=False)
    hidden: Tensor = field(repr=False)
    _flags: dict[int, tuple[tuple[Massive, ...], tuple[Outlier, ...]]] = field(
        repr=False, init=False, default_factory=dict
    )

    @property
    def massive(self) -> tuple[Massive, ...]:
        """Magnitude of at least `MASSIVE`, and `ABOVE` times the layer's median; largest first."""
        return tuple(sorted((one for layer in self._layers for one in self.flags(layer)[0]), key=_size))

    @property
    def outliers(self) -> tuple[Outlier, ...]:
        """Magnitude of at least `OUTLIER` and `SIGMAS` standard deviations of the layer; largest first."""
        return tuple(sorted((one for layer in self._layers for one in self.flags(layer)[1]), key=_size))

    def flags(self, layer: int) -> tuple[tuple[Massive, ...], tuple[Outlier, ...]]:
        """Return the `massive` activations and the `outliers` of one layer; computed once.

        Parameters
        ----------
        layer : int
            As in `Trace.hidden`.

        Raises
        ------
        OutOfRangeError
            If there is no such layer.
        """
        layer = self._checked(layer) % len(self.norms)
        if layer not in self._flags:
            self._flags[layer] = _flags(self.hidden[layer], layer)
        return self._flags[layer]

    def by_variance(self, layer: int | None = None) -> Tensor:
        """Return the dimensions ``[width]``, those that vary most between tokens first.

        Parameters
        ----------
        layer : int, optional
            By this layer's variance; by the mean over layers of each dimension's share, if left out, so
            that the order is the same for all of them.
        """
        if layer is None:
            shares = self.variance / self.variance.sum(1, keepdim=True).clamp(
                min=torch.finfo(torch.float32).tiny
            )
            return shares.mean(0).argsort(descending=True, stable=True)
        return self.variance[self._checked(layer)].argsort(descending=True, stable=True)

    def clustered(self, layer: int, clusters: int = 8) -> Tensor:
        """Return the dimensions ``[width]`` so that those that go up and down together are side by side.

        They are clustered by their standardised numbers over tokens (Ward's linkage); clusters follow each
        other by their mean variance, and so do dimensions in each.

        Parameters
        ----------
        layer : int
            Which layer's numbers.
        clusters : int
            How many.

        Raises
        ------
        JtvizError
            If `clusters` is no such number, or scikit-learn is not installed.
        OutOfRangeError
            If there is no such layer.
        """
        numbers = self.hidden[self._checked(layer)].T
        if not is_int(clusters) or not 1 <= clusters <= len(numbers):
            raise JtvizError(f"clusters= is a number, 1 to {len(numbers)}, not {clusters!r}.")
        centred = numbers - numbers.mean(1, keepdim=True)
        deviation = centred.square().mean(1, keepdim=True).sqrt()
        scaled = torch.where(deviation > 0, centred / deviation.clamp(min=1e-12), 0)
        found = learn("cluster").AgglomerativeClustering(clusters, linkage="ward").fit_predict(scaled.numpy())
        of = torch.as_tensor(found)
        variance = self.variance[layer]
        means = torch.zeros(clusters).index_add_(0, of, variance) / of.bincount(minlength=clusters)
        place = means.argsort(descending=True, stable=True).argsort()[of]
        by_variance = variance.argsort(descending=True, stable=True)
        return by_variance[place[by_variance].argsort(stable=True)]

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each layer and token; ``added`` is NaN where no block came before."""
        import pandas as pd

        layers, tokens = self.norms.shape
        added = torch.cat([torch.full((1, tokens), torch.nan), self.added])
        return pd.DataFrame(
            {
                "layer": torch.arange(layers).repeat_interleave(tokens).numpy(),
                "token": torch.arange(tokens).repeat(layers).numpy(),
                "norm": self.norms.flatten().numpy(),
                "added": added.flatten().numpy(),
            }
        )

    @property
    def _layers(self) -> range:
        return range(len(self.norms))

    def _checked(self, layer: int) -> int:
        count = len(self.norms)
        if not is_int(layer) or not -count <= layer < count:
            raise OutOfRangeError(f"layer {layer!r} is not there: the stream has layers 0 to {count - 1}.")
        return int(layer)


def features(trace: Trace, side: str | None = None) -> Features:
    """Describe the residual stream of a side.

    Parameters
    ----------
    trace : Trace
        Of any model whose blocks were found.
    side : {"encoder", "decoder"}, optional
        The encoder's where there is one, if left out.

    Returns
    -------
    Features
        On the CPU. What attention and feed-forward layers add, apart, is in `contributions`.

    Raises
    ------
    JtvizError
        If there is no such side, or its blocks were not found.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.demo.translator().trace("I like tea.")
    >>> found = features(trace, "decoder")
    >>> found.norms.shape, found.by_variance().shape
    (torch.Size([3, 6]), torch.Size([192]))
    """
    side = side_of(trace, side)
    hidden = trace.hidden(side).cpu()
    return Features(
        side=side,
        norms=torch.linalg.vector_norm(hidden, dim=-1),
        added=torch.linalg.vector_norm(hidden.diff(dim=0), dim=-1),
        variance=hidden.var(1, correction=0),
        hidden=hidden,
    )


def _flags(hidden: Tensor, layer: int) -> tuple[tuple[Massive, ...], tuple[Outlier, ...]]:
    size = hidden.abs()
    median = float(size.median())
    massive = []
    for token, dimension in torch.nonzero((size >= MASSIVE) & (size >= ABOVE * median)).tolist():
        value = float(hidden[token, dimension])
        massive.append(Massive(layer, token, dimension, value, abs(value) / median if median else torch.inf))
    least = max(OUTLIER, SIGMAS * float(hidden.std(correction=0)))
    counts = (size >= least).sum(0)
    outliers = []
    for dimension in torch.nonzero(counts)[:, 0].tolist():
        token = int(size[:, dimension].argmax())
        outliers.append(Outlier(layer, dimension, float(hidden[token, dimension]), int(counts[dimension])))
    return tuple(sorted(massive, key=_size)), tuple(sorted(outliers, key=_size))


def _size(one: Massive | Outlier) -> float:
    return -abs(one.value)


__all__ = ["ABOVE", "MASSIVE", "OUTLIER", "SIGMAS", "Features", "Massive", "Outlier", "features"]
