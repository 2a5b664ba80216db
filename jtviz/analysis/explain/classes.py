"""What is explained of a classifier: of a text, a pair of texts or a picture.

Required: classes that exclude each other have probabilities that sum to one, others one each; a model that
predicts a number has none.
"""

from __future__ import annotations

from jtviz.capture import JtvizError
from jtviz.capture.classes import class_logits, class_names
from jtviz.capture.score import Score, first_logits

from ..attribution.session import Session
from .choice import Found, chance, choice, named
from .request import Request

LIKELY = 0.5
"""From which probability on one of several labels counts as given."""


def of_classes(session: Session, request: Request) -> Found:
    """Explain one class, or each of a list: the likeliest if none is named."""
    if is_number(session):
        return _of_number(session, request)
    scores = [session.score(target, request.output, request.against) for target in request.targets]
    likeliest = session.score(None, "prob")
    return _found(scores, f"{likeliest.target.name}{chance(likeliest.probability)}")


def of_labels(session: Session, request: Request) -> Found:
    """Explain each label that is given, or those named, where labels do not exclude each other."""
    names = class_names(session.forward.model) or ()
    chances = first_logits(session.forward.output)[0].detach().float().sigmoid().tolist()
    likely = [i for i, one in enumerate(chances) if one > LIKELY]
    wanted = [_index(session, target) for target in request.targets]
    if request.target is None:
        wanted = likely or [max(range(len(chances)), key=chances.__getitem__)]
    against = None if request.against is None else _index(session, request.against)
    scores = [
        choice(
            session.forward.output, first_logits, index, request.output, name=names.__getitem__,
            against=against, independent=True,
        )
        for index in wanted
    ]  # fmt: skip
    said = ", ".join(f"{names[i]}{chance(chances[i])}" for i in likely)
    return _found(scores, said or f"no label above {LIKELY:.0%}")


def is_number(session: Session) -> bool:
    """Return whether the model predicts a number, no class."""
    config = getattr(session.forward.model, "config", None)
    logits = class_logits(session.forward.model, session.forward.output)
    return getattr(config, "problem_type", None) == "regression" or (logits is not None and len(logits) == 1)


def _of_number(session: Session, request: Request) -> Found:
    if request.output != "logit":
        raise JtvizError(
            f"{type(session.forward.model).__name__} predicts a number and no probability: leave output= at "
            f"'logit', which is that number."
        )
    names = class_names(session.forward.model) or ()
    against = None if request.against is None else _index(session, request.against)
    found = [
        choice(
            session.forward.output, first_logits, _index(session, target), "logit",
            name=names.__getitem__, against=against,
        )
        for target in request.targets
    ]  # fmt: skip
    scores = [Score(one.target, one.against, None, one.of) for one in found]
    return _found(scores, ", ".join(f"{one.target.name} {one.target.value:.4g}" for one in scores))


def _index(session: Session, target: object) -> int:
    """Return the number of a class; raise if there is none."""
    index = session.outcome().score(target, "logit")[0].index  # type: ignore[arg-type]
    if index is None:
        raise JtvizError("target= is the name or number of a class here.")
    return index


def _found(scores: list[Score], prediction: str) -> Found:
    return Found(tuple(map(named, scores)), tuple(scores), prediction)
