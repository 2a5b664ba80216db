"""Text to tokens and back, as people read them."""

from .codec import JOINT, Side, TokenizerPair, codec
from .errors import JtvizError, OutOfRangeError, TokenizerNotFoundError
from .find import find_tokenizer
from .tokens import Tokens
from .words import find_token, label

__all__ = [
    "JOINT",
    "JtvizError",
    "OutOfRangeError",
    "Side",
    "TokenizerNotFoundError",
    "TokenizerPair",
    "Tokens",
    "codec",
    "find_token",
    "find_tokenizer",
    "label",
]
