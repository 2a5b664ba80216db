"""Observe a model: any torch Transformer, left exactly as found. Imports torch, and safetensors for files."""

from .elsewhere import from_arrays
from .errors import JtvizError, NoAttentionError, OutOfRangeError, SiteRefusedError, TokenizerNotFoundError
from .files import TraceFileError, load
from .hooked import HookedTransformer, hook
from .intervention.ablation import Mask
from .pruning.pruning import Pruned, prune
from .stages import STAGES
from .trace import Trace

__all__ = [
    "STAGES",
    "HookedTransformer",
    "JtvizError",
    "Mask",
    "NoAttentionError",
    "OutOfRangeError",
    "Pruned",
    "SiteRefusedError",
    "TokenizerNotFoundError",
    "Trace",
    "TraceFileError",
    "from_arrays",
    "hook",
    "load",
    "prune",
]
