"""Look inside any Transformer from a Jupyter notebook.

>>> import jtviz
>>> translator = jtviz.demo.translator()
>>> view = jtviz.show_attention(translator, "I like to drink tea.")
>>> view.stage, view.layer, view.heads
('encoder', 0, [0, 1, 2, 3])
"""

from . import analysis, demo
from .analysis import head_importance
from .capture import HookedTransformer, Mask, Trace, from_arrays, hook, load, prune
from .show import explain, show_attention, show_gradients, show_pruning
from .tokens import TokenizerPair, Tokens

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
    "prune",
    "show_attention",
    "show_gradients",
    "show_pruning",
]
__version__ = "0.1.0"
