"""The panel of neurons. Twin: js/src/layers/neurons.ts."""

from __future__ import annotations

import traitlets as t

from .panel import Panel


class NeuronsPanel(Panel):
    """The tab "neurons"."""

    components = t.Int(6, min=1, max=16).tag(sync=True, echo_update=False)
    """How many patterns activations are factorised into."""
