"""What can be said of the choices of `show_layers` before anything is traced.

Required: a value that no trace could make right is refused with one sentence, and no model has run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import traitlets as t

from jtviz.analysis.layers.texts import listed
from jtviz.capture import JtvizError
from jtviz.capture.part import is_int


def checked_values(traits: Mapping[str, t.TraitType[Any, Any]], choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return choices in their plain form; raise `ValueError` for one that its trait does not take.

    Parameters
    ----------
    traits : mapping of str to TraitType
        Of the panels, by name.
    choices : mapping of str to object
        What was asked for.

    Examples
    --------
    >>> checked_values({"components": t.Int(6, min=1, max=16)}, {"components": 99})
    Traceback (most recent call last):
    ...
    ValueError: components is a number, 1 to 16, not 99.
    """
    plain: dict[str, Any] = {}
    for name, value in choices.items():
        plain[name] = value
        trait = traits[name]
        if value is None and trait.allow_none:
            continue
        if isinstance(trait, t.Enum):
            options = list(trait.values or ())
            words, is_right = f"one of {', '.join(map(repr, options))}", value in options
        elif isinstance(trait, t.Bool):
            words, is_right = "True or False", isinstance(value, bool)
        elif isinstance(trait, t.Int):
            least, most = trait.min, trait.max
            words = f"a number, {f'{least} to {most}' if most is not None else f'at least {least}'}"
            is_right = is_int(value) and value >= least and (most is None or value <= most)
        elif isinstance(trait, t.Unicode):
            words, is_right = "a token or a class in words", isinstance(value, str)
        else:
            kind: Any = getattr(trait, "klass", object)
            words, is_right = f"a {kind.__name__}", isinstance(value, kind)
        if not is_right:
            msg = f"{name} is {words}, not {value!r}."
            raise ValueError(msg)
        if isinstance(trait, t.Int):
            plain[name] = int(value)
    return plain


def data_set(texts: Any) -> Collection[Any] | None:
    """Return the texts of a data set, which are read more than once; None where there is none.

    Raises
    ------
    JtvizError
        If these are no texts, or can be read only once.
    """
    given = None if texts is None else listed(texts)
    if given is not None and not isinstance(given, Collection):
        raise JtvizError("texts= is a list or a data frame: each layer that is looked at reads it anew.")
    return given
