"""Small models, trained by this project and shipped with it, so that everything works offline."""

from .card import Card
from .embedded import card, classifier, induction, translator
from .store import DamagedModelError

__all__ = ["Card", "DamagedModelError", "card", "classifier", "induction", "translator"]
