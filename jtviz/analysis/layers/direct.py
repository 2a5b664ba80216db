"""What each part of a model adds, directly, to the logit of its answer.

Required: exact. The terms sum to the logit, with the statistics of every norm frozen at those of the intact
forward; a model that cannot be taken apart in this way is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from jtviz.capture import JtvizError, Trace
from jtviz.capture.classes import class_logits
from jtviz.capture.forward import token_logits
from jtviz.capture.inputs import Prepared, vocabulary
from jtviz.capture.intervention.places import Places
from jtviz.capture.lm_head import NO_MODEL
from jtviz.capture.reading import Reading, checked_single
from jtviz.capture.score import score
from jtviz.capture.target import Outcome, TargetLike

from .frozen import Shares, frozen

if TYPE_CHECKING:
    import pandas as pd

    from jtviz.capture.target import Target

TOLERANCE = 1e-4
"""How much of the logit, or of the largest term, may be left over; more in half precision."""

_BENT = (
    "after its last block the model has an activation or a soft cap: it is frozen as a factor, as norms are"
)

Layer = tuple[str, int]
Head = tuple[str, int, int]
Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Term:
    """One part of a logit.

    Attributes
    ----------
    kind : {"embedding", "head", "feed_forward", "bias", "rest"}
        What it is of.
    stage : str or None
        ``"encoder"``, ``"decoder"`` or ``"cross"``, of a head or a feed-forward layer.
    layer, head : int or None
        The numbers of those.
    name : str
        In words.
    value : float
        What it adds, in logits.
    """

    kind: str
    stage: str | None
    layer: int | None
    head: int | None
    name: str
    value: float


@dataclass(frozen=True, eq=False)
class DirectLogit:
    """What the parts of a model add to a logit. Made by `direct_logit_attribution`.

    Attributes
    ----------
    target : Target
        The token and row (or the class), and its logit.
    against : Target or None
        What is subtracted from it.
    value : float
        What the terms sum to: the logit, or the difference of the two.
    embeddings : mapping of str to float
        By the module that was looked up in: what tokens and, where the model learnt them, positions add.
    heads : mapping of (str, int, int) to float
        By stage, layer and head.
    units : mapping of (str, int) to array
        By stage and layer ``[units]``: what each feed-forward unit adds.
    bias : float
        What all biases add, with whatever else is there whatever the text (positions that are not looked
        up).
    rest : float
        What is left over: rounding.
    notes : tuple of str
        What has to be known of the numbers, one sentence each.

    Examples
    --------
    >>> import jtviz
    >>> found = direct_logit_attribution(jtviz.demo.induction().trace("abcabcab"))
    >>> found.target.name, round(sum(term.value for term in found.terms) - found.value, 4)
    ('c', 0.0)
    >>> max(found.heads, key=found.heads.get)[:2]  # an induction head copies
    ('decoder', 1)
    """

    target: Target
    against: Target | None
    value: float
    embeddings: Mapping[str, float] = field(repr=False)
    heads: Mapping[Head, float] = field(repr=False)
    units: Mapping[Layer, Numbers] = field(repr=False)
    bias: float = field(repr=False)
    rest: float = field(repr=False)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Say what was taken apart."""
        name = self.target.name if self.against is None else f"{self.target.name} − {self.against.name}"
        return f"DirectLogit({self.value:.2f} of {name}, {len(self.terms)} terms)"

    @property
    def feed_forward(self) -> dict[Layer, float]:
        """What each feed-forward layer adds, without its bias."""
        return {layer: float(values.sum()) for layer, values in self.units.items()}

    @property
    def terms(self) -> tuple[Term, ...]:
        """All of them, in the order they are added: embeddings, layer by layer, biases, what is left over."""
        return tuple(self._terms())

    def _terms(self) -> Iterator[Term]:
        for name, value in self.embeddings.items():
            yield Term("embedding", None, None, None, name, value)
        feed_forward = self.feed_forward
        layers = {layer for _, layer, _ in self.heads} | {layer for _, layer in feed_forward}
        for layer in sorted(layers):
            for (stage, at, head), value in self.heads.items():
                if at == layer:
                    yield Term("head", stage, layer, head, f"{stage} layer {layer}, head {head}", value)
            for (stage, at), value in feed_forward.items():
                if at == layer:
                    name = f"{stage} layer {layer}, feed-forward"
                    yield Term("feed_forward", stage, layer, None, name, value)
        yield Term("bias", None, None, None, "biases", self.bias)
        yield Term("rest", None, None, None, "rounding", self.rest)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a term: its kind, stage, layer, head, name and value."""
        import pandas as pd

        table = pd.DataFrame([vars(term) for term in self.terms])
        return table.astype({"layer": "Int64", "head": "Int64"})


def direct_logit_attribution(
    trace: Trace, target: TargetLike = None, against: TargetLike = None
) -> DirectLogit:
    """Take a logit apart into what each head, feed-forward layer, embedding and bias adds to it.

    That is the path of each through the residual stream alone: what later layers make of it is theirs. Norms,
    also those between the blocks of a post-norm model, divide by what they divided by in the intact forward
    (Elhage et al. 2021, *A mathematical framework for transformer circuits*). What comes from other tokens is
    in the heads.

    Parameters
    ----------
    trace : Trace
        Of one text.
    target : optional
        The token, row or class, as in `HookedTransformer.trace`; what the trace was made with, or what the
        last row predicts, if left out.
    against : optional
        A second token or class: "why this rather than that". Its logit is subtracted.

    Returns
    -------
    DirectLogit
        Terms that sum to the logit.

    Raises
    ------
    JtvizError
        If the trace has no model, the target is none, or the model cannot be taken apart: a feed-forward
        layer was not found (a mixture of experts), or the stream goes through what is not linear.
    OutOfRangeError
        If there is no such class, row or token.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.demo.translator().trace("I like tea.")
    >>> found = direct_logit_attribution(trace, "茶", against="水")
    >>> f"{found.to_pandas().value.sum() / found.value:.3f}"
    '1.000'
    """
    if not isinstance(trace, Trace):
        raise JtvizError(f"give a trace, such as hook(model).trace(text), not {type(trace).__name__}.")
    reading, places = trace.reading, trace.places
    if reading is None or places is None:
        raise JtvizError(NO_MODEL)
    if callable(target) or callable(against):
        raise JtvizError("target= is a token, a row or a class here: a function is not a logit.")
    checked_single(reading.prepared)
    if target is None and trace.target is not None and trace.target.index is not None:
        own = trace.target
        target = own.index if own.row is None else {"row": own.row, "token": _index(own)}
    with reading.running(gradients=True) as twin:
        return _taken_apart(trace, reading, places, twin, (target, against))


def _index(target: Target) -> int:
    return 0 if target.index is None else target.index


def _taken_apart(
    trace: Trace,
    reading: Reading,
    places: Places,
    twin: nn.Module,
    asked: tuple[TargetLike, TargetLike],
) -> DirectLogit:
    stages = ("decoder", "cross") if "decoder" in trace.tokens else ("encoder",)
    name, prepared = type(twin).__name__, reading.prepared
    like = next((p for p in twin.parameters() if p.is_floating_point()), torch.ones(1))
    shares = Shares.whole(places, stages, like.to(torch.promote_types(like.dtype, torch.float32)))
    with frozen(twin, places, shares):
        output = _run(twin, prepared)
    outcome = _outcome(trace, reading, twin, output)
    if outcome.logits is None and class_logits(twin, output, example=0, detach=True) is None:
        raise JtvizError(f"{name} returns no logits to take apart: open the model with its head.")
    wanted = score(outcome, asked[0], "logit", asked[1])
    number = wanted.of(output)[0]
    if not math.isfinite(float(number.detach())):
        raise JtvizError("the logit is not a finite number: check the model's weights.")
    every = [*shares.heads.values(), *shares.units.values(), *shares.vectors]
    found = iter(_gradients(number, every))
    heads = {place: next(found) for place in shares.heads}
    units = {place: next(found) for place in shares.units}
    vectors = [next(found) for _ in shares.vectors]
    try:
        with torch.no_grad(), frozen(twin, places, shares, empty=True):
            bias = float(wanted.of(_run(twin, prepared))[0])
    except JtvizError as error:
        raise _refusal(name) from error
    value = float(number.detach())
    sums = [values.sum() for values in (*heads.values(), *units.values(), *vectors)]
    rest = value - float(sum(sums)) - bias
    largest = max(abs(value), abs(bias), *(float(np.abs(one).max()) for one in sums))
    precision = 1.0 if like.dtype in {torch.float32, torch.float64} else 300.0
    # Not a number is no difference either.
    if not abs(rest) <= TOLERANCE * precision * largest:
        raise _refusal(name)
    tables = {p.data_ptr(): at.removesuffix(".weight") for at, p in reading.model.named_parameters()}
    embeddings: dict[str, float] = {}
    for table, values in zip(shares.tables, vectors, strict=True):
        if values.any():
            at = tables.get(table, "embedding")
            embeddings[at] = embeddings.get(at, 0.0) + float(values)
    notes = (_BENT,) if shares.bent else ()
    return DirectLogit(
        wanted.target,
        wanted.against,
        value,
        embeddings,
        {
            (place.stage, place.layer, head): float(one)
            for place, values in heads.items()
            if place.stage in stages
            for head, one in enumerate(values)
        },
        {(place.stage, place.layer): values for place, values in units.items()},
        bias,
        rest,
        notes,
    )


def _refusal(name: str) -> JtvizError:
    return JtvizError(
        f"the logits of {name} cannot be taken apart: with norms frozen they are not a sum of what its "
        f"heads, embeddings and the feed-forward layers that were found add."
    )


def _run(twin: nn.Module, prepared: Prepared) -> Any:
    return twin(*prepared.args, **prepared.kwargs)


def _outcome(trace: Trace, reading: Reading, twin: nn.Module, output: Any) -> Outcome:
    prepared = reading.prepared
    return Outcome(
        model=twin,
        output=output,
        logits=_token_logits(trace, reading, twin, output),
        following=prepared.following_ids,
        read=prepared.read,
        tokenizer=reading.tokenizer,
        side="target" if len(trace.tokens) > 1 else "source",
        is_decoder="decoder" in trace.tokens,
        answer=prepared.answer,
        example=0,
    )


def _token_logits(trace: Trace, reading: Reading, twin: nn.Module, output: Any) -> Tensor | None:
    """Return the logits of tokens, None of a classifier; a trace keeps none of long texts."""
    if trace.logits is not None:
        return trace.logits if trace.logits.ndim == 2 else None
    rows = len(trace.tokens["decoder" if "decoder" in trace.tokens else "encoder"])
    found = token_logits(output, vocabulary(reading.tokenizer, twin), rows, 0)
    return None if found is None else found.detach()


def _gradients(number: Tensor, shares: list[Tensor]) -> Iterator[Numbers]:
    """Yield what each part adds: shares are one, so that is the gradient."""
    for share, gradient in zip(shares, torch.autograd.grad(number, shares, allow_unused=True), strict=True):
        given: Tensor | None = gradient
        yield (torch.zeros_like(share) if given is None else given).detach().cpu().double().numpy()
