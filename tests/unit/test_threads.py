"""Explaining in several threads gives the numbers of one, and leaves the reader's random state alone."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

import jtviz
from jtviz.analysis.ablation import Ablating
from jtviz.analysis.attribution import attribute
from jtviz.capture import JtvizError, Mask, hook
from jtviz.capture.asfound import as_found
from jtviz.capture.chance import seeded
from jtviz.capture.own_hooks import _threads
from jtviz.capture.twin import twin_of

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
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(first)
        second()
        done.result(WAIT)
    assert _state() == before


def test_what_is_drawn_while_another_thread_reads_is_not_drawn_again() -> None:
    is_reading, is_over = threading.Event(), threading.Event()

    def read() -> None:
        with as_found(torch.nn.Linear(2, 2, device="meta")):
            is_reading.set()
            assert is_over.wait(WAIT)

    with ThreadPoolExecutor(1) as pool:
        reads = pool.submit(read)
        assert is_reading.wait(WAIT)
        drawn = torch.rand(3)
        is_over.set()
        reads.result(WAIT)
    assert not torch.equal(torch.rand(3), drawn)


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


SENTENCE = "We went to the market with our friends."


def test_what_a_cell_switches_off_for_itself_no_other_thread_sees() -> None:
    hooked = jtviz.demo.translator()
    trace = hooked.trace(SENTENCE)
    off = Mask(heads=(("encoder", 0, 1),))
    wanted = Ablating(trace).effect(off).ablated.value

    def beside() -> tuple[Any, ...]:
        return (
            trace.reading is not None and trace.reading.model is hooked.model,
            hooked.trace(SENTENCE) is trace,
            Ablating(trace).effect(off).ablated.value,
            hooked.generate(SENTENCE),
        )

    whole = hooked.generate(SENTENCE)
    with ThreadPoolExecutor(1) as pool, hooked.ablate(heads={("cross", 0): None, ("cross", 1): None}):
        assert hooked.generate(SENTENCE) != whole
        found = pool.submit(beside).result(WAIT)
        with pytest.raises(JtvizError, match="the model was changed since"):
            _ = trace.reading is not None and trace.reading.model
    assert found == (True, True, pytest.approx(wanted, abs=1e-6), whole)
    assert not _threads


def test_a_model_that_another_thread_traces_meanwhile_did_not_change() -> None:
    hooked = hook(jtviz.demo.translator().model)
    reading = hooked.trace(SENTENCE).reading
    is_running, is_over = threading.Event(), threading.Event()

    def run() -> None:
        with hooked.memory.lock:
            seen = hooked.model.register_forward_hook(lambda *_: None)  # as a trace puts on
            is_running.set()
            assert is_over.wait(WAIT)
            seen.remove()

    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(run)
        assert is_running.wait(WAIT)
        asked = pool.submit(lambda: reading is not None and reading.model)
        with pytest.raises(TimeoutError):
            asked.result(0.5)
        is_over.set()
        assert asked.result(WAIT) is hooked.model
        running.result(WAIT)


def test_twins_are_made_while_another_thread_switches_on_and_off() -> None:
    hooked = jtviz.demo.translator()
    trace = hooked.trace(SENTENCE)
    stop = threading.Event()

    def twins() -> int:
        count = 0
        while not stop.is_set():
            assert trace.reading is not None
            with trace.reading.twin() as twin:
                assert twin is not hooked.model
            count += 1
        return count

    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(twins)
        try:
            for _ in range(100):
                with hooked.ablate(heads={("encoder", 0): [1]}):
                    pass
        finally:
            stop.set()
        assert making.result(WAIT) > 0


def test_a_twin_made_while_another_thread_has_parts_off_does_not_change_when_these_are_on_again() -> None:
    hooked = jtviz.demo.translator()
    reading = hooked.trace(SENTENCE).reading
    assert reading is not None
    is_made, is_over = threading.Event(), threading.Event()

    def read_by_twin() -> bool:
        with reading.twin() as twin:
            own = reading.by(twin)
            is_made.set()
            assert is_over.wait(WAIT)
            return own.model is twin

    with ThreadPoolExecutor(1) as pool:
        with hooked.ablate(heads={("cross", 0): None}):
            reads = pool.submit(read_by_twin)
            assert is_made.wait(WAIT)
        is_over.set()
        assert reads.result(WAIT)


def test_a_twin_is_made_although_a_reader_puts_hooks_on_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    copied: list[object] = []

    def interrupted(value: Any, memo: Any) -> Any:
        copied.append(value)
        if len(copied) == 1:
            raise RuntimeError("OrderedDict mutated during iteration")
        return deepcopy(value, memo)

    monkeypatch.setattr(copy, "deepcopy", interrupted)
    with twin_of(model) as twin:
        assert twin is not model
        assert all(parameter.requires_grad for parameter in model.parameters())
    assert len(copied) == 2


def test_a_model_that_cannot_be_copied_is_as_it_was_before_the_next_may_run_it() -> None:
    hooked = hook(jtviz.demo.translator().model)
    reading = hooked.trace(SENTENCE).reading
    assert reading is not None

    class _Uncopied(dict[str, int]):
        def __deepcopy__(self, _: Any) -> Any:
            raise TypeError

    vars(hooked.model)["uncopied"] = _Uncopied()
    is_open, seen = threading.Event(), []

    def next_one() -> None:
        assert is_open.wait(WAIT)
        with hooked.memory.lock:
            seen.append(all(parameter.requires_grad for parameter in hooked.model.parameters()))

    try:
        reading = reading.by(hooked.model)
        reading._lock = hooked.memory.lock
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(next_one)
            with reading.twin() as twin:
                assert twin is hooked.model
                is_open.set()
                assert not waits.done()
            waits.result(WAIT)
    finally:
        del vars(hooked.model)["uncopied"]
    assert seen == [True]
