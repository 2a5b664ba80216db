"""The front door: one call from a model and a sentence to a view."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .capture import STAGES, HookedTransformer, Trace, hook

if TYPE_CHECKING:
    from torch import nn

    from .views import AttentionView

EITHER = "show_attention takes either a model and a text, or trace= of an earlier call."


def show_attention(
    model: HookedTransformer | nn.Module | Trace | None = None,
    text: str | None = None,
    *,
    tokenizer: Any = None,
    target_text: str | None = None,
    generate: int | None = None,
    inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    tokens: Mapping[str, Sequence[str]] | None = None,
    trace: Trace | None = None,
    stage: str | None = None,
    layer: int | None = None,
    heads: Sequence[int] | None = None,
    pinned: Mapping[str, int | None] | None = None,
    mode: str = "links",
    spans: Mapping[str, str | tuple[int, int]] | None = None,
    target: Any = None,
    output: str | None = None,
    **settings: Any,
) -> AttentionView:
    """Show the attention of a model reading a sentence.

    Parameters
    ----------
    model : HookedTransformer or torch.nn.Module
        Any PyTorch model with attention in it. A `Trace` may stand here too.
    text : str
        The sentence. A translator translates it first; `target_text` gives the translation instead.
    tokenizer : optional
        Of Hugging Face or of ``tokenizers``; found by itself where the model knows it.
    target_text : str, optional
        A given translation or answer, fed teacher-forced.
    generate : int, optional
        How many tokens to generate before tracing.
    inputs : mapping or sequence, optional
        Arguments of the model's ``forward``, instead of `text`, for a model without a tokenizer.
    tokens : mapping, optional
        Names of the tokens of each side, ``{"encoder": [...], "decoder": [...]}``, with `inputs`.
    trace : Trace, optional
        A trace taken earlier, instead of `model` and `text`. Views of one trace are linked.
    stage, layer, heads, pinned, mode : optional
        What to show first: ``"encoder"``, ``"decoder"`` or ``"cross"``; a layer and heads counted from
        0; ``{"query": index, "key": index}``; ``"links"``, ``"matrix"`` or ``"text"``.
    spans : mapping, optional
        Parts of the text to choose from when only some queries or keys are to be seen: by name, words that
        stand in the text or ``(first, last + 1)`` in tokens, ``{"question": "Who?", "context": (4, 90)}``.
        Prompt and answer, and what separators part, are found by themselves.
    target, output : optional
        As in `HookedTransformer.trace`: what to take gradients of, for the weightings ``"gradient"`` and
        ``"relevance"``.
    **settings
        Any other setting of the view, such as ``weighting="output"``, ``unit="word"`` or what
        ``view.to_dict()`` returned: see `jtviz.views.settings.Settings`.

    Returns
    -------
    AttentionView
        A widget; last in a cell, it is shown. Its ``stage``, ``layer``, ``heads`` and ``pinned`` can be
        read, set and observed.

    Raises
    ------
    TypeError
        For an unknown keyword, or when there is nothing to trace.
    ValueError
        For a stage or mode that does not exist, empty text, text longer than the model's positions, a
        model without attention, a tokenizer that cannot be found.
    traitlets.TraitError
        For a stage, layer, head or token that is not there.

    Examples
    --------
    >>> import jtviz
    >>> translator = jtviz.demo.translator()
    >>> view = jtviz.show_attention(translator, "I like to drink tea.", stage="cross", layer=1)
    >>> view.heads = [0]
    """
    # Imported here so that tracing without a browser does not load the widgets.
    from .views import MODES, SETTINGS, AttentionView

    refuse_unknown(show_attention, {k: v for k, v in settings.items() if k not in SETTINGS}, SETTINGS)
    refuse_other("stage", stage, STAGES)
    refuse_other("mode", mode, MODES)
    if isinstance(model, Trace):
        model, trace = None, model
    if trace is None:
        if model is None:
            raise TypeError(EITHER)
        trace = hook(model, tokenizer).trace(
            text,
            target_text=target_text,
            generate=generate,
            inputs=inputs,
            tokens=tokens,
            target=target,
            output=output,
        )
    elif model is not None or text or inputs:
        raise TypeError(EITHER)
    heads = list(heads) if isinstance(heads, Sequence) else heads
    choices = {"stage": stage, "layer": layer, "heads": heads, "pinned": pinned, "mode": mode}
    return AttentionView(trace, spans=spans, **choices, **settings)


def refuse_unknown(
    function: Callable[..., Any], unknown: Mapping[str, Any], more: Sequence[str] = ()
) -> None:
    """Raise `TypeError` for a keyword that `function` does not have, naming the nearest that it has."""
    if not unknown:
        return
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    known += [name for name in more if name not in known]
    word = next(iter(unknown))
    near = difflib.get_close_matches(word, known, 1, 0.5)
    advice = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}."
    msg = f"{function.__name__} has no keyword {word!r}; {advice}"
    raise TypeError(msg)


def refuse_other(name: str, value: str | None, options: Sequence[str]) -> None:
    """Raise `ValueError` for a value that is none of the options, before any work is done."""
    if value is not None and value not in options:
        msg = f"{name} is one of {', '.join(map(repr, options))}, not {value!r}."
        raise ValueError(msg)
