"""What each layer knows: what would be predicted from it, and what its parts add to a prediction."""

from .lens import LogitLens, logit_lens

__all__ = ["LogitLens", "logit_lens"]
