"""Widgets that draw one result each and share one `Selection` a trace."""

from .attention import AttentionView
from .attribution import AttributionView
from .explained import explanation_view
from .gradients import GradientsView
from .layers import LayersPanels
from .layers_view import LayersView
from .pruning import PruningView
from .selection import Selection
from .settings import MODES, SETTINGS

__all__ = [
    "MODES",
    "SETTINGS",
    "AttentionView",
    "AttributionView",
    "GradientsView",
    "LayersPanels",
    "LayersView",
    "PruningView",
    "Selection",
    "explanation_view",
]
