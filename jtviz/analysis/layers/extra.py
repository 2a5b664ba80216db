"""What scikit-learn computes, and the sentence for those who have not installed it."""

from __future__ import annotations

import importlib
from typing import Any

from jtviz.capture import JtvizError


def learn(part: str) -> Any:
    """Return a module of scikit-learn, such as ``"decomposition"``.

    Raises
    ------
    JtvizError
        If scikit-learn is not installed.
    """
    try:
        return importlib.import_module(f"sklearn.{part}")
    except ModuleNotFoundError:
        raise JtvizError('this is computed by scikit-learn: pip install "jtviz[layers]".') from None
