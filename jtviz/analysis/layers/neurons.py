"""Feed-forward units: their activations, the strongest for a token, and the strongest tokens for one.

Required: an activation is the input of the last linear layer of a block's feed-forward part, as the model
itself computed it; memory over many texts is bounded and stated.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from jtviz.capture import JtvizError, OutOfRangeError, Trace
from jtviz.capture.part import is_int

from .again import places_of, run_again
from .strongest import Strongest
from .texts import read, side_of
from .units import StrongestByUnit, StrongestTokens, StrongestUnits


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
    at_least_one("count", count)
    length = len(trace.tokens[side_of(trace, side)])
    if not is_int(token) or not -length <= token < length:
        raise OutOfRangeError(f"token {token!r} is not there: tokens are 0 to {length - 1}.")
    return StrongestUnits.of(activations(trace, side, layer), token, count)


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
    at_least_one("count", count)
    best = Strongest(count)
    for trace in read(model, texts, side, tokenizer=tokenizer, progress=progress):
        own = side_of(trace, side)
        place = places_of(trace).unit(own, layer)
        if not is_int(unit) or not -place.units <= unit < place.units:
            raise OutOfRangeError(
                f"unit {unit!r} is not there: layer {layer} of the {own} has units 0 to {place.units - 1}."
            )
        column = run_again(trace, [place])[place][0][:, unit]
        best.add(trace.tokens[own], column[:, None])
    return best.result().of(0)


def strongest_by_unit(
    model: Any,
    texts: Any,
    side: str | None = None,
    layer: int = 0,
    *,
    count: int = 20,
    tokenizer: Any = None,
    progress: bool | None = None,
) -> StrongestByUnit:
    """Return, for every feed-forward unit of a layer, the tokens of a data set that set it off most.

    Parameters
    ----------
    model, texts, side, layer, count, tokenizer, progress
        As in `strongest_tokens`. It takes as long as for one unit.

    Returns
    -------
    StrongestByUnit
        Memory is ``16 * units * count`` bytes, and the texts that are named: at most ``units * count``.

    Raises
    ------
    JtvizError
        As `activations` and `read`.
    OutOfRangeError
        If there is no such layer.

    Examples
    --------
    >>> import jtviz
    >>> found = strongest_by_unit(jtviz.demo.translator(), ["I like tea.", "We drink milk."], count=3)
    >>> len(found.values), len(found.of(7).tokens)
    (512, 3)
    """
    at_least_one("count", count)
    best = Strongest(count)
    for trace in read(model, texts, side, tokenizer=tokenizer, progress=progress):
        best.add(trace.tokens[side_of(trace, side)], activations(trace, side, layer))
    return best.result()


def at_least_one(name: str, value: Any) -> None:
    """Raise if this is no number, 1 or more."""
    if not is_int(value) or value < 1:
        raise JtvizError(f"{name}= is a number, at least 1, not {value!r}.")


__all__ = [
    "activations",
    "strongest_by_unit",
    "strongest_tokens",
    "strongest_units",
]
