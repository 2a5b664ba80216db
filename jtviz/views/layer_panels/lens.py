"""The panel of lens. Twin: js/src/layers/lens.ts."""

from __future__ import annotations

import traitlets as t

from .panel import Panel

KINDS = ("logit", "tuned")
COLOURS = ("probability", "entropy", "divergence", "rank")


class LensPanel(Panel):
    """The tab "lens"."""

    through = t.Enum(KINDS, "logit").tag(sync=True, echo_update=False)
    """Through what layers are looked: the model's own head, or a tuned lens."""

    lens_colour = t.Enum(COLOURS, "probability").tag(sync=True, echo_update=False)
    """What cells are coloured by."""
