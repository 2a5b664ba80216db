"""The panel of features. Twin: js/src/layers/features.ts."""

from __future__ import annotations

import traitlets as t

from .panel import Panel

ORDERS = ("variance", "clusters", "model")


class FeaturesPanel(Panel):
    """The tab "features"."""

    order = t.Enum(ORDERS, "variance").tag(sync=True, echo_update=False)
    """How dimensions are ordered: those that vary most between tokens first, those that go together side
    by side, or as the model has them."""
