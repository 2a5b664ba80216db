"""Explain one prediction, or those of many texts: what `jtviz.explain` does once its words are checked.

Required: what is wrong with any of the texts is said before the first one is read; each text is read on its
own, so that padding changes no number; the model is as it was found, also after an interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jtviz.capture import HookedTransformer, JtvizError
from jtviz.capture.inputs import Text
from jtviz.capture.score import Score

from ..attribution.attribute import checked_answer
from ..attribution.attribution import Attribution
from ..attribution.how import How
from ..attribution.progress import Progress
from ..attribution.session import Session, opened
from ..trust import Trust
from ..trust.bundle import faithfulness_only
from ..trust.taking_away import NOT_DIFFERENTIATED, Removal, examples_of
from .choice import Found, named
from .entailment import entailment_of, likeliest, logit_of, of_label, wanted_labels
from .explanation import Explanation
from .request import Again, Request, checked
from .tasks import task_named, task_of


def explained(
    hooked: HookedTransformer,
    request: Request,
    how: How,
    *,
    task: str | None,
    trust: bool,
    progress: bool | None,
) -> Explanation:
    """Explain one prediction; see `jtviz.explain`."""
    return _explained(hooked, checked(request), how, task, trust=trust, progress=progress, keep=True)


def _explained(
    hooked: HookedTransformer,
    request: Request,
    how: How,
    task: str | None,
    *,
    trust: bool,
    progress: bool | None,
    keep: bool,
) -> Explanation:
    name = _checked_task(request, task)
    columns = None
    if name == "zero-shot":
        found, parts, worth, sources = _by_entailment(hooked, request, how, trust=trust, progress=progress)
    else:
        source = Again(hooked, request)
        with opened(source.trace(keep=True)) as session:
            name, found = _found(session, request, name)
            parts, worth = _computed(session, found.scores, how, trust=trust, progress=progress)
            patches = session.reading.prepared.patches
            columns = None if patches is None else patches.columns
        sources = [source] * len(parts)
    if not keep:
        for source in sources:
            source.let_go()
    return Explanation(
        name,
        request.text,
        found.prediction,
        found.names,
        tuple(parts),
        how,
        tuple(worth) if trust else None,
        tuple(sources),
        columns,
    )


def all_explained(
    hooked: HookedTransformer,
    texts: Sequence[Text],
    request: Request,
    how: How,
    *,
    task: str | None,
    trust: bool,
    progress: bool | None,
) -> list[Explanation]:
    """Explain the predictions of many texts, with one bar for all."""
    wanted = []
    for number, text in enumerate(texts):
        try:
            one = checked(replace(request, text=text))
            _checked_task(one, task)
        except JtvizError as error:
            raise JtvizError(f"text[{number}]: {error}") from error
        wanted.append(one)
    found = []
    words = f"{how.method.label} of {len(texts)} texts"
    shown = len(texts) > 1 if progress is None else progress
    with Progress(words, len(texts), shown=shown, seconds=0.0) as bar:
        for number, one in enumerate(wanted):
            try:
                found.append(_explained(hooked, one, how, task, trust=trust, progress=False, keep=False))
            except JtvizError as error:
                raise JtvizError(f"text[{number}]: {error}") from error
            bar.advance(1)
    return found


def _checked_task(request: Request, name: str | None) -> str | None:
    """Return the name of the task where it is known already; raise if the request does not go with it."""
    if name is None:
        return None if request.labels is None else "zero-shot"
    name = task_named(name).name
    is_pair = isinstance(request.text, tuple)
    if name == "sentence-pair" and request.text is not None and not is_pair:
        raise JtvizError("a sentence pair is two texts: give text=(first, second).")
    if name == "question-answering" and request.text is not None and not is_pair:
        raise JtvizError(
            "a question is answered from a text: pass it as context=, or text=(question, context)."
        )
    if (name == "zero-shot") != (request.labels is not None):
        raise JtvizError("labels= go with task='zero-shot', which needs them: give both or neither.")
    if name == "image-classification" and request.text is not None:
        raise JtvizError("a picture is no text: pass it as image=.")
    return name


def _found(session: Session, request: Request, name: str | None) -> tuple[str, Found]:
    """Return the task and what is explained."""
    checked_answer(session, request.target_text)
    if not callable(request.target):
        task = task_of(session, request, name)
        return task.name, task.found(session, request)
    score = session.score(request.target, request.output)
    return name or "function", Found((named(score),), (score,), f"{named(score)} = {score.value:.4g}")


def _computed(
    session: Session, scores: Sequence[Score], how: How, *, trust: bool, progress: bool | None
) -> tuple[list[Attribution], list[Trust]]:
    """Attribute each number, and judge that where it is asked for, with one bar for all."""
    if not trust or not scores:
        return (session.attribute_all(scores, how, progress=progress) if scores else []), []
    removal = Removal(unit=how.unit, memory=how.memory, seed=how.seed)
    words, total, lasts = _before(session, scores, how, removal)
    with Progress(words, total, shown=progress, seconds=lasts) as bar:
        parts = [session.attribute(score, how, progress=bar) for score in scores]
        return parts, [faithfulness_only(session, part, removal, bar) for part in parts]


def _before(session: Session, scores: Sequence[Score], how: How, removal: Removal) -> tuple[str, int, float]:
    """Return what is done and what it takes, in words; how many examples; and how many seconds."""
    attributed = session.examples(how) * len(scores)
    try:
        judged = sum(examples_of(session, score, removal) for score in scores)
    except JtvizError:  # said in the result
        judged = 0
    cost = session.cost(scores[0])
    weighed = attributed + judged // NOT_DIFFERENTIATED
    of = f" of {len(scores)} outputs" if len(scores) > 1 else ""
    words = f"{how.method.label} and trust{of}: {cost.words(weighed, how.memory)}"
    return words, attributed + judged, cost.seconds * weighed


def _by_entailment(
    hooked: HookedTransformer, request: Request, how: How, *, trust: bool, progress: bool | None
) -> tuple[Found, list[Attribution], list[Trust], list[Again]]:
    """Explain each label, of which every one is read with the text on its own."""
    entailment_of(hooked.model)
    labels, wanted = list(request.labels or ()), wanted_labels(request)
    parts: dict[str, Attribution] = {}
    worth: dict[str, Trust] = {}
    sources: dict[str, Again] = {}
    logits = []
    with Progress(f"{len(labels)} labels", len(labels), shown=bool(progress), seconds=0.0) as bar:
        for label in dict.fromkeys(labels):
            source = Again(hooked, request, (str(request.text), request.hypothesis.format(label)))
            with opened(source.trace(keep=True)) as session:
                logits.append(logit_of(session))
                if label in wanted:
                    score = of_label(session, request, label).scores[0]
                    one, judged = _computed(session, [score], how, trust=trust, progress=False)
                    parts[label], sources[label] = one[0], source
                    worth.update(zip([label], judged, strict=False))
            bar.advance(1)
    found = Found(tuple(wanted), (), likeliest(list(dict.fromkeys(labels)), logits))
    judged = [worth[label] for label in wanted if label in worth]
    return found, [parts[label] for label in wanted], judged, [sources[label] for label in wanted]
