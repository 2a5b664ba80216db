"""Whether this thread is inside of something: JupyterLab can have two messages heard in two threads."""

from __future__ import annotations

import threading


class Inside:
    """A context that knows which thread is in it; one is at a time.

    Examples
    --------
    >>> hearing = Inside()
    >>> with hearing:
    ...     hearing.is_here
    True
    >>> hearing.is_here
    False
    """

    def __init__(self) -> None:
        self._thread = 0

    def __enter__(self) -> None:
        """Be inside."""
        self._thread = threading.get_ident()

    def __exit__(self, *exception: object) -> None:
        """Be outside again."""
        self._thread = 0

    @property
    def is_here(self) -> bool:
        """Whether it is this thread that is inside; for all others it is as if none was."""
        return self._thread == threading.get_ident()
