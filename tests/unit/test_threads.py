"""Explaining in several threads gives the numbers of one, and leaves the reader's random state alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

import jtviz
from jtviz.analysis.attribution import attribute
from jtviz.capture.asfound import as_found
from jtviz.capture.chance import seeded

WAIT = 30


def _state() -> tuple[bytes, bytes]:
    return torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes()  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize("method", ["smooth_grad", "gradient_shap", "shapley_sampling"])
def test_two_models_in_two_threads_are_explained_as_in_one(method: str) -> None:
    traces = [
        jtviz.demo.classifier().trace("Man, 60. Has crushing chest pain."),
        jtviz.demo.translator().trace("I like tea."),
    ]

    def explained(trace: Any) -> np.ndarray[Any, Any]:
        found = attribute(trace, method, n_samples=10, seed=3, raise_steps=False, memory=1)
        return np.concatenate(list(found.scores.values()))

    alone = [explained(trace) for trace in traces]
    before = _state()
    with ThreadPoolExecutor(2) as pool:
        beside = [list(pool.map(explained, traces)) for _ in range(5)]
    assert _state() == before
    for scores in beside:
        for mine, wanted in zip(scores, alone, strict=True):
            # The same operations on the same numbers: float32 rounding at most, of threads that add up.
            np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-7)


def test_reading_that_begins_while_another_is_seeded_leaves_the_state_before_both() -> None:
    model = torch.nn.Linear(2, 2)
    is_seeded, is_reading, is_over = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with as_found(model), seeded(1, model):
            is_seeded.set()
            assert is_reading.wait(WAIT)
        is_over.set()

    def second() -> None:
        assert is_seeded.wait(WAIT)
        with as_found(torch.nn.Linear(2, 2, device="meta")):
            is_reading.set()
            assert is_over.wait(WAIT)

    before = _state()
    with ThreadPoolExecutor(2) as pool:
        waiting: list[Callable[[], None]] = [first, second]
        for done in [pool.submit(one) for one in waiting]:
            done.result()
    assert _state() == before


def test_what_is_seeded_waits_for_what_is_seeded() -> None:
    model = torch.nn.Linear(2, 2)
    is_seeded = threading.Event()

    def draws(pause: float) -> list[float]:
        with seeded(7, model):
            is_seeded.set()
            one = torch.rand(1).item()
            threading.Event().wait(pause)
            return [one, torch.rand(1).item(), float(np.random.rand())]  # noqa: NPY002

    wanted = [*torch.rand(2, generator=torch.Generator().manual_seed(7)).tolist()]
    wanted.append(float(np.random.RandomState(7).rand()))
    is_seeded.clear()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(draws, [0.2, 0.0]))
    assert found == [wanted, wanted]


def test_only_the_devices_of_the_model_are_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[object] = []
    for module in (torch.cuda, torch.mps, torch.xpu):
        for name in ("manual_seed", "manual_seed_all"):
            monkeypatch.setattr(module, name, touched.append, raising=False)
    with seeded(1, torch.nn.Linear(2, 2)):
        drawn = torch.rand(3)
    assert not touched
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(1)))
