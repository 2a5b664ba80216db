"""Widgets that draw one result each and share one `Selection` a trace."""

from .attention import MODES, AttentionView
from .selection import Selection

__all__ = ["MODES", "AttentionView", "Selection"]
