"""What heads do together that they do not do alone: how they back each other up.

Required: nothing is claimed that chance could have done; what one head does alone stands beside.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jtviz.capture import HookedTransformer, JtvizError, Trace, hook
from jtviz.capture.intervention.ablation import Mask, Mode
from jtviz.capture.part import is_int
from jtviz.capture.structure import parameters

from .examples import SIZE, Examples
from .importance import MetricLike, prepared, with_progress
from .metrics import Metric
from .opened import Numbers, opened
from .result import Head, Number
from .spread import drops, number_of

if TYPE_CHECKING:
    import pandas as pd

MOST = 24
"""Heads at once: the pairs are their square."""


@dataclass(frozen=True, eq=False)
class Interactions:
    """How much worse a metric is without each of several heads, each pair, and all. Made by `interactions`.

    Attributes
    ----------
    heads : tuple of (str, int, int)
        Stage, layer and head.
    alone, alone_errors : array
        How much worse it is without each, ``[heads]``, and the standard error of that.
    pairs, pair_errors : array
        Of each pair what is lost beyond the sum of the two alone, ``[heads, heads]``: positive where they
        back each other up, negative where they do parts of one thing; NaN on the diagonal.
    joint : Number
        How much worse it is without all of them.
    beyond : Number
        The same less the sum of each alone.
    intact : Number
        The metric of the whole model.
    metric, label, is_loss, mode
        As in `HeadImportance`.
    n : int
        Examples; with one there are no standard errors.
    notes : tuple of str
        What has to be known of the numbers.
    """

    heads: tuple[Head, ...]
    alone: Numbers
    alone_errors: Numbers = field(repr=False)
    pairs: Numbers = field(repr=False)
    pair_errors: Numbers = field(repr=False)
    joint: Number
    beyond: Number
    intact: Number
    metric: str
    label: str
    is_loss: bool
    mode: str
    n: int
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Say it in words."""
        return f"Interactions({self.words})"

    @property
    def words(self) -> str:
        """What was found, in one sentence."""
        total, joint = self.joint.value - self.beyond.value, self.joint.value
        whole = "both" if len(self.heads) == 2 else f"all {len(self.heads)} heads"
        said = (
            f"{self.metric} changes by {self._change(joint)} without {whole}, by {self._change(total)} in "
            f"sum without each alone: "
        )
        if not np.isfinite(self.beyond.error):
            if abs(self.beyond.value) <= 0.1 * max(abs(joint), abs(total)):
                return said + "on this example they act mostly on their own"
            return said + f"on this example they {self._how()} (one example says nothing of others)"
        if abs(self.beyond.value) <= 2 * self.beyond.error or self.beyond.value == 0:
            return said + "the difference is within chance, nothing is said of how they act together"
        return said + f"they {self._how()}"

    def _change(self, worse: float) -> str:
        """Say by how much the metric itself changes if it is worse by so much."""
        return f"{(worse if self.is_loss else -worse) + 0.0:+.3g}"

    def _how(self) -> str:
        if self.beyond.value > 0 and self.joint.value > 0:
            return "back each other up"
        if self.beyond.value < 0 < self.joint.value - self.beyond.value:
            return "do parts of one thing, or undo each other"
        # Nothing is backed up where the model is better without.
        return "act together, beyond the sum of each"

    def _repr_html_(self) -> str:
        table: str = self.to_pandas().to_html(index=False, border=0, float_format=lambda x: f"{x:.3g}")
        return f'<div style="font-size:13px;line-height:20px">{html.escape(self.words)}.</div>{table}'

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a pair: both heads, what is lost without each, without both, and the interaction."""
        import pandas as pd

        rows = [
            (
                *self.heads[i],
                *self.heads[j],
                self.alone[i],
                self.alone[j],
                self.alone[i] + self.alone[j] + self.pairs[i, j],
                self.pairs[i, j],
                self.pair_errors[i, j],
            )
            for i, j in itertools.combinations(range(len(self.heads)), 2)
        ]
        places = ["stage", "layer", "head", "other_stage", "other_layer", "other_head"]
        return pd.DataFrame(
            rows, columns=[*places, "alone", "other_alone", "joint", "interaction", "interaction_error"]
        )


def interactions(
    model: Any,
    dataset: Any,
    heads: Sequence[Head],
    *,
    metric: MetricLike = "loss",
    mode: Mode = "zero",
    batch_size: int = SIZE,
    tokenizer: Any = None,
    progress: bool | None = None,
    seed: int = 0,
) -> Interactions:
    """Measure what heads do together: what is lost without a pair beyond what is lost without each.

    Parameters
    ----------
    model, metric, mode, batch_size, tokenizer, progress, seed
        As in `head_importance`.
    dataset : list, data frame, iterable of mappings or Trace
        As in `head_importance`; or one text that was traced, whose numbers have no standard errors.
    heads : list of (str, int, int)
        Stage, layer and head of at least two heads.

    Returns
    -------
    Interactions
        Of each alone, each pair and all.

    Raises
    ------
    JtvizError
        One sentence for whatever is wrong with the request.
    OutOfRangeError
        If there is no such layer or head.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.demo.induction().trace("k7Qm2xRt k7Qm2xRt")
    >>> heads = [("decoder", 1, head) for head in range(4)]
    >>> found = interactions(jtviz.demo.induction(), trace, heads, metric="accuracy")
    >>> found.alone, round(found.joint.value, 2)
    (array([0., 0., 0., 0.]), 0.47)
    """
    chosen = _checked(heads)
    asked: dict[str, Any] = {"metric": metric, "mode": mode, "batch_size": batch_size, "seed": seed}
    if isinstance(dataset, Trace):
        hooked, examples, measure = _of_trace(model, dataset, tokenizer, asked)
    else:
        hooked, examples, measure = prepared(model, dataset, tokenizer=tokenizer, **asked)
    with opened(hooked, examples, batch_size) as session:
        for stage, layer, head in chosen:
            Mask.of(session.places, {(stage, layer): [head]})
        found = list(itertools.combinations(range(len(chosen)), 2))
        sets = [*((i,) for i in range(len(chosen))), *found, tuple(range(len(chosen)))]
        masks = [Mask(heads=tuple(chosen[i] for i in one)) for one in sets]
        intact, ablated = with_progress(session, measure, masks, session.means(mode), shown=progress)
    lost = drops(measure, intact, ablated, seed)
    # What each set loses beyond its parts, as sums of what all sets lose.
    weights = np.eye(len(sets))
    for row, one in enumerate(sets[len(chosen) :], len(chosen)):
        weights[row, list(one)] -= 1
    beyond, errors, own = weights @ lost.means, lost.errors(weights), lost.errors()
    pairs, pair_errors = np.full((2, len(chosen), len(chosen)), np.nan)
    for row, (i, j) in enumerate(found, len(chosen)):
        pairs[i, j] = pairs[j, i] = beyond[row]
        pair_errors[i, j] = pair_errors[j, i] = errors[row]
    return Interactions(
        heads=chosen,
        alone=lost.means[: len(chosen)],
        alone_errors=own[: len(chosen)],
        pairs=pairs,
        pair_errors=pair_errors,
        joint=Number(float(lost.means[-1]), float(own[-1])),
        beyond=Number(float(beyond[-1]), float(errors[-1])),
        intact=number_of(measure, intact),
        metric=measure.name,
        label=measure.label,
        is_loss=measure.is_loss,
        mode=mode,
        n=len(examples),
        notes=examples.notes,
    )


def _checked(heads: Any) -> tuple[Head, ...]:
    is_list = isinstance(heads, list | tuple) and all(
        isinstance(one, list | tuple)
        and len(one) == 3
        and isinstance(one[0], str)
        and all(map(is_int, one[1:]))
        for one in heads
    )
    if not is_list or len({tuple(one) for one in heads}) != len(heads) or not 2 <= len(heads) <= MOST:
        raise JtvizError(
            f"heads= is a list of 2 to {MOST} different heads, [('decoder', 1, 0), ('decoder', 1, 3)], not "
            f"{heads!r}."
        )
    return tuple((stage, int(layer), int(head)) for stage, layer, head in heads)


def _of_trace(
    model: Any, trace: Trace, tokenizer: Any, asked: dict[str, Any]
) -> tuple[HookedTransformer, Examples, Metric]:
    """Return the text of a trace as a data set of one example."""
    if trace.reading is None:
        raise JtvizError(
            "this trace was loaded or made from arrays, and has no model to ablate: trace it anew."
        )
    hooked = hook(model, tokenizer)
    if trace.reading.model is not hooked.model:
        raise JtvizError("this trace is of another model: pass the model that was traced.")
    given = trace.reading.prepared
    inputs = dict(zip(parameters(hooked.model), given.args, strict=False)) | given.kwargs
    if given.target is not None and given.following_ids is not None:
        inputs["labels"] = list(given.following_ids)
    # A data set has at least two examples.
    hooked, examples, metric = prepared(hooked, [inputs, inputs], tokenizer=None, **asked)
    return hooked, replace(examples, items=examples.items[:1]), metric


__all__ = ["Interactions", "interactions"]
