"""Look inside any Transformer from a Jupyter notebook.

>>> import jtviz
>>> translator = jtviz.demo.translator()
>>> view = jtviz.show_attention(translator, "I like to drink tea.")
>>> view.stage, view.layer, view.heads
('encoder', 0, [0, 1, 2, 3])
"""

from typing import TYPE_CHECKING, Any

from . import analysis, capture, demo
from .capture import HookedTransformer, Mask, Trace, from_arrays, hook, load
from .show import explain, show_attention, show_gradients, show_layers, show_pruning
from .tokens import TokenizerPair, Tokens

if TYPE_CHECKING:
    from .analysis import head_importance, probe
    from .capture import prune

__all__ = [
    "HookedTransformer",
    "Mask",
    "TokenizerPair",
    "Tokens",
    "Trace",
    "analysis",
    "demo",
    "explain",
    "from_arrays",
    "head_importance",
    "hook",
    "load",
    "probe",
    "prune",
    "show_attention",
    "show_gradients",
    "show_layers",
    "show_pruning",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load these when they are asked for: importing the package stays quick."""
    if name in {"head_importance", "probe"}:
        return getattr(analysis, name)
    if name == "prune":
        return capture.prune
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
