"""Many texts, read one after the other: what every analysis over a data set goes through.

Required: memory does not grow with the number of texts; the traces that a reader has are not pushed out of
memory by them; the model is as it was found between two texts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import ExitStack
from typing import Any

import torch

from jtviz.capture import HookedTransformer, JtvizError, Trace, hook
from jtviz.capture.asfound import as_found
from jtviz.capture.forward import Asked, run
from jtviz.capture.inputs import Text, checked_texts, prepare_text
from jtviz.capture.intervention.ablation import waiting
from jtviz.capture.memory import fingerprint
from jtviz.capture.reading import Reading
from jtviz.capture.structure import is_encoder_decoder

from ..attribution.progress import SHOWN_FROM, Progress
from ..importance.rows import TEXTS, of_example

SIDES = ("encoder", "decoder")


def read(
    model: Any,
    texts: Any,
    side: str | None = None,
    *,
    tokenizer: Any = None,
    progress: bool | None = None,
) -> Iterator[Trace]:
    """Trace texts one after the other, without remembering them.

    Parameters
    ----------
    model : nn.Module, pipeline or HookedTransformer
        Any model.
    texts : iterable of str or (str, str), or data frame
        What is read; of a data frame the column ``text`` (or ``source``). Two texts are read together.
    side : {"encoder", "decoder"}, optional
        Which side is looked at: where it is the encoder of an encoder-decoder (as it is if left out), just
        one token is generated.
    tokenizer : object, optional
        Where the model does not bring one.
    progress : bool, optional
        Whether to show a bar; where it takes long if left out, which of texts whose number is not known
        beforehand is seen as it goes.

    Returns
    -------
    iterator of Trace
        Memory is that of one trace, if the caller keeps none.

    Raises
    ------
    JtvizError
        If these are no texts, or there is no such side; about one text, when it is read.

    Examples
    --------
    >>> import jtviz
    >>> [len(trace.tokens["decoder"]) for trace in read(jtviz.demo.induction(), ["abc", "abcd"])]
    [3, 4]
    """
    if side is not None and side not in SIDES:
        raise JtvizError(f"side= is 'encoder' or 'decoder', not {side!r}.")
    hooked = hook(model, tokenizer)
    return _each(hooked, listed(texts), side, progress)


def listed(texts: Any) -> Iterable[Text]:
    """Return texts one by one, whatever they came in.

    Raises
    ------
    JtvizError
        If these are no texts.
    """
    if hasattr(texts, "columns") and hasattr(texts, "to_dict"):
        name = next((name for name in TEXTS if name in texts.columns), None)
        if name is None:
            raise JtvizError(
                "a data frame needs a column 'text' (or 'source'): rename the one with the texts."
            )
        texts = texts[name]
    if hasattr(texts, "tolist"):
        texts = texts.tolist()
    if isinstance(texts, str | bytes | dict) or not isinstance(texts, Iterable):
        raise JtvizError(f"texts are a list of strings or a data frame, not {type(texts).__name__}.")
    if not isinstance(texts, Sequence):
        return texts
    if not texts:
        raise JtvizError("there are no texts: give at least one.")
    for index, text in enumerate(texts):
        with of_example(index):
            checked_texts(text)
    return texts


def side_of(trace: Trace, side: str | None) -> str:
    """Return the side that is looked at: the encoder where there is one, if left out.

    Raises
    ------
    JtvizError
        If there is no such side.
    """
    if not isinstance(trace, Trace):
        raise JtvizError(f"give a trace, such as hook(model).trace(text), not {type(trace).__name__}.")
    there = [name for name in SIDES if name in trace.stages]
    if side is None:
        return there[0]
    if side not in there:
        raise JtvizError(f"side {side!r} is not there: this model has {', '.join(map(repr, there))}.")
    return side


def _each(
    hooked: HookedTransformer, texts: Iterable[Text], side: str | None, shown: bool | None
) -> Iterator[Trace]:
    count = len(texts) if isinstance(texts, Sized) else 0
    with ExitStack() as stack:
        bar: Progress | None = None
        first = time.perf_counter()
        for index, text in enumerate(texts):
            begin = time.perf_counter()
            with of_example(index):
                trace = _one(hooked, checked_texts(text), side)
            if bar is None:
                now = time.perf_counter()
                seconds = (now - begin) * count if count else now - first
                if count or shown is not None or seconds > SHOWN_FROM:
                    bar = stack.enter_context(Progress("texts", count, shown=shown, seconds=seconds))
                    bar.advance(index)
            yield trace
            if bar is not None:
                bar.advance(1)


def _one(hooked: HookedTransformer, text: Text, side: str | None) -> Trace:
    model, tokenizer = hooked.model, hooked.tokenizer
    if waiting(model):
        hooked.trace(text)  # from which an ablation that is open learns where heads are
    only_read = is_encoder_decoder(model) and side in {None, "encoder"}
    asked = Asked(
        gradients=False,
        target=None,
        output="logit",
        pattern_limit=hooked.pattern_limit,
        keep_on=None,
        example=0,
    )
    with hooked.memory.lock, as_found(model, is_compiled=hooked.is_compiled) as notes, torch.no_grad():
        prepared = prepare_text(model, tokenizer, text, None, 1 if only_read else None)
        trace = run(model, tokenizer, prepared, asked, notes)
        trace.reading = Reading(
            model, tokenizer, prepared, hooked.memory.lock, fingerprint(model),
            pattern_limit=hooked.pattern_limit, is_compiled=hooked.is_compiled,
        )  # fmt: skip
    side_of(trace, side)
    return trace


__all__ = ["SIDES", "listed", "read", "side_of"]
