"""Results over data sets as charts, without a browser: what is drawn is what was measured."""

from __future__ import annotations

import base64
import gc
from dataclasses import replace
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
import pytest
import torch

import jtviz
from jtviz.analysis import Cka, Probes, cka, read
from jtviz.demo import triage
from jtviz.views.chart import some

NOTES = triage.notes(30, seed=3)
FRAME = pd.DataFrame({"text": [n.text for n in NOTES], "label": [triage.LABELS[n.label] for n in NOTES]})


@pytest.fixture(scope="module")
def probes() -> Probes:
    return jtviz.probe(jtviz.demo.classifier(), FRAME, progress=False)


@pytest.fixture(scope="module")
def alike() -> Cka:
    return cka(read(jtviz.demo.classifier(), FRAME, progress=False))


def lines(view: Any) -> list[tuple[list[str], np.ndarray[Any, Any]]]:
    return [
        (mark.colors, np.asarray(mark.y)) for mark in view.chart.marks if mark._model_name == "LinesModel"
    ]


def said(view: Any) -> str:
    return "".join(child.value for child in view.children if isinstance(child, ipywidgets.HTML))


def test_probes_of_a_data_frame_draw_accuracy_control_and_majority_in_one_chart(probes: Probes) -> None:
    view = probes.view()
    drawn = lines(view)
    table = probes.to_pandas()
    for name, colour in (("accuracy", "#4269d0"), ("control", "#c2781c"), ("selectivity", "#3b8c5a")):
        whiskers, line = (y for colors, y in drawn if colors == [colour])
        np.testing.assert_array_equal(line, table[name])
        np.testing.assert_allclose(whiskers.mean(1), table[name])
        np.testing.assert_allclose(np.diff(whiskers)[:, 0] / 2, table[f"{name}_error"])
    band, baseline = (y for colors, y in drawn if colors[0] == "#888888")
    assert baseline.tolist() == [probes.majority] * 2
    np.testing.assert_allclose(band[1] - band[0], 2 * probes.majority_error)
    points = view.chart.marks[-1]
    assert points.x.tolist() == [0, 1, 2] * 3
    assert points.names[1] == points.names[4] == points.names[7]
    assert f"{probes.accuracy[1]:.1%}" in points.names[1]
    assert f"{probes.selectivity[1]:.1%}" in points.names[1]


def test_the_words_below_probes_say_what_has_to_be_known(probes: Probes) -> None:
    words = said(probes.view())
    assert "30 texts, encoder side, 2 classes: can wait, urgent." in words
    assert f"Most can be read off layer {probes.best}: {probes.accuracy.max():.1%}" in words
    assert "not that the model uses it" in words
    assert words.count("<tr>") == 1 + len(probes.layers)


def test_names_of_classes_and_notes_are_text(probes: Probes) -> None:
    marked = replace(probes, classes=("<b>a</b>", "b"), notes=("left <i>out</i> 3 tokens",))
    words = said(marked.view())
    assert "&lt;b&gt;a&lt;/b&gt;, b." in words
    assert "Left &lt;i&gt;out&lt;/i&gt; 3 tokens." in words
    assert "<b>a" not in words
    many = said(replace(probes, classes=tuple(range(20))).view())
    assert "20 classes: 0, 1, 2, 3, 4, 5, 6, 7 and 12 more." in many


def test_a_single_layer_and_an_error_that_is_not_known_are_drawn(probes: Probes) -> None:
    one: dict[str, Any] = {
        name: getattr(probes, name)[:1] for name in ("accuracy", "control", "selectivity")
    } | {f"{name}_error": np.array([np.nan]) for name in ("accuracy", "control", "selectivity")}
    view = replace(probes, layers=(4,), **one).view()
    assert (view.chart.marks[0].scales["x"].min, view.chart.marks[0].scales["x"].max) == (3.5, 4.5)
    assert np.isfinite(view.chart.marks[0].scales["y"].min)
    assert "nan" not in said(view)


def test_alignments_are_drawn_as_they_are(alike: Cka) -> None:
    view = alike.view()
    (heat,) = view.chart.marks
    np.testing.assert_array_equal(heat.color, alike.values)
    assert list(heat.row) == list(heat.column) == ["0", "1", "2"]
    assert (heat.scales["color"].min, heat.scales["color"].max) == (0, 1)
    assert f"Over {alike.tokens:,} tokens, in 64 dimensions." in said(view)
    assert f"{alike.to_pandas().loc[0, 2]:.3f}" in said(view)


def test_of_few_tokens_it_is_said_what_noise_would_have(alike: Cka) -> None:
    assert "noise" not in said(replace(alike, tokens=64 * 9 + 2).view())
    few = said(replace(alike, tokens=33).view())
    assert "would have a CKA of 0.67" in few  # 1 / (1 + 32 / 64)


@pytest.mark.parametrize(("tokens", "first", "second"), [(20, 192, 192), (100, 64, 256), (500, 50, 50)])
def test_chance_is_what_noise_has(tokens: int, first: int, second: int) -> None:
    found = []
    for _ in range(20):
        x, y = (torch.randn(tokens, width) for width in (first, second))
        x, y = x - x.mean(0), y - y.mean(0)
        found.append(float((y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())))
    chance = Cka(torch.empty(1, 1), (0,), (0,), tokens, (first, second)).chance
    assert chance == pytest.approx(np.mean(found), rel=0.03)


def test_two_models_and_layers_that_are_like_nothing_are_said() -> None:
    other = cka(
        read(jtviz.demo.classifier(), FRAME[:5]), read(jtviz.demo.classifier(shortcut=True), FRAME[:5])
    )
    assert (other.models, other.widths) == (2, (64, 64))
    values = torch.rand(3, 3)
    values[1] = values[:, 1] = torch.nan
    view = replace(other, values=values).view()
    assert "of the first model and one of the second" in said(view)
    assert [axis.label for axis in view.chart.axes][:2] == [
        "layer of the first model", "layer of the second model",
    ]  # fmt: skip
    assert "like nothing, is layer 1 of the first model, layer 1 of the second model." in said(view)
    assert view.children[2].value.count("none") == 5


def test_of_many_layers_an_axis_has_some_numbers_and_no_table_is_written() -> None:
    assert some(range(13)) == list(range(13))
    assert some(range(97)) == list(range(0, 97, 5))
    found = Cka(torch.rand(49, 49), tuple(range(49)), tuple(range(49)), 10**6, (8, 8))
    assert "<table" not in said(found.view())
    assert len(found.view().chart.axes[0].tick_values) <= 24


@pytest.mark.parametrize("name", ["probes", "alike"])
def test_last_in_a_cell_a_result_is_a_widget_a_picture_and_words(
    name: str, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(name)
    bundle = found._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == repr(found)
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["probes", "alike"])
def test_a_closed_chart_leaves_no_widget(name: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(name)
    gc.collect()
    before = set(ipywidgets.widgets.widget._instances)
    view = found.view()
    assert len(set(ipywidgets.widgets.widget._instances) - before) > 8
    view.close()
    assert set(ipywidgets.widgets.widget._instances) <= before
