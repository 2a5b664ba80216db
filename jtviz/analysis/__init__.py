"""From a trace to numbers: pure functions that return small data classes, with no browser in sight."""

from importlib import import_module
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
        DirectLogit,
        Factors,
        Features,
        LogitLens,
        Massive,
        Outlier,
        Probes,
        Similarity,
        StrongestByUnit,
        StrongestTokens,
        StrongestUnits,
        StrongToken,
        Trajectories,
        TunedLens,
        activations,
        cka,
        contributions,
        direct_logit_attribution,
        factorise,
        features,
        logit_lens,
        probe,
        read,
        similarity,
        strongest_by_unit,
        strongest_tokens,
        strongest_units,
        trajectories,
        tuned_lens,
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
    "DirectLogit",
    "Explanation",
    "Factors",
    "Faithfulness",
    "Features",
    "FoundHead",
    "HeadImportance",
    "HeadMeasures",
    "Interactions",
    "LogitLens",
    "Massive",
    "Method",
    "Outlier",
    "Probes",
    "Products",
    "PruningCurve",
    "Randomisation",
    "Relevance",
    "RepeatScores",
    "Sensitivity",
    "Similarity",
    "StrongToken",
    "StrongestByUnit",
    "StrongestTokens",
    "StrongestUnits",
    "Task",
    "Trajectories",
    "Trust",
    "TunedLens",
    "WordAttention",
    "activations",
    "agreement",
    "align",
    "attribute",
    "baseline_sensitivity",
    "by_words",
    "cka",
    "contributions",
    "direct_logit_attribution",
    "factorise",
    "faithfulness",
    "features",
    "find_heads",
    "head_importance",
    "head_measures",
    "interactions",
    "logit_lens",
    "probe",
    "products",
    "pruning_curve",
    "randomisation",
    "read",
    "relevance",
    "repeat_scores",
    "rollout",
    "similarity",
    "strongest_by_unit",
    "strongest_tokens",
    "strongest_units",
    "together",
    "trajectories",
    "trust",
    "tuned_lens",
    "weighted",
]


_LATER = {
    "importance": (
        "HeadImportance",
        "Interactions",
        "PruningCurve",
        "head_importance",
        "interactions",
        "pruning_curve",
    ),
    "layers": (
        "Cka",
        "Contributions",
        "DirectLogit",
        "Factors",
        "Features",
        "LogitLens",
        "Massive",
        "Outlier",
        "Probes",
        "Similarity",
        "StrongToken",
        "StrongestByUnit",
        "StrongestTokens",
        "StrongestUnits",
        "Trajectories",
        "TunedLens",
        "activations",
        "cka",
        "contributions",
        "direct_logit_attribution",
        "factorise",
        "features",
        "logit_lens",
        "probe",
        "read",
        "similarity",
        "strongest_by_unit",
        "strongest_tokens",
        "strongest_units",
        "trajectories",
        "tuned_lens",
    ),
}


def __getattr__(name: str) -> Any:
    """Load what is over data sets or layers when it is asked for: importing the package stays quick."""
    for room, names in _LATER.items():
        if name in names:
            return getattr(import_module(f".{room}", __name__), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
