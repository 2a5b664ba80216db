"""The errors a reader of jtviz meets: one sentence that says what is wrong and what to do."""

from __future__ import annotations


class JtvizError(ValueError):
    """Something the caller can mend; the message is one sentence that says how."""


class TokenizerNotFoundError(JtvizError):
    """A text was given, but nothing that turns text into tokens could be found."""


class OutOfRangeError(JtvizError, IndexError):
    """A layer, head, row, column, class or token that is not there; the message says which are."""
