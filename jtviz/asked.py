"""What the public calls have in common: the trace that is meant, and refusals before any work."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .analysis.drawn import Drawn
from .capture import HookedTransformer, JtvizError, Trace, hook

if TYPE_CHECKING:
    from torch import nn

EITHER = "{} takes either a model and a text, or trace= of an earlier call."


def traced(
    name: str,
    given: Mapping[str, Any],
    *,
    model: HookedTransformer | nn.Module | Trace | None,
    text: str | None,
    tokenizer: Any,
    trace: Trace | None,
) -> Trace:
    """Return the trace that a view is of: the one given, or of a model reading a text."""
    if isinstance(model, Trace):
        model, trace = None, model
    if trace is None:
        if model is None:
            raise TypeError(EITHER.format(name))
        return hook(model, tokenizer).trace(text, **given)
    if model is not None or text or given["inputs"]:
        raise TypeError(EITHER.format(name))
    return trace


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


def _drawn_by(module: str, function: str) -> Callable[[Any], Any]:
    """Return how a result is drawn; the widgets are loaded when something is shown."""

    def draw(found: Any) -> Any:
        try:
            views = importlib.import_module(module, __package__)
        except ImportError as error:  # the front end is not built
            raise JtvizError(str(error)) from None
        return getattr(views, function)(found)

    return draw


# Analyses know no views; what they return is loaded when it is asked for.
Drawn.DRAWN["Cka"] = _drawn_by(".views.cka", "cka_view")
Drawn.DRAWN["HeadImportance"] = _drawn_by(".views.importance", "importance_view")
Drawn.DRAWN["PruningCurve"] = _drawn_by(".views.pruning_curve", "curve_view")
Drawn.DRAWN["Probes"] = _drawn_by(".views.probes", "probes_view")
