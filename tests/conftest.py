"""What holds for every test: no model hub is ever asked, random numbers repeat, and nothing stays chosen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _seed() -> None:
    # Only where a test file has imported torch: the browser tests run without it.
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _nothing_chosen() -> Iterator[None]:
    """Forget what was chosen: the traces of the embedded models, and so their choices, outlive a test."""
    yield
    if "jtviz.views.selection" in sys.modules:
        sys.modules["jtviz.views.selection"]._selections.clear()


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the checkout."""
    return REPOSITORY
