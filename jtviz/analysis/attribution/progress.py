"""A progress bar for what takes long, by tqdm."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self

from jtviz.capture import JtvizError

SHOWN_FROM = 2.0
"""Seconds from which on a bar is shown by itself."""


class Progress:
    """Examples evaluated, with the time left.

    Parameters
    ----------
    words : str
        What is done, and what it takes.
    total : int
        How many examples.
    shown : bool or None
        Whether to show a bar; None: where it takes longer than `SHOWN_FROM`.
    seconds : float
        How long it is expected to take.
    """

    def __init__(self, words: str, total: int, *, shown: bool | None, seconds: float) -> None:
        self._words, self._total = words, total
        self._is_wanted = shown is True
        self._shown = seconds > SHOWN_FROM if shown is None else shown
        self._bar: Any = None

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._shown:
            try:
                # Imported here: it looks for a notebook when it is.
                from tqdm.auto import tqdm
            except ModuleNotFoundError:
                if self._is_wanted:
                    raise JtvizError("a progress bar is drawn by tqdm: pip install tqdm.") from None
                return self
            self._bar = tqdm(total=self._total, desc=self._words, leave=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it away."""
        if self._bar is not None:
            self._bar.close()

    def advance(self, count: int) -> None:
        """Note that so many examples are done."""
        if self._bar is not None:
            # More are needed than was thought where steps are raised.
            self._bar.total = max(self._bar.total, self._bar.n + count)
            self._bar.update(count)


Shown = Progress | bool | None
"""A bar that is there already and covers more; or whether to show one, None: where it takes long."""


def within(shown: Shown, words: str, total: int, *, seconds: float) -> AbstractContextManager[Progress]:
    """Return a bar, or the one that is there already."""
    if isinstance(shown, Progress):
        return nullcontext(shown)
    return Progress(words, total, shown=shown, seconds=seconds)
