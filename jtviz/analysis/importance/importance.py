"""Measure how important each head is for a metric over a data set.

Required: what is wrong with a request is said before any work; the model is as it was found, also after an
interruption; a number has its standard error beside it.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from jtviz.capture import HookedTransformer, JtvizError, hook
from jtviz.capture.intervention.ablation import Mask, Mode, checked_mode
from jtviz.capture.intervention.means import Means
from jtviz.capture.part import is_int

from ..attribution.checks import is_quantized
from ..attribution.progress import Progress
from .confidence import confidence
from .examples import SIZE, Examples, examples_of
from .gradients import can_be_differentiated, gradients
from .greedy import examples_in, greedy
from .metrics import METRICS, Metric, metric_named
from .opened import Numbers, Opened, opened
from .result import METHODS, HeadImportance
from .spread import drops, number_of, standard_errors

MetricLike = str | Metric | Callable[..., Any]


def head_importance(
    model: Any,
    dataset: Any,
    *,
    metric: MetricLike = "loss",
    method: str | Sequence[str] = "exact",
    mode: Mode = "zero",
    batch_size: int = SIZE,
    tokenizer: Any = None,
    progress: bool | None = None,
    seed: int = 0,
) -> HeadImportance:
    """Measure how important each attention head of a model is for a data set.

    All methods measure the model as it is, without training it again: a head whose absence changes nothing
    may be backed up by another one (see `interactions`).

    Parameters
    ----------
    model : nn.Module, pipeline or HookedTransformer
        Any model with attention in it.
    dataset : list, data frame or iterable of mappings
        Texts; ``(text, label)``; a data frame or mappings with ``text`` (or ``source``) and ``label`` (or
        ``target``); or mappings of what the forward takes with ``labels``. Without labels a classifier and
        a translator are scored against what they say themselves, a language model by the next tokens.
    metric : {"loss", "accuracy", "probability", "bleu"}, callable or Metric
        What gets worse without a head; a function takes the logits of an example and the example, and
        returns a number, higher for better.
    method : str or list of str
        ``"all"``, or of `METHODS`:

        ``"exact"``
            The metric without the head, less the metric with it (for the loss; the other way round where
            higher is better): one forward pass a head. The standard error is that of paired differences; of
            BLEU by bootstrap.
        ``"gradient"``
            ``E |dL / d mask|``, the first-order change of each example's loss, without its sign: one
            forward and one backward pass for all heads (Michel et al. 2019, equations 2 and 3, without the
            normalisation by layer). Of a metric without a gradient it is the loss's.
        ``"taylor"``
            The same of feed-forward units: ``E |mean over tokens of activation * gradient|`` (Molchanov et
            al. 2017, equation 8); fills ``units``.
        ``"greedy"``
            Heads go one after the other, each time the one without which the metric is best *beside those
            that are gone*; the number is how much worse the metric is then. Heads that back each other up
            look useless to ``"exact"`` until several are gone; this sees it, for half as many forward passes
            as the square of the number of heads, and is not part of ``"all"``.
        ``"confidence"``
            The mean over queries of the largest attention weight (Voita et al. 2019, section 4). Keys that
            are special tokens are left out (there the end of sentence; here begin, separators and padding,
            too), and so are queries of padding.
    mode : {"zero", "mean"}
        What stands in for a head that is off, for ``"exact"``: nothing, or its mean output over all tokens of
        the data set.
    batch_size : int
        Examples in a batch, at most.
    tokenizer : object, optional
        Where the model does not bring one.
    progress : bool, optional
        Whether to show a bar; where it takes long if left out.
    seed : int
        Of the bootstrap.

    Returns
    -------
    HeadImportance
        Scores, standard errors and rankings.

    Raises
    ------
    JtvizError
        One sentence for whatever is wrong with the request.

    Examples
    --------
    >>> import jtviz
    >>> notes = [("Has a runny nose.", "can wait"), ("Has crushing chest pain.", "urgent")]
    >>> found = head_importance(jtviz.demo.classifier(), notes, metric="probability")
    >>> stage, layer, head, drop = found.ranking()[-1]
    >>> drop > 0
    True
    """
    methods = checked_methods(method)
    hooked, examples, chosen = prepared(
        model, dataset, metric=metric, mode=mode, batch_size=batch_size, tokenizer=tokenizer, seed=seed
    )
    request = Request(chosen, mode, seed, progress, is_all=method == "all")
    with opened(hooked, examples, batch_size) as session:
        return measured(session, methods, request)


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked for beside the methods; `is_all` if a method may be left out where it makes no sense."""

    metric: Metric
    mode: str
    seed: int
    progress: bool | None
    is_all: bool


@dataclass(eq=False)
class Found:
    """What was found by each method so far; `whole` is the metric of each example, nothing off."""

    values: dict[str, Numbers] = field(default_factory=dict)
    spread: dict[str, Numbers] = field(default_factory=dict)
    per_example: dict[str, Numbers] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    whole: Numbers | None = None


def checked_methods(method: Any) -> tuple[str, ...]:
    """Return the methods that are meant, each once, in the order of `METHODS`."""
    affordable = [name for name in METHODS if name != "greedy"]
    wanted = affordable if method == "all" else [method] if isinstance(method, str) else method
    if not isinstance(wanted, list | tuple) or not wanted:
        raise JtvizError(f"method= is 'all', or one or several of {', '.join(map(repr, METHODS))}.")
    for name in wanted:
        if name not in METHODS:
            near = difflib.get_close_matches(str(name), METHODS, 1, 0.5)
            advice = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(map(repr, METHODS))}."
            raise JtvizError(f"there is no method {name!r}; {advice}")
    return tuple(name for name in METHODS if name in wanted)


def prepared(
    model: Any,
    dataset: Any,
    *,
    metric: MetricLike,
    mode: str,
    batch_size: int,
    tokenizer: Any,
    seed: int,
) -> tuple[HookedTransformer, Examples, Metric]:
    """Return model, data set and metric, or raise if something about them is wrong."""
    checked_mode(mode)
    for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0)):
        if not is_int(value) or value < least:
            raise JtvizError(f"{name}= is a number, at least {least}, not {value!r}.")
    chosen = metric_named(metric)
    hooked = hook(model, tokenizer)
    examples = examples_of(hooked, dataset)
    chosen.check(examples)
    return hooked, examples, chosen


def measured(session: Opened, methods: Sequence[str], request: Request) -> HeadImportance:
    """Return the importance of each head of a model that is open."""
    found = Found(notes=list(session.examples.notes))
    if "exact" in methods:
        _exact(session, request, found)
    if "greedy" in methods:
        means = session.means(request.mode)
        with timed(session, request.metric, "rounds", examples_in(session), request.progress) as progress:
            found.values["greedy"], found.spread["greedy"] = greedy(
                session, request.metric, means, request.seed, progress
            )
    units = _by_gradients(session, methods, request, found)
    if "confidence" in methods:
        _add(found, "confidence", by_trace(session, request))
    if found.whole is None:
        with Progress("", 0, shown=False, seconds=0) as silent:
            found.whole, _ = session.measure(request.metric, (), None, silent)
    return HeadImportance(
        heads=session.heads,
        methods=tuple(method for method in methods if method not in found.left_out),
        metric=request.metric.name,
        label=request.metric.label,
        is_loss=request.metric.is_loss,
        mode=request.mode,
        intact=number_of(request.metric, found.whole),
        n=len(session.examples),
        values=found.values,
        spread=found.spread,
        per_example=found.per_example,
        units=None if units is None else units[0],
        unit_errors=None if units is None else units[1],
        notes=tuple(found.notes),
    )


def by_trace(session: Opened, request: Request) -> Numbers:
    """Return the confidence of each head, ``[heads, examples]``."""
    count = len(session.examples)
    begin = time.perf_counter()
    session.trace(session.examples.items[0])
    seconds = (time.perf_counter() - begin) * count
    with Progress("confidence", count, shown=request.progress, seconds=seconds) as progress:
        return confidence(session, progress)


def _exact(session: Opened, request: Request, found: Found) -> None:
    metric = request.metric
    masks = [Mask(heads=(head,)) for head in session.heads]
    means = session.means(request.mode)
    intact, ablated = with_progress(session, metric, masks, means, shown=request.progress)
    dropped = drops(metric, intact, ablated, request.seed)
    found.values["exact"], found.spread["exact"] = dropped.means, dropped.errors()
    if dropped.each is not None:
        found.per_example["exact"] = dropped.each
    found.whole = intact


def with_progress(
    session: Opened, metric: Metric, masks: Sequence[Mask], means: Means | None, *, shown: bool | None
) -> tuple[Numbers, Numbers]:
    """Measure, with a bar where that takes long: the time of one batch is taken first."""
    count = len(session.examples) * (len(masks) + 1)
    with timed(session, metric, "ablations", count, shown) as progress:
        return session.measure(metric, masks, means, progress)


def timed(session: Opened, metric: Metric, words: str, count: int, shown: bool | None) -> Progress:
    """Return a bar for so many examples, which is there where they take long."""
    batch = session.batches[-1]
    begin = time.perf_counter()
    with torch.no_grad():
        metric.measure(session.model, batch)
    seconds = (time.perf_counter() - begin) * count / len(batch)
    return Progress(words, count, shown=shown, seconds=seconds)


def _by_gradients(
    session: Opened, methods: Sequence[str], request: Request, found: Found
) -> tuple[Mapping[str, Numbers], Mapping[str, Numbers]] | None:
    wanted = [method for method in ("gradient", "taylor") if method in methods]
    if "taylor" in wanted and not session.places.units:
        if not request.is_all:
            raise JtvizError("'taylor' is of feed-forward units, and none were found in this model.")
        wanted.remove("taylor")
        found.left_out.add("taylor")
        found.notes.append("'taylor' was left out: no feed-forward units were found in this model")
    if not wanted:
        return None
    metric, why = _differentiated(session, request.metric)
    if metric is None:
        if not request.is_all:
            raise JtvizError(f"{wanted[0]!r} needs a gradient, and {why}: choose 'exact'.")
        found.left_out |= set(wanted)
        found.notes.append(f"{' and '.join(map(repr, wanted))} left out: {why}")
        return None
    if why:
        found.notes.append(why)
    count = len(session.examples)
    begin = time.perf_counter()
    with torch.no_grad():
        session.batches[-1].run(session.model)
    seconds = 3 * (time.perf_counter() - begin) * count / len(session.batches[-1])
    with Progress("gradients", count, shown=request.progress, seconds=seconds) as progress:
        made = gradients(
            session, metric, progress, of_heads="gradient" in wanted, of_units="taylor" in wanted
        )
    if found.whole is None and metric is request.metric:
        found.whole = made.values
    # Less of a head by one: the loss falls by its gradient.
    sign = -1 if metric.is_loss else 1
    if "gradient" in wanted:
        _add(found, "gradient", np.abs(made.heads))
        found.per_example["gradient"] = sign * made.heads
    if "taylor" not in wanted:
        return None
    each = {place: np.abs(values) for place, values in made.units.items()}
    return (
        _by_stage({place: values.mean(1) for place, values in each.items()}),
        _by_stage({place: standard_errors(values) for place, values in each.items()}),
    )


def _differentiated(session: Opened, metric: Metric) -> tuple[Metric | None, str]:
    """Return a metric with a gradient and what is to be known of it; None and why there is none."""
    model = session.model
    if any(parameter.is_inference() for parameter in model.parameters()):
        return None, "weights made in torch.inference_mode have none"
    if is_quantized(model):
        return None, "a quantized model has none"
    if metric.can_be_differentiated and can_be_differentiated(session, metric):
        return metric, ""
    loss = METRICS["loss"]
    if session.examples.kind == "other":
        return None, f"{metric.label} has none"
    if not can_be_differentiated(session, loss):
        return None, f"none comes through {type(model).__name__}, which is detached or run under no_grad"
    return loss, f"gradients are those of the loss: {metric.label} has none"


def _add(found: Found, method: str, each: Numbers) -> None:
    """Note numbers of each example, ``[heads, examples]``, whose mean is a head's."""
    found.per_example[method] = each
    found.values[method], found.spread[method] = each.mean(1), standard_errors(each)


def _by_stage(values: Mapping[tuple[str, int], Numbers]) -> dict[str, Numbers]:
    """Return numbers by stage, ``[layers, parts]``."""
    out = {}
    for stage in dict.fromkeys(stage for stage, _ in values):
        own = {layer: row for (s, layer), row in values.items() if s == stage}
        table = np.full((max(own) + 1, max(map(len, own.values()))), np.nan)
        for layer, row in own.items():
            table[layer, : len(row)] = row
        out[stage] = table
    return out


__all__ = ["head_importance"]
