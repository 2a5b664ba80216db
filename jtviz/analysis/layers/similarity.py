"""How alike tokens are in a layer, a token is to itself across layers, and layers are over many texts.

Required: exact, not sampled; memory over many texts is that of sums, and what would not fit is refused with
what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from jtviz.capture import JtvizError, OutOfRangeError, Trace
from jtviz.capture.part import Index, chosen, is_int, positions

from ..drawn import Drawn
from .sums import LIMIT, Sums
from .texts import side_of

if TYPE_CHECKING:
    import pandas as pd

_ROUNDING = 1e-6
"""A difference from the mean that is so small beside it is rounding, in single precision."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """Cosine similarities. Made by `similarity`.

    Attributes
    ----------
    side, layer : str, int
        Of which tokens, in which layer (as in `Trace.hidden`).
    tokens : Tensor
        Float32 ``[tokens, tokens]``: of each pair of tokens in the layer.
    layers : Tensor
        Float32 ``[tokens, layers + 1, layers + 1]``: of each token in one layer to itself in another.
    labels : tuple of str
        The tokens.
    centred : bool
        Whether the mean vector of each layer was subtracted first.
    """

    side: str
    layer: int
    tokens: Tensor = field(repr=False)
    layers: Tensor = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    centred: bool = False

    def to_pandas(self) -> pd.DataFrame:
        """Return the similarities of tokens as a table, rows and columns labelled by position and text."""
        import pandas as pd

        names = [f"{i} {label}" for i, label in enumerate(self.labels)]
        return pd.DataFrame(self.tokens.numpy(), index=names, columns=names)


def similarity(
    trace: Trace, side: str | None = None, layer: int = -1, *, centred: bool = False
) -> Similarity:
    """Compare the vectors of tokens in a layer, and each token's across layers, by their cosine.

    Parameters
    ----------
    trace : Trace
        Of any model whose blocks were found.
    side : {"encoder", "decoder"}, optional
        The encoder's where there is one, if left out.
    layer : int
        As in `Trace.hidden`: 0 is what enters the first block, -1 what the last returned.
    centred : bool
        Whether the mean vector of each layer is subtracted first. What all tokens share, and a few
        dimensions of large variance (`features`), can make all of them look alike (Ethayarajh 2019, *How
        Contextual are Contextualized Word Representations?*).

    Returns
    -------
    Similarity
        -1 to 1; a vector of zeros is like nothing.

    Raises
    ------
    JtvizError
        If there is no such side, or the pairs of tokens would take more than `sums.LIMIT` bytes.
    OutOfRangeError
        If there is no such layer.

    Examples
    --------
    >>> import jtviz
    >>> found = similarity(jtviz.demo.translator().trace("I like tea."), "encoder", layer=2)
    >>> found.tokens.shape, found.layers.shape
    (torch.Size([5, 5]), torch.Size([5, 3, 3]))
    """
    side = side_of(trace, side)
    hidden = trace.hidden(side).cpu()
    count, tokens = hidden.shape[:2]
    if not is_int(layer) or not -count <= layer < count:
        raise OutOfRangeError(f"layer {layer!r} is not there: the stream has layers 0 to {count - 1}.")
    if 4 * tokens**2 > LIMIT:
        raise JtvizError(
            f"all pairs of {tokens:,} tokens do not fit in {LIMIT >> 30} GiB: compare those that you mean, "
            f"with directions(trace.hidden({side!r})[{layer}])."
        )
    by_token = directions(hidden, centred=centred).transpose(0, 1)
    own = by_token[:, layer]
    return Similarity(
        side=side,
        layer=int(layer) % count,
        tokens=(own @ own.T).clamp(-1, 1),
        layers=(by_token @ by_token.transpose(1, 2)).clamp(-1, 1),
        labels=tuple(trace.tokens[side]),
        centred=centred,
    )


def directions(vectors: Tensor, *, centred: bool = False) -> Tensor:
    """Return vectors ``[..., tokens, width]`` at length one, whose products are cosines.

    Parameters
    ----------
    vectors : Tensor
        Of all tokens.
    centred : bool
        Whether the mean over the tokens is subtracted first.

    Returns
    -------
    Tensor
        Float32; zeros stay zeros.

    Examples
    --------
    >>> directions(torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 1.0000]])
    """
    vectors = vectors.float()
    if not centred:
        return F.normalize(vectors, dim=-1)
    mean = vectors.mean(-2, keepdim=True)
    away = vectors - mean
    # What is as small as rounding has no direction.
    is_zero = away.norm(dim=-1, keepdim=True) <= _ROUNDING * mean.norm(dim=-1, keepdim=True)
    return F.normalize(away, dim=-1).masked_fill(is_zero, 0)


@dataclass(frozen=True, eq=False)
class Cka(Drawn):
    """Linear CKA between layers. Made by `cka`; last in a cell it is a chart.

    Attributes
    ----------
    values : Tensor
        Float64 ``[rows, columns]``, 0 to 1; NaN where a layer is the same for all tokens.
    rows, columns : tuple of int
        The layers (as in `Trace.hidden`) of the first model, and of the first or the other.
    tokens : int
        Over how many tokens.
    widths : (int, int)
        Dimensions of the stream of the first model, and of the first or the other.
    models : int
        Whether layers of one model were compared, or of two.
    """

    values: Tensor = field(repr=False)
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    tokens: int
    widths: tuple[int, int]
    models: int = 1

    @property
    def chance(self) -> float:
        """What layers that have nothing to do with each other would have, over so many tokens.

        Of *n* tokens whose vectors are independent Gaussian noise, in *p* and *q* dimensions, linear CKA
        is about ``1 / sqrt((1 + (n - 1) / p) * (1 + (n - 1) / q))``, however unrelated the two are: near 1
        with fewer tokens than dimensions. Layers that use few of their dimensions have less.
        """
        free = self.tokens - 1
        first, second = (1 + free / width for width in self.widths)
        return float((first * second) ** -0.5)

    def to_pandas(self) -> pd.DataFrame:
        """Return the values as a table, a row for each layer of the first model."""
        import pandas as pd

        return pd.DataFrame(self.values.numpy(), index=list(self.rows), columns=list(self.columns))


def cka(
    traces: Trace | Iterable[Trace],
    other: Trace | Iterable[Trace] | None = None,
    *,
    side: str | None = None,
    layers: Index = None,
) -> Cka:
    """Compare layers by what they make alike: linear centred kernel alignment.

    ``||Y^T X||^2 / (||X^T X|| ||Y^T Y||)`` of centred vectors (Kornblith et al. 2019, *Similarity of Neural
    Network Representations Revisited*, section 3), Frobenius norms: 1 where the tokens of
    one layer are those of the other but for rotation and scale.

    Parameters
    ----------
    traces : Trace, or iterable of Trace
        Of one text or of many; `read` streams them.
    other : Trace, or iterable of Trace, optional
        Of another model, that reads the same texts in as many tokens; layers are compared with those of the
        same model if left out. (The same iterator cannot be given twice: call `read` again.)
    side : {"encoder", "decoder"}, optional
        The encoder's where there is one, if left out.
    layers : int, list of int or slice, optional
        Which layers, of both; all if left out.

    Returns
    -------
    Cka
        Over all tokens of all texts. With few tokens in many dimensions all layers look alike: give many
        times more tokens than there are dimensions (``tokens`` says how many there were).

    Raises
    ------
    JtvizError
        If the two read differently many tokens, there are fewer than two tokens, or the sums would not fit
        in `sums.LIMIT` bytes: ``8 * (layers * width) ** 2``, or ``4 * layers * width * tokens`` if that is
        less.
    OutOfRangeError
        If there is no such layer.

    Examples
    --------
    >>> import jtviz
    >>> from jtviz.analysis import read
    >>> found = cka(read(jtviz.demo.classifier(), ["A man has a cough.", "A seizure."]))
    >>> found.values.shape, bool((found.values.diagonal() - 1).abs().max() < 1e-9)
    (torch.Size([3, 3]), True)
    """
    first = [traces] if isinstance(traces, Trace) else traces
    sums: Sums | None = None
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    widths = (0, 0)
    if other is None:
        for trace in _traces(first):
            own, rows = _vectors(trace, side, layers)
            sums = Sums() if sums is None else sums
            sums.add(own)
            widths = (own[0].shape[1], own[0].shape[1])
        return _result(sums, rows, rows, widths)
    second = [other] if isinstance(other, Trace) else other
    if first is second and not isinstance(first, Sequence):
        raise JtvizError("one iterator cannot be read twice: leave other= out, or call read again.")
    both = iter(_traces(second))
    for trace in _traces(first):
        own, rows = _vectors(trace, side, layers)
        partner = next(both, None)
        if partner is None:
            raise JtvizError("the two have read differently many texts: give the same ones to both.")
        others, columns = _vectors(partner, side, layers)
        if own[0].shape[0] != others[0].shape[0]:
            raise JtvizError(
                f"the two read one text in {len(own[0])} and {len(others[0])} tokens: compare models "
                f"with the same tokenizer."
            )
        sums = Sums() if sums is None else sums
        sums.add([*own, *others])
        widths = (own[0].shape[1], others[0].shape[1])
    if next(both, None) is not None:
        raise JtvizError("the two have read differently many texts: give the same ones to both.")
    return _result(sums, rows, columns, widths)


def _traces(given: Iterable[Trace]) -> Iterable[Trace]:
    if not isinstance(given, Iterable):
        raise JtvizError(f"give a trace, or several, such as read(model, texts), not {type(given).__name__}.")
    for one in given:
        if not isinstance(one, Trace):
            raise JtvizError(f"give traces, such as read(model, texts), not {type(one).__name__}.")
        yield one


def _vectors(trace: Trace, side: str | None, layers: Any) -> tuple[list[Tensor], tuple[int, ...]]:
    """Return the vectors ``[tokens, width]`` of each layer that is asked for, and which layers these are."""
    side = side_of(trace, side)
    hidden = trace.hidden(side).cpu()
    cpu = torch.device("cpu")
    wanted = positions(chosen(layers, len(hidden), "layer", f"the {side}", cpu), cpu).tolist()
    if not wanted:
        raise JtvizError(f"layers={layers!r} is empty: choose from 0 to {len(hidden) - 1}.")
    return [hidden[i] for i in wanted], tuple(wanted)


def _result(
    sums: Sums | None, rows: tuple[int, ...], columns: tuple[int, ...], widths: tuple[int, int]
) -> Cka:
    if sums is None or sums.tokens < 2:
        raise JtvizError("layers are compared over at least two tokens: give more text.")
    values, split = sums.alignment(), len(rows)
    if len(values) == split:
        return Cka(values, rows, columns, sums.tokens, widths)
    return Cka(values[:split, split:], rows, columns, sums.tokens, widths, models=2)


__all__ = ["Cka", "Similarity", "cka", "directions", "similarity"]
