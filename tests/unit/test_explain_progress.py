"""What an explanation takes is said before it starts, on one bar for attribution and trust of all parts."""

from __future__ import annotations

import re
from typing import Any

import pytest

import jtviz
from jtviz.analysis import attribute
from jtviz.analysis import trust as judged
from jtviz.analysis.attribution.progress import Progress
from jtviz.capture.reading import Reading

NOTE = "Man, 60. Has crushing chest pain. No sore throat. Lives alone."
BAR = re.compile(r"([^\r\n]*): +\d+%\|[^|]*\| (\d+)/(\d+) \[")


def bars(shown: str) -> dict[str, list[tuple[int, int]]]:
    """Return for each bar how far it was of how many."""
    found: dict[str, list[tuple[int, int]]] = {}
    for words, done, total in BAR.findall(shown):
        found.setdefault(words.strip(), []).append((int(done), int(total)))
    return found


@pytest.mark.parametrize(
    "method", ["integrated_gradients", "layer_conductance", "feature_ablation", "rollout"]
)
def test_one_bar_says_what_attribution_and_trust_take(
    method: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    advanced: list[int] = []
    own = Progress.advance

    def noted(bar: Progress, count: int) -> None:
        advanced.append(count)
        own(bar, count)

    monkeypatch.setattr(Progress, "advance", noted)
    jtviz.explain(jtviz.demo.classifier(), NOTE, method=method, progress=True)
    ((words, steps),) = bars(capsys.readouterr().err).items()
    label = jtviz.analysis.METHODS[method].label
    assert re.fullmatch(rf"{re.escape(label)} and trust: about \d+ s and [\d.]+ GiB, \d+ at a time", words)
    assert steps[0][0] == 0
    total = steps[0][1]
    # Orders can have texts in common, which are read once; what a thing costs is found by two examples.
    assert 0.8 * total <= sum(advanced) <= 1.1 * total


def test_several_parts_share_the_bar_and_one_opened_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    own = Reading.opened

    def noted(reading: Reading, **how: Any) -> Any:
        opened.append(reading)
        return own(reading, **how)

    monkeypatch.setattr(Reading, "opened", noted)
    found = jtviz.explain(jtviz.demo.translator(), "I like tea.", method="input_x_gradient", progress=True)
    assert len(found) > 1
    assert len(opened) == 1
    (words,) = bars(capsys.readouterr().err)
    assert words.startswith(f"input × gradient and trust of {len(found)} outputs: about ")
    monkeypatch.undo()
    for part, worth, trace in zip(found.parts, found.trust or (), found.traces, strict=True):
        # As `trust` says of the same part alone.
        assert worth.sentences == judged(trace, part).sentences


def test_without_a_bar_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    jtviz.explain(jtviz.demo.classifier(), NOTE, progress=False)
    assert not capsys.readouterr().err


def test_checking_a_view_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    from jtviz.views import AttributionView

    trace = jtviz.demo.classifier().trace(NOTE)
    view = AttributionView(trace, [attribute(trace, "input_x_gradient", target="urgent")])
    view.check(compare=False, progress=True)
    (words,) = bars(capsys.readouterr().err)
    assert re.fullmatch(r"faithfulness: about \d+ s and [\d.]+ GiB, \d+ at a time", words)
    view.close()
