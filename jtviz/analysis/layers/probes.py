"""What can be read off each layer by a linear classifier, and how much of it is the classifier's own work.

Required: what is wrong with texts and labels is said before any work; a text is never in both training and
test part; every accuracy has the majority baseline, a control task and a standard error beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from jtviz.capture import HookedTransformer, JtvizError, hook
from jtviz.capture.part import Index, chosen, is_int, positions
from jtviz.capture.structure import is_encoder_decoder

from ..attribution.progress import Progress
from ..drawn import Drawn
from .extra import learn
from .fitting import clustered_error, out_of_fold
from .labelled import MOST, Labels, Units, units_of
from .texts import SIDES, read, side_of

if TYPE_CHECKING:
    import pandas as pd

Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Probes(Drawn):
    """What a linear probe reads off each layer. Made by `probe`; last in a cell it is a chart.

    Accuracies are shares of units (tokens or texts) that a probe got right which was not trained on their
    text. Standard errors take the units of one text as one draw; they leave out how probes vary with the
    training texts.

    Attributes
    ----------
    layers : tuple of int
        As in `Trace.hidden`: 0 is what enters the first block, *n* what the *n*-th block returned.
    side, unit : str
        What was probed.
    classes : tuple
        The labels.
    n, texts : int
        How many units, and of how many texts.
    accuracy, accuracy_error : array
        Float64 ``[layers]``.
    control, control_error : array
        The same of the control task: labels drawn at random for each word (for each text, of sentences).
    selectivity, selectivity_error : array
        Accuracy less that of the control task (Hewitt & Liang 2019), and its paired error.
    majority, majority_error : float
        Accuracy of always saying the most frequent label.
    notes : tuple of str
        What has to be known of the numbers, one sentence each.
    """

    layers: tuple[int, ...]
    side: str
    unit: str
    classes: tuple[Any, ...]
    n: int
    texts: int
    accuracy: Numbers = field(repr=False)
    accuracy_error: Numbers = field(repr=False)
    control: Numbers = field(repr=False)
    control_error: Numbers = field(repr=False)
    selectivity: Numbers = field(repr=False)
    selectivity_error: Numbers = field(repr=False)
    majority: float
    majority_error: float
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> int:
        """The layer with the highest accuracy; the first of several."""
        return self.layers[int(self.accuracy.argmax())]

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each layer."""
        import pandas as pd

        names = ("accuracy", "control", "selectivity")
        columns: dict[str, Any] = {"layer": self.layers}
        for name in names:
            columns |= {name: getattr(self, name), f"{name}_error": getattr(self, f"{name}_error")}
        return pd.DataFrame(columns | {"majority": self.majority, "majority_error": self.majority_error})


def probe(
    model: Any,
    texts: Any,
    labels: Labels = None,
    *,
    layer: str | Index = "all",
    unit: str = "sentence",
    side: str | None = None,
    cv: int = 5,
    seed: int = 0,
    most: int = MOST,
    tokenizer: Any = None,
    progress: bool | None = None,
) -> Probes:
    """Train a linear probe on each layer: logistic regression on standardised vectors, cross-validated.

    That a probe finds a property says that it is there to be read linearly, not that the model uses it.

    Parameters
    ----------
    model : nn.Module, pipeline or HookedTransformer
        Any model that reads texts.
    texts : list of str, or data frame
        What is read; of a data frame the column ``text`` (or ``source``).
    labels : list, str or callable, optional
        For each text its class or, for ``unit="token"``, a list with the class of each token that is not
        special, or of each word (a word of `Tokens.words`); None leaves one out. A function takes the
        `Tokens` of a text and returns a class for each of all its tokens. Of a data frame the name of a
        column; ``label`` (or ``target``, ``labels``) if left out.
    layer : "all", int, list of int or slice
        Which layers, as in `Trace.hidden`: 0 is what enters the first block.
    unit : {"sentence", "token"}
        What has a label. The vector of a sentence is the mean over its tokens that are not special.
    side : {"encoder", "decoder"}, optional
        Which residual stream; the encoder's where there is one, if left out.
    cv : int
        How many parts the texts are cut into (stratified; equal texts stay together).
    seed : int
        Of the parts, the control task, and the sample where there are more than `most` units.
    most : int
        How many units to probe at most, a random sample of them: memory is
        ``4 * most * layers * width`` bytes, and one text's trace.
    tokenizer : object, optional
        Where the model does not bring one.
    progress : bool, optional
        Whether to show a bar; where it takes long if left out.

    Returns
    -------
    Probes
        Accuracy of each layer, of its control task (Hewitt & Liang 2019, *Designing and Interpreting Probes
        with Control Tasks*) and of the majority baseline. Each word gets one control label everywhere, drawn
        from how often labels are: a probe that merely remembers words is as good at that. Sentences that
        are all different cannot be remembered, and their control task shows what chance gives.

    Raises
    ------
    JtvizError
        If texts and labels do not go together, a label is in fewer texts than `cv`, or scikit-learn is not
        installed.
    OutOfRangeError
        If there is no such layer.

    Examples
    --------
    >>> import jtviz
    >>> texts = [f"{who} has {what}." for who in ("A man", "A woman") for what in ("a cough", "a rash")]
    >>> found = probe(jtviz.demo.classifier(), texts, ["man", "man", "woman", "woman"], cv=2)
    >>> found.layers, found.classes, found.majority
    ((0, 1, 2), ('man', 'woman'), 0.5)
    """
    learn("linear_model")
    _checked(unit, side, cv=(cv, 2), seed=(seed, 0), most=(most, 1))
    hooked = hook(model, tokenizer)
    if unit == "token" and side == "decoder" and is_encoder_decoder(hooked.model):
        raise JtvizError(
            "the tokens that this model writes are not known beforehand, so that they have no labels: probe "
            "side='encoder', or unit='sentence'."
        )
    units = units_of(hooked, texts, labels, unit=unit, cv=cv, seed=seed, most=most)
    layers, side, vectors = _vectors(hooked, units, layer, side, progress)
    return _probed(units, layers, side, vectors, cv=cv, seed=seed, progress=progress)


def _checked(unit: str, side: str | None, **numbers: tuple[Any, int]) -> None:
    if unit not in {"sentence", "token"}:
        raise JtvizError(f"unit= is 'sentence' or 'token', not {unit!r}.")
    if side is not None and side not in SIDES:
        raise JtvizError(f"side= is 'encoder' or 'decoder', not {side!r}.")
    for name, (value, least) in numbers.items():
        if not is_int(value) or value < least:
            raise JtvizError(f"{name}= is a number, at least {least}, not {value!r}.")


def _vectors(
    hooked: HookedTransformer, units: Units, layer: str | Index, side: str | None, progress: bool | None
) -> tuple[tuple[int, ...], str, list[np.ndarray[Any, np.dtype[np.float32]]]]:
    """Return which layers are probed, of which side, and for each the vectors ``[units, width]``."""
    layers: tuple[int, ...] = ()
    table: torch.Tensor | None = None
    filled = 0
    for text, trace in zip(units.read, read(hooked, units.texts, side, progress=progress), strict=True):
        if table is None:
            side = side_of(trace, side)
        hidden = trace.hidden(side or "").cpu()
        if table is None:
            cpu = torch.device("cpu")
            wanted = chosen(None if layer == "all" else layer, len(hidden), "layer", f"the {side}", cpu)
            layers = tuple(positions(wanted, cpu).tolist())
            if not layers:
                raise JtvizError(f"layer={layer!r} is empty: choose from 0 to {len(hidden) - 1}.")
            table = torch.empty(len(layers), len(units), hidden.shape[-1])
        tokens = trace.tokens[side or ""]
        if text is None:
            own = [i for i, special in enumerate(tokens.special) if not special]
            if not own:
                raise JtvizError("a text has only special tokens, which say nothing of it: leave it out.")
            rows = hidden[list(layers)][:, own].mean(1, keepdim=True)
        else:
            rows = hidden[list(layers)][:, list(text)]
        table[:, filled : filled + rows.shape[1]] = rows
        filled += rows.shape[1]
    if table is None or side is None:
        raise JtvizError("there is nothing to probe: give texts.")
    if not bool(table.isfinite().all()):
        raise JtvizError("the residual stream holds numbers that are not finite: check the model's weights.")
    return layers, side, [one.numpy() for one in table]


def _probed(
    units: Units,
    layers: Sequence[int],
    side: str,
    vectors: Sequence[np.ndarray[Any, np.dtype[np.float32]]],
    *,
    cv: int,
    seed: int,
    progress: bool | None,
) -> Probes:
    y, control, groups = units.y, units.control(seed), units.groups
    folds = list(
        learn("model_selection")
        .StratifiedGroupKFold(cv, shuffle=True, random_state=seed)
        .split(np.zeros(len(y)), y, groups)
    )
    found: dict[str, list[Numbers]] = {"accuracy": [], "control": []}
    notes = list(units.notes)
    slow = False
    with Progress("probes", 2 * len(layers), shown=progress, seconds=len(y) * len(layers) / 500) as bar:
        for x in vectors:
            for name, wanted in (("accuracy", y), ("control", control)):
                said, converged = out_of_fold(x, wanted, folds)
                found[name].append((said == wanted).astype(float))
                slow |= not converged
                bar.advance(1)
    if slow:
        notes.append("some probes had not converged after 1000 steps")
    majority = np.empty(len(y))
    for train, test in folds:
        majority[test] = y[test] == np.bincount(y[train]).argmax()
    found["selectivity"] = [a - c for a, c in zip(found["accuracy"], found["control"], strict=True)]
    numbers: dict[str, Any] = {}
    for name, rows in found.items():
        numbers[name] = np.array([row.mean() for row in rows])
        numbers[f"{name}_error"] = np.array([clustered_error(row, groups) for row in rows])
    return Probes(
        layers=tuple(layers),
        side=side,
        unit=units.unit,
        classes=units.classes,
        n=len(y),
        texts=len(units.texts),
        majority=float(majority.mean()),
        majority_error=clustered_error(majority, groups),
        notes=tuple(notes),
        **numbers,
    )


__all__ = ["Probes", "probe"]
