"""Text to tokens and back, as people read them."""

from .codec import Side, TokenizerPair, codec
from .errors import JtvizError, TokenizerNotFoundError
from .find import find_tokenizer
from .tokens import Tokens

__all__ = [
    "JtvizError",
    "Side",
    "TokenizerNotFoundError",
    "TokenizerPair",
    "Tokens",
    "codec",
    "find_tokenizer",
]
