"""What scikit-learn and umap-learn compute, and the sentence for those who have not installed them."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
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


NO_UMAP = 'UMAP is computed by umap-learn: pip install "jtviz[umap]".'


def has_umap() -> bool:
    """Return whether umap-learn is there, without loading it: that takes seconds."""
    return importlib.util.find_spec("umap") is not None


def umap() -> Any:
    """Return the module of umap-learn.

    Raises
    ------
    JtvizError
        If umap-learn is not installed.
    """
    with warnings.catch_warnings():
        # A part of it that is not used here wants Tensorflow.
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        try:
            return importlib.import_module("umap")
        except ModuleNotFoundError:
            raise JtvizError(NO_UMAP) from None
