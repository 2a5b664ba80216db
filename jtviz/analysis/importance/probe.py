"""What a model does with an example: classes, the next token, a translation, masked tokens or labels.

Required: told from what the forward pass returns, never from the name of an architecture; a hidden state is
never taken for logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from jtviz.capture import JtvizError
from jtviz.capture.classes import class_names
from jtviz.capture.flow import tensors
from jtviz.capture.inputs import decoder_argument, vocabulary
from jtviz.capture.structure import config, is_encoder_decoder, is_hugging_face

from .collate import Kind

_SEEN = 1e-4
"""The share of a change that reaches earlier rows of a model that reads both ways; of a decoder none does."""


@dataclass(frozen=True)
class Probe:
    """What was found.

    Attributes
    ----------
    kind : str
        What can be scored, as in `Batch`.
    choices : int
        Of how many classes or tokens each score is one; 0 where nothing can be scored.
    names : tuple of str
        The classes, where they have names.
    read : str or None
        The argument with one entry for each row of what is returned.
    """

    kind: Kind
    choices: int
    names: tuple[str, ...]
    read: str | None


def writes(model: nn.Module) -> bool:
    """Return whether a model has two sides and writes with the second: heads for classes do not."""
    return is_encoder_decoder(model) and (not is_hugging_face(model) or hasattr(model, "generate"))


def probed(model: nn.Module, tokenizer: Any, inputs: Mapping[str, Any], *, is_labelled: bool) -> Probe:
    """Run a model on one example and tell what it does.

    Parameters
    ----------
    model : nn.Module
        In evaluation mode.
    tokenizer : object or None
        Knows the vocabulary where the configuration does not.
    inputs : mapping
        What the forward is called with.
    is_labelled : bool
        Whether labels come with the inputs, so that what is returned has to be scores.

    Raises
    ------
    JtvizError
        If what it returns has NaN.
    """
    output = model(**inputs)
    named = getattr(output, "logits", None)
    logits = next(tensors(output if named is None else named), None)
    names = class_names(model) or ()
    if logits is None:
        return Probe("other", 0, names, None)
    if logits.isnan().any():
        raise JtvizError(
            "the output of the model has NaN or infinity: look for them in its weights or its input."
        )
    if logits.ndim == 2 and len(logits) == 1:
        is_one = len(names) == logits.shape[1] or (is_labelled and not names)
        excludes = getattr(config(model), "problem_type", None) not in {
            "regression", "multi_label_classification",
        }  # fmt: skip
        if is_one and excludes and logits.shape[1] > 1:
            return Probe("classes", logits.shape[1], names, None)
        return Probe("other", 0, names, None)
    if logits.ndim != 3:
        return Probe("other", 0, names, None)
    choices, read = logits.shape[2], _read(model, inputs, logits.shape[1])
    size = vocabulary(tokenizer, model)
    is_named = named is not None and is_hugging_face(model)
    if writes(model):
        read = decoder_argument(model)
        if not is_labelled and inputs[read].is_floating_point():
            # Vectors are nothing that could have been predicted.
            return Probe("other", 0, names, read)
        return Probe("translation", choices, (), read)
    if choices == len(names) and choices != size and is_named:
        return Probe("labels", choices, names, read)
    # A hidden state looks the same, but for its width.
    if choices != size and not (is_labelled and size is None) and not (is_named and size is None):
        return Probe("other", 0, names, read)
    is_decoder = read is not None and _is_causal(model, inputs, read, logits)
    return Probe("tokens" if is_decoder else "masked", choices, (), read)


def _read(model: nn.Module, inputs: Mapping[str, Any], rows: int) -> str | None:
    fitting = [
        name
        for name, value in inputs.items()
        if isinstance(value, Tensor) and value.ndim > 1 and value.shape[1] == rows and "mask" not in name
    ]
    main = getattr(model, "main_input_name", "input_ids")
    return main if main in fitting else next(iter(fitting), None)


def _is_causal(model: nn.Module, inputs: Mapping[str, Any], name: str, logits: Tensor) -> bool:
    """Return whether no row sees what comes later: the last token is changed, and the others looked at."""
    given: Tensor = inputs[name]
    mask = inputs.get("attention_mask")
    last = given.shape[1] - 1
    if isinstance(mask, Tensor) and mask.shape == given.shape[:2]:
        last = int(mask[0].nonzero().max())
    if last < 1:
        return False
    changed = given.clone()
    if given.is_floating_point():
        changed[:, last] += 1
    else:
        now, first = int(given[0, last]), int(given[0, 0])
        changed[0, last] = first if first != now else now + (1 if now + 1 < logits.shape[2] else -1)
    found = next(tensors(getattr(output := model(**{**inputs, name: changed}), "logits", output)))
    moved = (found - logits).abs().float()[0]
    return bool(moved[:last].max() <= _SEEN * moved[last].max())


__all__ = ["Probe", "probed", "writes"]
