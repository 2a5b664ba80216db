"""What each layer knows: what is in the residual stream, how it moves, and what can be read off it."""

from .contributions import Contributions, contributions
from .features import Features, Massive, Outlier, features
from .neurons import (
    Factors,
    StrongestTokens,
    StrongestUnits,
    StrongToken,
    activations,
    factorise,
    strongest_tokens,
    strongest_units,
)
from .probes import Probes, probe
from .similarity import Cka, Similarity, cka, similarity
from .texts import read
from .trajectories import Trajectories, trajectories

__all__ = [
    "Cka",
    "Contributions",
    "Factors",
    "Features",
    "Massive",
    "Outlier",
    "Probes",
    "Similarity",
    "StrongToken",
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
]
