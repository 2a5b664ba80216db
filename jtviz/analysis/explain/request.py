"""What a reader wants explained, and how it is read.

Required: whatever is wrong with a request is said before the model runs; a text is read exactly as
`HookedTransformer.trace` reads it, so that an explanation is linked with every view of that text.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from jtviz.capture import HookedTransformer, JtvizError, Trace, hook
from jtviz.capture.generation import decoder_begin
from jtviz.capture.inputs import Text, checked_texts, encode, forward_arguments
from jtviz.capture.memory import is_as_marked
from jtviz.capture.structure import device_of, is_encoder_decoder, is_hugging_face
from jtviz.tokens import Tokens

HYPOTHESIS = "This example is {}."
"""What a label is put into, for a model of entailment (Yin et al. 2019)."""


@dataclass(frozen=True, eq=False)
class Request:
    """What is explained. `jtviz.explain` says what each means."""

    text: Text | None = None
    target: Any = None
    against: Any = None
    output: str = "logit"
    target_text: str | None = None
    generate: int | None = None
    labels: Sequence[str] | None = None
    hypothesis: Any = None
    image: Any = None
    processor: Any = None
    inputs: Any = None
    tokens: Mapping[str, Sequence[str]] | None = None

    @property
    def targets(self) -> list[Any]:
        """The targets: several where a list of them was given."""
        return list(self.target) if isinstance(self.target, list | tuple) else [self.target]


def checked(request: Request) -> Request:
    """Return a request that makes sense; raise if it does not.

    Raises
    ------
    JtvizError
        If there is nothing to read or too much, or labels are none.
    """
    given = [x for x in (request.text, request.image, request.inputs) if x is not None]
    if len(given) != 1:
        raise JtvizError("explain takes one of a text, image= and inputs=.")
    if request.text is not None:
        checked_texts(request.text)
    if request.text is None and (request.target_text is not None or request.generate is not None):
        raise JtvizError("target_text= and generate= go with a text: leave them out.")
    if request.inputs is None and request.tokens is not None:
        raise JtvizError("tokens= names the tokens of inputs=: leave it out.")
    if not request.targets:
        raise JtvizError("target= is empty: name what to explain, or leave it out.")
    if request.labels is None:
        if request.hypothesis is not None:
            raise JtvizError("hypothesis= is what labels= are put into: give both or neither.")
        return request
    if not _are_texts(request.labels):
        raise JtvizError("labels= is a list of strings, the classes to choose from.")
    if not request.labels:
        raise JtvizError("labels= is empty: give at least one class to choose from.")
    if not isinstance(request.text, str):
        raise JtvizError("labels= go with one text, which is compared with a sentence for each label.")
    hypothesis = HYPOTHESIS if request.hypothesis is None else request.hypothesis
    if not isinstance(hypothesis, str) or "{}" not in hypothesis or not _is_filled(hypothesis):
        raise JtvizError("hypothesis= is a sentence with {} where the label goes, and no other braces.")
    return replace(request, hypothesis=hypothesis)


def _is_filled(hypothesis: str) -> bool:
    """Return whether a label is all that a hypothesis needs."""
    try:
        hypothesis.format("label")
    except (LookupError, ValueError, AttributeError):
        return False
    return True


class Again:
    """What was read, ready to be read again where its trace is gone: a trace of every text would fill memory.

    Parameters
    ----------
    hooked : HookedTransformer
        The model; it is not kept alive.
    request : Request
        What was asked.
    text : str, (str, str) or None
        The text that was read, where it is not the request's own.
    """

    def __init__(self, hooked: HookedTransformer, request: Request, text: Text | None = None) -> None:
        self._model: weakref.ref[Any] | None = weakref.ref(hooked.model)
        self._request, self._text = request, text
        self._known: weakref.ref[Trace] | None = None
        self._kept: Trace | None = None
        self._mark: Hashable = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Say how it is saved: without the model and what was read, which are the reader's to keep."""
        return (_lost, ())

    def __copy__(self) -> Again:
        """Return itself: a copy of a model would be another model."""
        return self

    def __deepcopy__(self, _: Any) -> Again:
        """Return itself: a copy of a model would be another model."""
        return self

    def trace(self, *, keep: bool = False) -> Trace:
        """Return the trace.

        Parameters
        ----------
        keep : bool
            Whether to keep it from now on.

        Raises
        ------
        JtvizError
            If it is gone, and the model too or changed, or it was loaded from a file.
        """
        if self._model is None:
            raise JtvizError("this explanation was loaded without its model: explain the text again.")
        found = None if self._known is None else self._known()
        if found is None:
            model = self._model()
            if model is None:
                raise JtvizError("the model of this explanation is gone: keep it, and explain again.")
            if self._mark is not None and not is_as_marked(model, self._mark, hook(model).memory.lock):
                raise JtvizError("the model was changed since this explanation: explain again.")
            found = read(hook(model), self._request, self._text)
            self._known = weakref.ref(found)
            if found.reading is not None:
                self._mark = found.reading.mark
        if keep:
            self._kept = found
        return found

    def let_go(self) -> None:
        """No longer keep the trace."""
        self._kept = None


def _lost() -> Again:
    again = object.__new__(Again)
    again._model = again._known = again._kept = None
    return again


def _are_texts(labels: object) -> bool:
    # A string is a sequence of strings, too.
    return isinstance(labels, list | tuple) and all(isinstance(label, str) for label in labels)


def read(hooked: HookedTransformer, request: Request, text: Text | None = None) -> Trace:
    """Return the trace of what a request reads, or of another text."""
    text = request.text if text is None else text
    model = hooked.model
    if request.image is not None:
        return hooked.trace(inputs={"pixel_values": _pixels(model, request)})
    if text is None:
        return hooked.trace(inputs=request.inputs, tokens=request.tokens)
    if _reads_twice(model) and request.target_text is None:
        return _twice(hooked, text)
    return hooked.trace(text, target_text=request.target_text, generate=request.generate)


def _reads_twice(model: Any) -> bool:
    """Whether a model has two sides, and a head for classes instead of words."""
    return is_hugging_face(model) and is_encoder_decoder(model) and not hasattr(model, "generate")


def _twice(hooked: HookedTransformer, text: Text) -> Trace:
    """Read a text on both sides, as heads for classes do: the decoder's is shifted by one.

    Lewis et al. 2020 (BART), section 3.1. The model would shift it by itself; its tokens have to be known.
    """
    model, tokenizer = hooked.model, hooked.tokenizer
    source = encode(model, tokenizer, text, "encoder")
    given = forward_arguments(model, tokenizer, text, source)
    ids = [decoder_begin(model, tokenizer), *(source.ids or ())[:-1]]
    given["decoder_input_ids"] = torch.tensor([ids])
    device = device_of(model)
    begin = Tokens.from_ids(tokenizer, ids, "target")
    return hooked.trace(
        inputs={name: value.to(device) for name, value in given.items()},
        tokens={"encoder": source, "decoder": begin},
    )


def _pixels(model: Any, request: Request) -> torch.Tensor:
    """Return ``[1, channels, rows, columns]`` of a picture."""
    image = request.image
    if isinstance(image, torch.Tensor) or hasattr(image, "__array__"):
        kept = torch.as_tensor(image)
        if kept.is_floating_point() and kept.ndim in {3, 4} and (kept.ndim == 3 or len(kept) == 1):
            kind = next((p.dtype for p in model.parameters() if p.is_floating_point()), kept.dtype)
            return (kept if kept.ndim == 4 else kept[None]).to(device_of(model), kind)
    if request.processor is None:
        raise JtvizError(
            "image= is a tensor of numbers [channels, rows, columns] as the model reads it; for a picture "
            "of another kind pass the model's image processor as tokenizer=."
        )
    made = request.processor(images=image, return_tensors="pt")["pixel_values"]
    return torch.as_tensor(made).to(device_of(model))
