"""The panel of features: the residual stream of a layer, number by number. Twin: js/src/layers/features.ts.

Required: what is sent is the stream itself, rounded to float16 or pooled, and exactly a row that is pointed
at; what takes one more run of the model waits until the page has something to show.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import torch
import traitlets as t
from torch import Tensor

from jtviz.analysis.layers.contributions import Contributions, contributions
from jtviz.analysis.layers.features import ABOVE, MASSIVE, OUTLIER, SIGMAS, Features, features
from jtviz.capture import JtvizError
from jtviz.views.blocks import asked_block

from .panel import Answer, Message, Panel

ORDERS = ("variance", "clusters", "model")

SHARE = 0.995
"""The full colour stands for this quantile of magnitudes: one massive activation leaves the rest visible."""

TOLD = 500
"""Flags of a kind that a page is told of, the largest first."""


class FeaturesPanel(Panel):
    """The tab "features"."""

    order = t.Enum(ORDERS, "variance").tag(sync=True, echo_update=False)
    """How dimensions are ordered: those that vary most between tokens first (over all layers), those that go
    together side by side (in the layer shown), or as the model has them."""

    looked = t.Bool(False)
    """Whether a page has drawn the heat map: from then on there is a chart below it."""

    measured = t.Tuple()
    """Sides whose `contributions` have been measured."""

    hidden_layer: Any

    @property
    def features(self) -> Features:
        """Statistics of the residual stream of the side shown.

        Examples
        --------
        >>> import jtviz
        >>> view = jtviz.show_layers(jtviz.demo.translator(), "I like tea.")
        >>> view.panels.features.norms.shape
        torch.Size([3, 5])
        """
        return self._features(self.side)

    @property
    def contributions(self) -> Contributions:
        """What attention and feed-forward layers add to the stream of the side shown: one more run, once.

        Raises
        ------
        JtvizError
            If the model is gone or was changed.

        Examples
        --------
        >>> import jtviz
        >>> view = jtviz.show_layers(jtviz.demo.translator(), "I like tea.")
        >>> view.panels.contributions.feed_forward.shape
        torch.Size([2, 5])
        """
        return self._contributions(self.side)

    @property
    def dimensions(self) -> Tensor:
        """The dimensions ``[width]`` in the `order` shown."""
        return self._dimensions(self.side, self.order, min(self.hidden_layer, len(self.features.norms) - 1))

    def full_colour(self, layer: int | None = None) -> float:
        """Return the magnitude that the full colour stands for: 99.5 % are below it.

        Parameters
        ----------
        layer : int, optional
            Of this layer's numbers, as in `Trace.hidden`; of those of all layers, if left out.
        """
        return self._full_colour(self.side, layer)

    def _features(self, side: str) -> Features:
        return self._once(("features", side), lambda: features(self.trace, side))

    def _contributions(self, side: str) -> Contributions:
        found = self._once(("contributions", side), lambda: contributions(self.trace, side))
        if side not in self.measured:
            self.measured = (*self.measured, side)
        return found

    def _full_colour(self, side: str, layer: int | None) -> float:
        def compute() -> float:
            hidden = self._features(side).hidden
            sizes = (hidden if layer is None else hidden[layer]).abs()
            known = sizes[sizes.isfinite()].numpy()
            return float(np.quantile(known, SHARE)) if known.size else 0.0

        return self._once(("full colour", side, layer), compute)

    def _dimensions(self, side: str, order: str, layer: int) -> Tensor:
        found = self._features(side)
        if order == "variance":
            return self._once(("variance", side), found.by_variance)
        if order == "model":
            return torch.arange(found.hidden.shape[-1])
        clusters = min(8, found.hidden.shape[-1])
        return self._once(("clusters", side, layer), lambda: found.clustered(layer, clusters))

    def _answer_features(self, message: Message) -> Answer:
        """Return part of a layer, its dimensions in order, and what stands out of it."""
        side, order = self._side(message), message.get("order")
        if order not in ORDERS:
            raise JtvizError(f"order is one of {', '.join(ORDERS)}, not {order!r}.")
        found = self._features(side)
        layer = self._number(message, "layer", len(found.norms))
        dimensions = self._dimensions(side, order, layer)
        about, data = asked_block(message, found.hidden[layer], dimensions)
        if message.get("exact"):
            return about, [data]
        massive, outliers = found.flags(layer)
        said = {
            "limit": self._full_colour(side, layer),
            "massive": [
                [one.token, one.dimension, one.value, one.ratio if np.isfinite(one.ratio) else None]
                for one in massive[:TOLD]
            ],
            "outliers": [[one.dimension, one.value, one.tokens] for one in outliers[:TOLD]],
            "counts": [len(massive), len(outliers)],
            "thresholds": [MASSIVE, ABOVE, OUTLIER, SIGMAS],
            "lack": "" if importlib.util.find_spec("sklearn") else "needs scikit-learn: jtviz[layers]",
        }
        return about | said, [data, dimensions.to(torch.int32).numpy().tobytes()]

    def _answer_features_scale(self, message: Message) -> Answer:
        """Return the magnitude that the full colour stands for where it is the same in all layers."""
        return {"limit": self._full_colour(self._side(message), None)}, []

    def _answer_contributions(self, message: Message) -> Answer:
        """Measure what is added, for the chart below; without a model there is nothing to measure."""
        side = self._side(message)
        self.looked = True
        if self.trace.reading is None:
            return {"measured": False}, []
        self._contributions(side)
        return {"measured": True}, []
