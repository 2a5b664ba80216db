"""The exercises of the lesson *Attention, step by step*, which check themselves.

Required: what is right, and every wrong turn that is recognised, is computed from the model; whatever
a reader types is answered in words, never with an exception.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jtviz.analysis import products
from jtviz.capture import Trace
from jtviz.tokens.errors import JtvizError

from .embedded import translator

SENTENCE = "I like to drink tea."
"""What the exercises are about."""

ROUNDING = 0.006
"""How far a number may be from the model's: two decimals are enough."""

Answer = Tensor | str | frozenset[str]
"""Numbers, a token, or tokens in any order."""

LAYER, HEAD = 1, 0
QUERY, KEY = "drink", "like"


@dataclass(frozen=True)
class Verdict:
    """What a check says of an answer; last in a cell, it is shown.

    Attributes
    ----------
    right : bool or None
        None where there is no answer yet.
    message : str
        Why, in a sentence or two.

    Examples
    --------
    >>> Verdict(False, "That is a column.")
    Not yet. That is a column.
    """

    right: bool | None
    message: str

    @property
    def lead(self) -> str:
        """The verdict in two words."""
        return {None: "Not answered yet.", True: "Right.", False: "Not yet."}[self.right]

    def __repr__(self) -> str:
        return f"{self.lead} {self.message}"

    def _repr_markdown_(self) -> str:
        return f"**{self.lead}** {self.message}"


@dataclass(frozen=True)
class Exercise:
    """What is asked, what is right, and what is said.

    Attributes
    ----------
    asks : str
        What an answer is, such as ``"one number"``.
    right : Answer
        What it is.
    praise : str
        What a right answer shows.
    slips : tuple of (Answer, str)
        Wrong turns that are easily taken: where each ends, and what to say there.
    advice : str
        For any other wrong answer.
    """

    asks: str
    right: Answer
    praise: str
    slips: tuple[tuple[Answer, str], ...]
    advice: str


def check(name: str, answer: Any) -> Verdict:
    """Check the answer to an exercise of the lesson.

    Parameters
    ----------
    name : {"score", "weights", "mask", "source", "added", "most"}
        Which exercise.
    answer : object
        Numbers (plain, in a list, of NumPy, pandas or PyTorch), a token, or a list of tokens. None means
        not answered yet.

    Returns
    -------
    Verdict
        Whether it is right, and a hint if not.

    Raises
    ------
    JtvizError
        If there is no such exercise.

    Examples
    --------
    >>> check("score", None)
    Not answered yet. Replace None with one number, and run the cell again.
    """
    if name not in EXERCISES:
        raise JtvizError(f"there is no exercise {name!r}: choose from {', '.join(map(repr, EXERCISES))}.")
    exercise = EXERCISES[name](translator().trace(SENTENCE))
    if answer is None or answer is ...:
        return Verdict(None, f"Replace None with {exercise.asks}, and run the cell again.")
    read = _read(answer, exercise.right)
    if read is None:
        return Verdict(False, f"The answer is {exercise.asks}.")
    if _same(read, exercise.right):
        return Verdict(True, exercise.praise)
    for slip, hint in exercise.slips:
        if _same(read, slip):
            return Verdict(False, hint)
    if isinstance(read, Tensor) and isinstance(exercise.right, Tensor) and read.shape != exercise.right.shape:
        found = f"The answer is {exercise.asks}, and this has {_how_many(read)}."
        return Verdict(False, f"{found} {exercise.advice}")
    return Verdict(False, exercise.advice)


def _read(answer: Any, like: Answer) -> Answer | None:
    """Return an answer as what was asked for; None if it is something else."""
    if isinstance(like, str):
        return answer.strip() if isinstance(answer, str) else None
    if isinstance(like, frozenset):
        if isinstance(answer, str) or not isinstance(answer, Collection):
            return None
        named = [word.strip() for word in answer if isinstance(word, str)]
        return frozenset(named) if len(named) == len(answer) else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = answer.detach().cpu() if isinstance(answer, Tensor) else answer
            return torch.from_numpy(np.array(plain, dtype=np.float64)).squeeze()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def _same(answer: Answer, other: Answer) -> bool:
    if isinstance(answer, Tensor) and isinstance(other, Tensor):
        return answer.shape == other.shape and bool(((answer - other.double()).abs() <= ROUNDING).all())
    if isinstance(answer, str) and isinstance(other, str):
        return answer.casefold() == other.casefold()
    return type(answer) is type(other) and answer == other


def _how_many(numbers: Tensor) -> str:
    if numbers.ndim > 1:
        return f"a shape of {tuple(numbers.shape)}"
    return "1 number" if numbers.numel() == 1 else f"{numbers.numel()} numbers"


def _score(trace: Trace) -> Exercise:
    tokens = trace.tokens["encoder"].text
    query, key = tokens.index(QUERY), tokens.index(KEY)
    one, other = (
        products(trace, "encoder", layer=LAYER, head=HEAD, query=looks, key=seen)
        for looks, seen in ((query, key), (key, query))
    )
    total = one.products.sum()
    return Exercise(
        asks="one number",
        right=torch.tensor(one.score),
        praise=f"The score is {one.score:.2f}. Softmax turns all scores of the row into weights.",
        slips=(
            (total, "That is the dot product itself: divide it by the square root of 48."),
            (total / len(one.products), "The dot product is divided by the square root of 48, not by 48."),
            (
                torch.tensor(other.score),
                f"That is `{KEY}` looking at `{QUERY}`. Take the query of `{QUERY}` and the key of `{KEY}`.",
            ),
            (torch.tensor(one.weight), "That is the weight, after softmax: the score is what goes into it."),
        ),
        advice=f"Multiply the query of `{QUERY}` with the key of `{KEY}`, number by number, add up the 48 "
        f"products, and divide by the square root of 48.",
    )


def _weights(trace: Trace) -> Exercise:
    tokens = trace.tokens["encoder"].text
    query = tokens.index(QUERY)
    pattern = trace.attention("encoder", layer=LAYER, head=HEAD)
    found = [
        products(trace, "encoder", layer=LAYER, head=HEAD, query=query, key=key) for key in range(len(tokens))
    ]
    scores = torch.tensor([one.score for one in found])
    dots = torch.stack([one.products.sum() for one in found])
    most = tokens[int(pattern[query].argmax())]
    return Exercise(
        asks=f"{len(tokens)} numbers (one for each token)",
        right=pattern[query],
        praise=f"`{QUERY}` looks most at `{most}`, with {float(pattern[query].max()):.3f}. They sum to 1.",
        slips=(
            (scores, "Those are the scores: put them through softmax."),
            (scores.exp(), "Those are the exponentials: divide them by their sum."),
            (
                dots.softmax(-1),
                "Scale first: divide the dot products by the square root of 48, then softmax.",
            ),
            (dots, "Those are the dot products: divide by the square root of 48, then softmax."),
            (
                pattern[:, query],
                f"That is a column: how much each token looks at `{QUERY}`. A row is where `{QUERY}` looks.",
            ),
        ),
        advice=f"Take the scores of the query of `{QUERY}` with every key, then divide each exponential by "
        f"the sum of all.",
    )


def _mask(trace: Trace) -> Exercise:
    tokens = trace.tokens["decoder"].text
    row = tokens.index("欢")
    sees = trace.attention("decoder", layer=LAYER)[:, row].amax(0) > 0
    seen = frozenset(token for token, may in zip(tokens, sees, strict=True) if may)
    return Exercise(
        asks='a list of tokens (such as ["我", "茶"])',
        right=seen,
        praise="What was written so far, and itself: the tokens that follow are hidden by the mask.",
        slips=(
            (
                seen - {tokens[row]},
                f"Nearly: a token also looks at itself, so `{tokens[row]}` belongs to the list.",
            ),
            (
                seen - {tokens[0]},
                f"Nearly: `{tokens[0]}`, which begins every translation, is a token like the others.",
            ),
            (
                seen | {tokens[row + 1]},
                f"`{tokens[row + 1]}` is what this row is to predict: it must not see it.",
            ),
            (frozenset(tokens), "Those are all. The mask hides what comes after the query."),
        ),
        advice="Find the row in the table of part 4: the list has every token with a weight above 0, "
        "however small, written as it is in the table.",
    )


def _source(trace: Trace) -> Exercise:
    english, predicted = trace.tokens["encoder"].text, trace.predicts or ()
    row = predicted.index("喝")
    weights = trace.attention("cross", layer=LAYER, head=HEAD)
    right, trap = (english[int(weights[at].argmax())] for at in (row, row + 1))
    return Exercise(
        asks='one English token in quotes (such as "I")',
        right=right,
        praise=f"Where 喝 is predicted, the head looks at `{right}` with {float(weights[row].max()):.3f}.",
        slips=(
            (
                trap,
                f"`{trap}` is what the row that reads 喝 looks at. It predicts what follows: go one row up.",
            ),
        ),
        advice="Find the row that predicts 喝 (the one that reads the token before), and its largest weight.",
    )


def _added(trace: Trace) -> Exercise:
    query = trace.tokens["encoder"].text.index(QUERY)
    weights = trace.attention("encoder", layer=LAYER, rows=query)
    values = trace.site("encoder", LAYER).value.float()
    fetched = torch.einsum("hk,hkd->hd", weights, values)
    projection = trace.output_projection("encoder", LAYER)
    added = torch.einsum("hd,hdw->hw", fetched, projection)
    model: Any = translator().model
    bias = model.transformer.encoder.layers[LAYER].self_attn.out_proj.bias.detach()
    d = fetched.shape[1]
    rows = projection.flatten(0, 1).T[HEAD * d : (HEAD + 1) * d]
    return Exercise(
        asks=f"{added.shape[1]} numbers",
        right=added[HEAD],
        praise=f"Its length is {float(added[HEAD].norm()):.2f}. The other heads add their vectors to it.",
        slips=(
            (fetched[HEAD], "Those are the 48 numbers before the output projection."),
            (added[HEAD] + bias, "The bias belongs to all heads together: leave it out here."),
            (added.sum(0), "That is what all heads add: only one head is asked for."),
            (added.sum(0) + bias, "That is the output of the whole layer: only one head is asked for."),
            (fetched[HEAD] @ rows, "These are the first rows of W_o: take its first columns."),
        ),
        advice=f"Multiply the weights of `{QUERY}` with the values, then the result with the part of W_o "
        f"that belongs to head {HEAD}.",
    )


def _most(trace: Trace) -> Exercise:
    token = "I"
    query = trace.tokens["encoder"].text.index(token)
    weights = trace.attention("encoder", layer=LAYER, rows=query)
    values = trace.site("encoder", LAYER).value.float()
    projection = trace.output_projection("encoder", LAYER)
    lengths = torch.einsum("hk,hkd,hdw->hw", weights, values, projection).norm(dim=-1)
    hardest = int(weights.amax(-1).argmax())
    return Exercise(
        asks="the number of one head (from 0 to 3)",
        right=lengths.argmax(),
        praise=f"Head {int(lengths.argmax())} adds a vector of length {float(lengths.max()):.2f}; head "
        f"{hardest} has the largest weight, and adds {float(lengths[hardest]):.2f}.",
        slips=(
            (
                torch.tensor(hardest),
                f"Head {hardest} has the largest weight. What it adds is that weight times a value.",
            ),
            (lengths, "Those are the lengths: which head has the longest?"),
        ),
        advice="Compute for each head what it adds at this token (192 numbers), and compare the lengths.",
    )


EXERCISES: dict[str, Callable[[Trace], Exercise]] = {
    "score": _score,
    "weights": _weights,
    "mask": _mask,
    "source": _source,
    "added": _added,
    "most": _most,
}
"""Each exercise by its name, from the trace of `SENTENCE`."""
