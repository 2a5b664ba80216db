"""Prune a model: heads and feed-forward units really removed from a copy of it, or masked for good."""
