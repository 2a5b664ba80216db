"""From a trace to numbers: pure functions that return small data classes, with no browser in sight."""

from typing import TYPE_CHECKING, Any

from .alignment import Alignment, align
from .attribution import METHODS, Attribution, Method, attribute, together
from .explain import TASKS, Explanation, Task
from .heads import LEAST, MEASURES, FoundHead, HeadMeasures, find_heads, head_measures
from .products import Products, products
from .scores import RepeatScores, repeat_scores
from .through import LONGEST, Relevance, relevance, rollout
from .trust import (
    Agreement,
    Faithfulness,
    Randomisation,
    Sensitivity,
    Trust,
    agreement,
    baseline_sensitivity,
    faithfulness,
    randomisation,
    trust,
)
from .weighted import WEIGHTINGS, weighted
from .words import WordAttention, by_words

if TYPE_CHECKING:
    from .importance import (
        HeadImportance,
        Interactions,
        PruningCurve,
        head_importance,
        interactions,
        pruning_curve,
    )
    from .layers import (
        Cka,
        Contributions,
        Factors,
        Features,
        Probes,
        Similarity,
        StrongestTokens,
        StrongestUnits,
        Trajectories,
        activations,
        cka,
        contributions,
        factorise,
        features,
        probe,
        read,
        similarity,
        strongest_tokens,
        strongest_units,
        trajectories,
    )

__all__ = [
    "LEAST",
    "LONGEST",
    "MEASURES",
    "METHODS",
    "TASKS",
    "WEIGHTINGS",
    "Agreement",
    "Alignment",
    "Attribution",
    "Cka",
    "Contributions",
    "Explanation",
    "Factors",
    "Faithfulness",
    "Features",
    "FoundHead",
    "HeadImportance",
    "HeadMeasures",
    "Interactions",
    "Method",
    "Probes",
    "Products",
    "PruningCurve",
    "Randomisation",
    "Relevance",
    "RepeatScores",
    "Sensitivity",
    "Similarity",
    "StrongestTokens",
    "StrongestUnits",
    "Task",
    "Trajectories",
    "Trust",
    "WordAttention",
    "activations",
    "agreement",
    "align",
    "attribute",
    "baseline_sensitivity",
    "by_words",
    "cka",
    "contributions",
    "factorise",
    "faithfulness",
    "features",
    "find_heads",
    "head_importance",
    "head_measures",
    "interactions",
    "probe",
    "products",
    "pruning_curve",
    "randomisation",
    "read",
    "relevance",
    "repeat_scores",
    "rollout",
    "similarity",
    "strongest_tokens",
    "strongest_units",
    "together",
    "trajectories",
    "trust",
    "weighted",
]


_LAYERS = {
    "Cka",
    "Contributions",
    "Factors",
    "Features",
    "Probes",
    "Similarity",
    "StrongestTokens",
    "StrongestUnits",
    "Trajectories",
    "activations",
    "cka",
    "contributions",
    "factorise",
    "features",
    "probe",
    "read",
    "similarity",
    "strongest_tokens",
    "strongest_units",
    "trajectories",
}


def __getattr__(name: str) -> Any:
    """Load what is over data sets or layers when it is asked for: importing the package stays quick."""
    if name in {
        "HeadImportance",
        "Interactions",
        "PruningCurve",
        "head_importance",
        "interactions",
        "pruning_curve",
    }:
        from . import importance

        return getattr(importance, name)
    if name in _LAYERS:
        from . import layers

        return getattr(layers, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
