"""The panel of direct. Twin: js/src/layers/direct.ts."""

from __future__ import annotations

import traitlets as t

from .panel import Panel

DETAILS = ("layer", "head")


class DirectPanel(Panel):
    """The tab "direct"."""

    detail = t.Enum(DETAILS, "layer").tag(sync=True, echo_update=False)
    """Whether heads are taken together by layer."""
