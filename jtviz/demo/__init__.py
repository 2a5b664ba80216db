"""Small models, trained by this project and shipped with it, so that everything works offline."""

from .embedded import translator

__all__ = ["translator"]
