"""Observe a model: any torch Transformer, left exactly as found. Imports torch and nothing else."""

from .errors import JtvizError, NoAttentionError, OutOfRangeError, SiteRefusedError, TokenizerNotFoundError
from .hooked import HookedTransformer, hook
from .stages import STAGES
from .trace import Trace

__all__ = [
    "STAGES",
    "HookedTransformer",
    "JtvizError",
    "NoAttentionError",
    "OutOfRangeError",
    "SiteRefusedError",
    "TokenizerNotFoundError",
    "Trace",
    "hook",
]
