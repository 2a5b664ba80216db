"""What a model says of a text, and how far what another says is from it.

Required: compared is what was computed from the same tokens, row by row; a text is written anew by each.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jtviz.capture import JtvizError, Trace
from jtviz.capture.classes import class_names
from jtviz.capture.inputs import UNREAD, Prepared, last_read
from jtviz.capture.structure import config
from jtviz.capture.target import Outcome, Target, TargetLike, precise
from jtviz.tokens import codec
from jtviz.tokens.words import label

Kind = Literal["text", "classes", "next", "states"]
Classes = Literal["exclusive", "independent", "number"]
TOP = 5


@dataclass(frozen=True)
class Question:
    """What is asked of a model that read a text.

    Attributes
    ----------
    kind : {"text", "classes", "next", "states"}
        A text that it writes, classes, the token that a row predicts, or hidden states alone.
    rows : tuple of int
        The rows whose predictions are compared; empty for classes and states.
    target : Target or None
        The number whose probability is followed; None where that is the whole answer's.
    words : str
        That number, in words; per token it is the geometric mean.
    names : tuple of str
        What each row predicts.
    choice : {"exclusive", "independent", "number"}
        Whether one class excludes the others, or what is predicted is a number.
    """

    kind: Kind
    rows: tuple[int, ...]
    target: Target | None
    words: str
    names: tuple[str, ...] = ()
    tokenizer: Any = field(default=None, repr=False, compare=False)
    classes: tuple[str, ...] = ()
    side: Literal["source", "target"] = "source"
    choice: Classes = "exclusive"

    @property
    def distance(self) -> str:
        """How far two models are apart, in words with its unit."""
        if self.kind == "states":
            return "1 - cosine of the last hidden state"
        return "difference of the number" if self.choice == "number" else "KL divergence, nats"

    @property
    def unit(self) -> str:
        """The unit of that."""
        return "nats" if self.distance.endswith("nats") else "in all"

    def log(self, logits: Tensor) -> Tensor:
        """Return what is followed of logits, a choice each: log-probabilities, or the numbers themselves."""
        if self.choice == "number":
            return precise(logits)
        return (
            F.logsigmoid(precise(logits)) if self.choice == "independent" else precise(logits).log_softmax(-1)
        )

    def shares(self, logits: Tensor) -> Tensor:
        """Return the probability of each choice, or the numbers themselves."""
        found = self.log(logits)
        return found if self.choice == "number" else found.exp()


def question(trace: Trace, model: nn.Module, target: TargetLike) -> Question:
    """Return what is asked.

    Parameters
    ----------
    trace : Trace
        Of the intact model.
    model : nn.Module
        Names its classes.
    target : optional
        As in `HookedTransformer.trace`; left out, the whole answer, the likeliest class or token.

    Raises
    ------
    JtvizError
        If the model predicts nothing of this kind.
    OutOfRangeError
        If there is no such class, row or token.
    """
    if callable(target):
        raise JtvizError(
            "target= names a class, a token or a row here: a function of the output has no probability."
        )
    reading = trace.reading
    if reading is None:
        raise JtvizError(
            "this trace was loaded or made from arrays, and has no model to ablate: trace it anew."
        )
    prepared, logits = reading.prepared, trace.logits
    if logits is None:
        if target is not None:
            raise JtvizError(
                f"{type(model).__name__} returns no logits that were kept: leave target= out, and what "
                f"changes is its last hidden state."
            )
        return Question("states", (), None, "likeness of the last hidden state (cosine)")
    side: Literal["source", "target"] = "source" if prepared.target is None else "target"
    outcome = Outcome(
        model=model, output=logits[None], logits=logits if logits.ndim == 2 else None,
        following=prepared.following_ids, read=prepared.read, tokenizer=reading.tokenizer, side=side,
        is_decoder="decoder" in trace.tokens, answer=prepared.answer, example=0,
    )  # fmt: skip
    if logits.ndim == 1:
        named = replace(outcome, logits=None).score(target, "prob")[0]
        choice = _choice(model, len(logits))
        return Question(
            "classes", (), named, f"{'number' if choice == 'number' else 'probability'} of {named.name}",
            classes=class_names(model) or (), side=side, choice=choice,
        )  # fmt: skip
    following = prepared.following_ids or ()
    written = [
        row
        for row in range(prepared.answer or 0, min(len(following), len(logits)))
        if prepared.answer is not None and following[row] != UNREAD
    ]
    kind: Kind = "text" if written else "next"
    found: Target | None = None
    if target is not None or not written:
        found = outcome.score(_row(target, trace, prepared), "prob")[0]
    rows = tuple(written) or ((found.row if found is not None else None) or 0,)
    tokenizer = reading.tokenizer
    names = tuple(
        str(following[row]) if tokenizer is None else label(tokenizer, following[row], side)
        for row in written
    )
    words = "probability of the intact output, per token" if found is None else f"probability of {found.name}"
    return Question(kind, rows, found, words, names, tokenizer, (), side)


def _choice(model: nn.Module, classes: int) -> Classes:
    """Return what the outputs of a classifier are, by its configuration."""
    kind = getattr(config(model), "problem_type", None)
    if kind == "multi_label_classification":
        return "independent"
    return "number" if kind == "regression" or (kind is None and classes == 1) else "exclusive"


def _row(target: TargetLike, trace: Trace, prepared: Prepared) -> TargetLike:
    """Return the target, or the row that is asked about where none is named: of a masked model the mask's."""
    if target is not None or "decoder" in trace.tokens:
        return target
    masked = [i for i, text in enumerate(trace.tokens["encoder"].text) if "mask" in text.lower()]
    rows = len(trace.tokens["encoder"])
    return {"row": masked[0] if masked else last_read(prepared.read, rows)}


@dataclass(frozen=True)
class Said:
    """What one model says.

    Attributes
    ----------
    text : str
        What it writes; empty where it writes nothing.
    value : float
        The number of `Question.words`.
    top : tuple of (str, float)
        The likeliest classes or tokens, with their probabilities.
    """

    text: str
    value: float
    top: tuple[tuple[str, float], ...] = ()


def said(asked: Question, trace: Trace, text: str, whole: Trace, beside: Trace | None = None) -> Said:
    """Return what a trace says.

    Parameters
    ----------
    asked : Question
        What is asked.
    trace : Trace
        Of the model that says it.
    text : str
        What that writes.
    whole : Trace
        Of the intact model, which it is compared with.
    beside : Trace, optional
        Of a model whose likeliest choices are named, too.
    """
    if asked.kind == "states" or trace.logits is None:
        return Said(text, likeness(whole, trace))
    top = _top(asked, trace, beside)
    if asked.kind == "classes":
        shares = asked.shares(trace.logits)
        index = 0 if asked.target is None or asked.target.index is None else asked.target.index
        return Said(text, float(shares[index]), top)
    log = precise(trace.logits).log_softmax(-1)
    if asked.target is not None and asked.target.row is not None and asked.target.index is not None:
        value = float(log[asked.target.row, asked.target.index].exp())
    else:
        reading = whole.reading
        following = (reading.prepared.following_ids if reading is not None else None) or ()
        value = float(torch.stack([log[r, following[r]] for r in asked.rows]).mean().exp())
    return Said(text, value, top)


def _top(asked: Question, trace: Trace, beside: Trace | None) -> tuple[tuple[str, float], ...]:
    """Return the likeliest classes or tokens of a trace and of another one, with this one's probabilities."""
    found = [one.logits for one in (trace, beside) if one is not None and one.logits is not None]
    if asked.kind == "text" or not found:
        return ()
    rows = [asked.shares(x if asked.kind == "classes" else x[asked.rows[0]]) for x in found]
    likeliest = {i for row in rows for i in row.argsort(descending=True)[:TOP].tolist()}
    order = sorted(likeliest, key=lambda i: -float(rows[0][i]))
    return tuple((_name(asked, i), float(rows[0][i])) for i in order)


def _name(asked: Question, token: int) -> str:
    if asked.kind == "classes":
        return asked.classes[token] if asked.classes else str(token)
    return f"<{token}>" if asked.tokenizer is None else label(asked.tokenizer, token, asked.side)


def likeness(one: Trace, other: Trace) -> float:
    """Return the mean cosine similarity of the last hidden states of two traces."""
    side = "decoder" if "decoder" in one.stages else one.stages[0]
    return float(F.cosine_similarity(one.hidden(side)[-1], other.hidden(side)[-1], dim=-1).mean())


def divergences(asked: Question, whole: Tensor | None, other: Tensor | None) -> Tensor:
    """Return the Kullback-Leibler divergence of each row's prediction from the intact one's, in nats.

    ``KL(intact || ablated)``, ``[rows]``; one number for classes, of those that do not exclude each other the
    sum over them; none where there are no probabilities.
    """
    if whole is None or other is None or asked.choice == "number":
        return torch.zeros(0)
    if asked.choice == "independent":
        p, q = (F.logsigmoid(torch.stack([precise(x), -precise(x)])) for x in (whole, other))
        return F.kl_div(q, p, reduction="sum", log_target=True)[None].clamp_(min=0)
    rows = [slice(None)] if asked.kind == "classes" else list(asked.rows)
    intact, ablated = (
        precise(x)[None] if asked.kind == "classes" else precise(x)[rows] for x in (whole, other)
    )
    log, base = ablated.log_softmax(-1), intact.log_softmax(-1)
    divergence: Tensor = F.kl_div(log, base, reduction="none", log_target=True).sum(-1)
    return divergence.clamp_(min=0)


def written(model: nn.Module, trace: Trace, generate: Any) -> str:
    """Return what a model writes after what was read; empty where nothing was generated.

    Parameters
    ----------
    model : nn.Module
        In the state for a trace.
    trace : Trace
        Of the intact model.
    generate : callable
        As `jtviz.capture.generation.generate_ids`.
    """
    reading = trace.reading
    if reading is None or reading.tokenizer is None or reading.prepared.answer is None:
        return ""
    prepared, tokens = reading.prepared, trace.tokens.get("decoder")
    if tokens is None or tokens.generated is None:
        return ""
    if prepared.target is None:
        # A text that was gone on with: its beginning is read again.
        count = sum(tokens.generated)
        first = len(tokens) - count
        kwargs = {
            name: value[:, :first] if isinstance(value, Tensor) and value.ndim == 2 else value
            for name, value in prepared.kwargs.items()
            if name != "use_cache"
        }
        ids = generate(model, reading.tokenizer, kwargs, max_new_tokens=count)
        return codec(reading.tokenizer).decode(ids[first:])
    kwargs = dict(prepared.kwargs)
    ids_of_target = prepared.ids.get("target")
    own = {
        name: value for name, value in kwargs.items() if value is not ids_of_target and name != "use_cache"
    }
    ids = generate(model, reading.tokenizer, own, max_new_tokens=max(60, 2 * len(tokens)))
    return codec(reading.tokenizer, "target").decode(ids)
