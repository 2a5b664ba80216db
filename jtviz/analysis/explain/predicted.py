"""What is explained of a model that predicts tokens: the next one, those of an answer, those behind a mask.

Required: every row comes from one teacher-forced forward pass, and each token of an answer is a number of
its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from jtviz.capture import JtvizError
from jtviz.capture.inputs import UNREAD
from jtviz.tokens import codec, label

from ..attribution.attribute import targets_of
from ..attribution.session import Session
from .choice import Found, chance, named
from .request import Request


def of_next(session: Session, request: Request) -> Found:
    """Explain what the last row predicts, each token of an answer, or what is named."""
    wanted = [
        one for target in request.targets for one in targets_of(session.outcome(), target, request.output)
    ]
    scores = [session.score(one, request.output, request.against) for one in wanted]
    outcome = session.outcome()
    if outcome.answer is None:
        said = session.score(None, "prob")
        prediction = f"{said.target.name}{chance(said.probability)}"
    else:
        ids = [i for i in list(outcome.following or ())[outcome.answer :] if i != UNREAD]
        tokenizer = session.reading.tokenizer
        prediction = " ".join(map(str, ids))
        if tokenizer is not None:
            prediction = codec(tokenizer, outcome.side).decode(ids)
    return Found(tuple(map(named, scores)), tuple(scores), prediction)


def of_masks(session: Session, request: Request) -> Found:
    """Explain what stands behind each mask: the likeliest token, or the one that is named."""
    rows = masks(session)
    targets = request.targets
    has_row = [isinstance(t, Mapping | int) for t in targets]
    if not rows and not all(has_row):
        raise JtvizError(
            f"this text has no mask: write {_mask(session)[1] or '[MASK]'} where a token is to be predicted, "
            f"or name the token to explain, target={{'row': ...}}."
        )
    scores = []
    for target, is_placed in zip(targets, has_row, strict=True):
        places = [target] if is_placed else [{"row": row, "token": target} for row in rows]
        places = [{k: v for k, v in p.items() if v is not None} if isinstance(p, dict) else p for p in places]
        scores += [session.score(place, request.output, request.against) for place in places]
    likeliest = [session.score({"row": row}, "prob") for row in rows]
    said = ", ".join(f"{one.target.name}{chance(one.probability)}" for one in likeliest)
    return Found(tuple(map(named, scores)), tuple(scores), said or "nothing is masked")


def masks(session: Session) -> list[int]:
    """Return the rows of the tokens that are masked."""
    number, _ = _mask(session)
    ids = session.tokens["source"].ids or ()
    return [row for row, i in enumerate(ids) if i == number]


def _mask(session: Session) -> tuple[int | None, str | None]:
    """Return the id and the spelling of the mask."""
    tokenizer = session.reading.tokenizer
    if tokenizer is None:
        return None, None
    known = getattr(tokenizer, "mask_token_id", None)
    reader = codec(tokenizer)
    if not isinstance(known, int):
        known = next((n for n in map(reader.number, ("[MASK]", "<mask>")) if n is not None), None)
    return known, None if known is None else label(tokenizer, known)
