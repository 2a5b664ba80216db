"""What each layer knows: what would be predicted from it, and what its parts add to a prediction."""

from .direct import DirectLogit, direct_logit_attribution
from .lens import LogitLens, logit_lens

__all__ = ["DirectLogit", "LogitLens", "direct_logit_attribution", "logit_lens"]
