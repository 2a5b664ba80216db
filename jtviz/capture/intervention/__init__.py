"""Intervene on a model while it runs: switch heads and feed-forward units off, or weigh them."""
