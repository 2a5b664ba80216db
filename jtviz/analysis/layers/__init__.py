"""What each layer knows: what is in the residual stream, how it moves, and what can be read off it."""

from .contributions import Contributions, contributions
from .direct import DirectLogit, direct_logit_attribution
from .factors import factorise
from .features import Features, Massive, Outlier, features
from .lens import LogitLens, logit_lens
from .neurons import activations, strongest_by_unit, strongest_tokens, strongest_units
from .probes import Probes, probe
from .similarity import Cka, Similarity, cka, similarity
from .texts import read
from .trajectories import Trajectories, trajectories
from .tuned import TunedLens, tuned_lens
from .units import Factors, StrongestByUnit, StrongestTokens, StrongestUnits, StrongToken

__all__ = [
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
]
