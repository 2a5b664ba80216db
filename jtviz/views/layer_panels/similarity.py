"""The panel of similarity. Twin: js/src/layers/similarity.ts."""

from __future__ import annotations

import traitlets as t

from .panel import Panel

COMPARED = ("tokens", "itself", "layers")


class SimilarityPanel(Panel):
    """The tab "similarity"."""

    compared = t.Enum(COMPARED, "tokens").tag(sync=True, echo_update=False)
    """The tokens of a layer, a token with itself across layers, or layers."""
