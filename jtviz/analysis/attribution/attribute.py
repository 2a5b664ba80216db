"""Attribute one number of a model's output to the tokens that it read.

Required: what is wrong with a request is said before any gradient is computed.
"""

from __future__ import annotations

from jtviz.capture import JtvizError, Trace
from jtviz.capture.inputs import UNREAD
from jtviz.capture.target import Outcome, TargetLike, checked_scale

from .attribution import Attribution, method_named
from .cost import MEMORY
from .how import How, checked_how
from .session import Session, opened
from .units import Unit


def attribute(
    trace: Trace,
    method: str = "integrated_gradients",
    *,
    target: TargetLike = None,
    output: str = "logit",
    against: TargetLike = None,
    baseline: str | None = None,
    n_steps: int = 50,
    n_samples: int = 25,
    window: int = 3,
    noise: float = 0.1,
    unit: Unit = "token",
    memory: int = MEMORY,
    seed: int = 0,
    raise_steps: bool = True,
    progress: bool | None = None,
) -> Attribution:
    """Attribute one number of the output to the tokens of a trace.

    Parameters
    ----------
    trace : Trace
        Of a model that is still there.
    method : str
        One of `METHODS`.
    target, output
        What to explain, as in `HookedTransformer.trace`; the likeliest class, or what the last row predicts,
        if left out. ``output="loss"`` without a target is the loss of the whole answer.
    against : optional
        A second class, or a token for the same row: the difference of the two numbers is explained.
    baseline : str, optional
        What an absent token is: ``"pad"``, ``"mask"``, ``"zero"``, ``"mean"``, or a text of one's own with
        as many tokens. Left out: padding, where the model has it, else the mean; zero where no tokens are
        read. Special tokens stay.
    n_steps : int
        Points on the path from the baseline, of integrated gradients and the methods by layer.
    n_samples : int
        Random samples, of SmoothGrad, GradientSHAP and Shapley sampling.
    window : int
        Tokens that occlusion replaces together.
    noise : float
        Spread of SmoothGrad's noise, as a share of the range of the vectors.
    unit : {"token", "word", "sentence"} or list of (int, int)
        What ablation and Shapley sampling replace as one: spans of tokens are given as
        ``(first, last + 1)``, and the tokens between them stay single.
    memory : int
        Bytes that one batch may take beside the model.
    seed : int
        Of what is random.
    raise_steps : bool
        Whether to double `n_steps` (or `n_samples`), up to `MOST_STEPS`, while the sum is off by more than
        5 %.
    progress : bool, optional
        Whether to show a progress bar; where it takes more than two seconds, if left out.

    Returns
    -------
    Attribution
        One score a token.

    Raises
    ------
    JtvizError
        For a method, target or baseline that does not exist, a model that is gone or changed, or whose
        tokens cannot be followed to an embedding.
    OutOfRangeError
        If there is no such class, row or token.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.demo.classifier().trace("Man, 60. Has crushing chest pain.")
    >>> found = attribute(trace, target="urgent", output="log_prob")
    >>> found.relative_delta < 0.05
    True
    """
    how = How(
        method_named(method), baseline, n_steps, n_samples, window, noise, unit, memory, seed, raise_steps
    )
    checked_how(how)
    checked_scale(output)
    with opened(trace) as session:
        wanted = session.score(target, output, against)
        return session.attribute(wanted, how, progress=progress)


def checked_answer(session: Session, target_text: str | None) -> None:
    """Raise if an answer was given to a model that predicts none of its tokens."""
    outcome = session.outcome()
    if target_text is not None and (outcome.logits is None or not outcome.is_decoder):
        raise JtvizError(
            f"target_text= is an answer to be predicted, and {type(session.forward.model).__name__} predicts "
            f"no token after another: leave it out, or write it into the text."
        )


def targets_of(outcome: Outcome, target: TargetLike, output: str) -> list[TargetLike]:
    """Return what is explained: the target, or every token of an answer where none is named."""
    following = list(outcome.following or ())
    if target is not None or output == "loss" or outcome.answer is None or outcome.logits is None:
        return [target]
    rows = range(outcome.answer, min(len(following), len(outcome.logits)))
    found: list[TargetLike] = [{"row": row} for row in rows if following[row] != UNREAD]
    return found or [target]
