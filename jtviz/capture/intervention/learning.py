"""What an ablation asks a hooked model: where its heads are, and what they put out on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..asfound import as_found
from ..errors import JtvizError, SiteRefusedError
from ..inputs import Prepared, Text, checked_texts, prepare_inputs, prepare_text
from ..structure import is_encoder_decoder, parameters
from .means import Means, mean_outputs
from .places import Places

if TYPE_CHECKING:
    from ..hooked import HookedTransformer

Reference = Text | Mapping[str, Any] | Sequence[Text] | Sequence[Mapping[str, Any]]
"""Texts, or inputs of the forward, one or several."""

_PROBE = "a b c d"


class ByTracing:
    """Answers by tracing.

    Parameters
    ----------
    hooked : HookedTransformer
        The model.
    reference : optional
        Texts, or inputs of the forward, that means are taken over.

    Raises
    ------
    JtvizError
        If the reference is none.
    """

    def __init__(self, hooked: HookedTransformer, reference: Reference | None) -> None:
        self._hooked = hooked
        self._reference = several(reference)
        self.has_reference = reference is not None

    def places(self) -> Places | None:
        """Return where heads and units are; a model with a tokenizer reads a few letters for it."""
        hooked = self._hooked
        if hooked.memory.places is None and hooked.has_tokenizer:
            with suppress(JtvizError):
                hooked.trace(_PROBE, target_text=_PROBE if is_encoder_decoder(hooked.model) else None)
        return hooked.memory.places

    def from_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Places:
        """Return the same, from what a forward is called with."""
        names = list(parameters(self._hooked.model))
        inputs = dict(zip(names, args, strict=False)) | kwargs
        try:
            trace = self._hooked.trace(inputs=inputs)
        except SiteRefusedError:
            # Of a batch that cannot be told apart the first example.
            first = {k: v[:1] if isinstance(v, Tensor) and v.ndim > 1 else v for k, v in inputs.items()}
            trace = self._hooked.trace(inputs=first)
        if trace.places is None:
            raise JtvizError("this model was traced without being run: trace it anew.")
        return trace.places

    def means(self, places: Places, read: Prepared | None) -> Means:
        """Return the means over the reference or, where there is none, over what is read."""
        hooked = self._hooked
        with hooked.memory.lock, as_found(hooked.model, is_compiled=hooked.is_compiled), torch.no_grad():
            readings = [read] if read is not None else [self._prepared(one) for one in self._reference]
            return mean_outputs(hooked.model, places, readings)

    def _prepared(self, one: Any) -> Prepared:
        hooked = self._hooked
        return prepared_of(hooked.model, None if isinstance(one, Mapping) else hooked.tokenizer, one)


def prepared_of(model: nn.Module, tokenizer: Any, one: Any) -> Prepared:
    """Return one forward pass over a text, a pair of texts, or inputs of the forward."""
    if isinstance(one, Mapping):
        return prepare_inputs(model, None, one, None, 0)
    return prepare_text(model, tokenizer, checked_texts(one), None, None)


def several(reference: Any) -> list[Any]:
    """Return what a reference holds, one by one; raise if it is none."""
    if reference is None:
        return []
    is_one = isinstance(reference, str | Mapping | tuple)
    several = [reference] if is_one else list(reference)
    if not several or not all(isinstance(one, str | Mapping | tuple) for one in several):
        raise JtvizError(
            "reference= is a text, a list of texts, or inputs of the forward, that means are taken over."
        )
    return several
