"""What a reader chose in one attention view, beside what all views of a trace share.

Required: everything that changes the picture is a trait here, with a plain value, so that a state can be
copied as a dict and restored, in Python, in a saved page and in another session.
Twin: js/src/core/settings.ts.
"""

from __future__ import annotations

from typing import Any

import traitlets as t

from .shown import COMBINE, POOLS, UNITS
from .source import ALL

MODES = ("links", "matrix", "text")
SCALES = ("linear", "sqrt", "log", "rank")
PANELS = ("overview", "weights", "table", "products", "prune", "generated", "alignment", "keep")


def _setting(trait: Any) -> Any:
    return trait.tag(sync=True, echo_update=False)


class Settings(t.HasTraits):
    """Settings of one attention view; each can be read, set and observed."""

    mode = _setting(t.Enum(MODES, "links"))
    """How the view draws: ``"links"``, ``"matrix"`` or ``"text"``."""

    row_labels = _setting(t.Enum(["read", "predicted"], "read"))
    """Whether decoder rows are labelled by the token read there or by the token predicted there."""

    weighting = _setting(t.Enum([*ALL], "raw"))
    """What is on top of raw attention: ``"raw"``, ``"value"``, ``"output"``, ``"gradient"``, ``"rollout"``
    or ``"relevance"`` (`jtviz.views.source.ALL` says each in plain words)."""

    combine = _setting(t.Enum(COMBINE, "mean"))
    """How several heads become one picture: ``"mean"``, ``"max"`` or ``"sum"``."""

    also = _setting(t.List(t.List(t.Int(), minlen=2, maxlen=2)))
    """Heads of other layers shown too, ``[[layer, head], ...]``."""

    unit = _setting(t.Enum(UNITS, "token"))
    """``"token"``, or ``"word"``: the sum over a word's tokens as keys, the mean over them as queries."""

    hide = _setting(t.List(t.Unicode()))
    """Texts of tokens that are left out as keys."""

    hide_special = _setting(t.Bool(default_value=False))
    """Whether special tokens are left out as keys."""

    hide_first = _setting(t.Bool(default_value=False))
    """Whether the first token is left out as key."""

    renormalise = _setting(t.Bool(default_value=False))
    """Whether what is left of each row sums to one again."""

    query_span = _setting(t.List(t.Int(), default_value=None, allow_none=True, minlen=2, maxlen=2))
    """Tokens from and up to which queries are shown, ``[first, last + 1]``; None for all."""

    key_span = _setting(t.List(t.Int(), default_value=None, allow_none=True, minlen=2, maxlen=2))
    """Tokens from and up to which keys are shown, ``[first, last + 1]``; None for all."""

    threshold = _setting(t.Float(0.0, min=0.0))
    """The least weight drawn."""

    top_k = _setting(t.Int(0, min=0))
    """How many of the strongest weights of each row are drawn; 0 for all."""

    top_mass = _setting(t.Float(1.0, min=0.0, max=1.0))
    """Draw the smallest set of a row's weights that has this share of it; 1 for all."""

    scale = _setting(t.Enum(SCALES, "linear"))
    """How weights become colours: ``"linear"``, ``"sqrt"``, ``"log"`` (three decades) or ``"rank"``."""

    per = _setting(t.Enum(["picture", "row"], "picture"))
    """What the full colour stands for: the largest weight of the picture, or of each row."""

    pool = _setting(t.Enum(POOLS, "max"))
    """What a pixel of a long input's matrix shows of its block: ``"max"`` or ``"mean"``."""

    show_mask = _setting(t.Bool(default_value=True))
    """Whether the matrix marks where a query cannot look, as opposed to looking at nothing."""

    annotate = _setting(t.Bool(default_value=False))
    """Whether the matrix has its weights written into the cells, where these are large enough."""

    panels = _setting(t.List(t.Enum(PANELS)))
    """Which panels are open: of ``"overview"``, ``"weights"``, ``"table"``, ``"products"``,
    ``"generated"``, ``"alignment"`` and ``"keep"``."""


SETTINGS = tuple(Settings.class_trait_names())
