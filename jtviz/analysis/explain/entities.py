"""What is explained of a model that labels each token: every entity that it found.

Required: the label of a word is that of its first token, as such models are trained (Devlin et al. 2019,
section 5.3); an entity is explained by the label of its first token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.capture.classes import class_names
from jtviz.capture.part import is_int, plain
from jtviz.capture.score import first_logits
from jtviz.tokens import Tokens

from ..attribution.session import Session
from .choice import Found, choice
from .request import Request

OUTSIDE = "O"


@dataclass(frozen=True)
class Entity:
    """Words with one label.

    Attributes
    ----------
    first, last : int
        Its first and last token.
    kind : str
        What it is, without ``B-`` and ``I-``.
    label : int
        The number of the label of its first token.
    """

    first: int
    last: int
    kind: str
    label: int


def label_logits(model: Any, output: Any) -> Tensor | None:
    """Return the logits ``[batch, tokens, labels]`` of the labels of tokens; None if there are none."""
    names = class_names(model) or ()
    found = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    is_one = isinstance(found, Tensor) and found.ndim == 3 and found.shape[-1] == len(names)
    return found if is_one else None


def of_entities(session: Session, request: Request) -> Found:
    """Explain each entity, or the label of the token that is named."""
    names = class_names(session.forward.model) or ()
    tokens = session.tokens["source"]
    output = session.forward.output
    logits = first_logits(output)[0]
    if logits.isnan().any():
        raise JtvizError(
            "the output of the model has NaN or infinity: look for them in its weights or its input."
        )
    labels = [int(i) for i in logits.argmax(-1)]
    entities = entities_of(tokens, labels, names)
    if request.target is None:
        places = [(one.first, one.label, f"{_words(tokens, one)}: {one.kind}") for one in entities]
    else:
        places = [_place(tokens, target, labels, names) for target in request.targets]
    against = None if request.against is None else _label(request.against, names)
    scores, words = [], []
    for row, index, name in places:

        def pick(found: Any, row: int = row) -> Tensor:
            return first_logits(found)[:, row]

        def label(i: int, row: int = row) -> str:
            return f"{tokens[row]}: {names[i]}"

        scores.append(choice(output, pick, index, request.output, name=label, against=against, row=row))
        words.append(name)
    said = ", ".join(f"{_words(tokens, one)}: {one.kind}" for one in entities)
    return Found(tuple(words), tuple(scores), said or "no entity")


def entities_of(tokens: Tokens, labels: list[int], names: tuple[str, ...]) -> list[Entity]:
    """Return the entities that labels name.

    Parameters
    ----------
    tokens : Tokens
        Of the text; special ones are part of no entity.
    labels : list of int
        The label of each token; those of a word but for its first are not looked at.
    names : tuple of str
        What labels are called: ``O`` is none, ``B-`` begins an entity and ``I-`` goes on with it.

    Examples
    --------
    >>> tokens = Tokens.from_strings(["▁Ann", "▁L", "ee", "▁left", "▁Paris"])
    >>> found = entities_of(tokens, [1, 2, 0, 0, 3], ("O", "B-PER", "I-PER", "LOC"))
    >>> [(one.first, one.last, one.kind) for one in found]
    [(0, 2, 'PER'), (4, 4, 'LOC')]
    """
    found: list[Entity] = []
    word: int | None = None
    is_open = False
    for i, special in enumerate(tokens.special):
        if tokens.words[i] is not None and tokens.words[i] == word and i:
            if is_open:
                found[-1] = Entity(found[-1].first, i, found[-1].kind, found[-1].label)
            continue
        word = tokens.words[i]
        name = OUTSIDE if special else names[labels[i]]
        if name == OUTSIDE:
            is_open = False
            continue
        kind = name[2:] if name[:2] in {"B-", "I-"} else name
        if is_open and found[-1].kind == kind and not name.startswith("B-"):
            found[-1] = Entity(found[-1].first, i, kind, found[-1].label)
        else:
            found.append(Entity(i, i, kind, labels[i]))
        is_open = True
    return found


def _place(tokens: Tokens, target: Any, labels: list[int], names: tuple[str, ...]) -> tuple[int, int, str]:
    """Return the token, the label and the name of what a reader named."""
    given = {key: plain(value) for key, value in target.items()} if isinstance(target, Mapping) else {}
    if unknown := set(given) - {"row", "label"}:
        raise JtvizError(f"target= as a mapping has a 'row' and a 'label', not {min(unknown, key=str)!r}.")
    if not isinstance(target, Mapping):
        given["row"] = plain(target)
    row = given.get("row")
    if isinstance(row, str):
        same = [i for i, text in enumerate(tokens) if text == row]
        if len(same) != 1:
            said = f"stands there {len(same)} times, as tokens {same}" if same else "is no token of the text"
            raise OutOfRangeError(f"{row!r} {said}: give the number of a token, target=.")
        row = same[0]
    if not is_int(row) or not -len(tokens) <= int(row) < len(tokens):  # type: ignore[call-overload]
        raise OutOfRangeError(f"token {row!r} is not there: tokens are 0 to {len(tokens) - 1}.")
    row = int(row) % len(tokens)  # type: ignore[call-overload]
    label = labels[row] if given.get("label") is None else _label(given["label"], names)
    return row, label, f"{tokens[row]}: {names[label]}"


def _label(given: Any, names: tuple[str, ...]) -> int:
    given = plain(given)
    if isinstance(given, str) and given in names:
        return names.index(given)
    if is_int(given) and 0 <= given < len(names):
        return int(given)
    raise OutOfRangeError(f"label {given!r} is not there: choose from {', '.join(names)}.")


def _words(tokens: Tokens, entity: Entity) -> str:
    spans = [span for span in tokens.spans[entity.first : entity.last + 1] if span is not None]
    return tokens.sentence[spans[0][0] : spans[-1][1]] if spans else tokens[entity.first]
