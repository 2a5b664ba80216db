"""The errors of capture: each one sentence that says what to do."""

from __future__ import annotations

from ..tokens.errors import JtvizError, OutOfRangeError, TokenizerNotFoundError


class NoAttentionError(JtvizError):
    """The model ran, but nothing in it computed attention in a way jtviz sees."""


class SiteRefusedError(JtvizError):
    """What would be shown does not reproduce what the model computed, so it is not shown."""


__all__ = ["JtvizError", "NoAttentionError", "OutOfRangeError", "SiteRefusedError", "TokenizerNotFoundError"]
