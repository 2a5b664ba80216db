"""What each layer knows: what would be predicted from it, and what its parts add to a prediction."""

from .direct import DirectLogit, direct_logit_attribution
from .lens import LogitLens, logit_lens
from .tuned import TunedLens, tuned_lens

__all__ = [
    "DirectLogit",
    "LogitLens",
    "TunedLens",
    "direct_logit_attribution",
    "logit_lens",
    "tuned_lens",
]
