"""Observe a model: any torch Transformer, left exactly as found. Imports torch, and safetensors for files."""

from typing import TYPE_CHECKING, Any

from .elsewhere import from_arrays
from .errors import JtvizError, NoAttentionError, OutOfRangeError, SiteRefusedError, TokenizerNotFoundError
from .files import TraceFileError, load
from .hooked import HookedTransformer, hook
from .intervention.ablation import Mask
from .stages import STAGES
from .trace import Trace

if TYPE_CHECKING:
    from .pruning.pruning import Pruned, prune

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


def __getattr__(name: str) -> Any:
    """Load what prunes when it is asked for: importing the package stays quick."""
    if name in {"Pruned", "prune"}:
        from .pruning import pruning

        return getattr(pruning, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
