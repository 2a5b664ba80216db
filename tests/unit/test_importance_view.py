"""Importance and pruning curves as widgets, without a browser: what is sent, and what follows what."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
import traitlets

import jtviz
from jtviz.analysis import HeadImportance, PruningCurve, pruning_curve
from jtviz.capture import JtvizError
from jtviz.demo import triage
from jtviz.views.importance import ImportanceView
from jtviz.views.pruning_curve import CurveView

NOTES = [(note.text, triage.LABELS[note.label]) for note in triage.notes(12, seed=3)]


@pytest.fixture(scope="module")
def found() -> HeadImportance:
    return jtviz.head_importance(jtviz.demo.classifier(), NOTES, method="all", progress=False)


@pytest.fixture(scope="module")
def curve(found: HeadImportance) -> PruningCurve:
    return pruning_curve(jtviz.demo.classifier(), NOTES, found, metric="accuracy", draws=3, progress=False)


def test_the_grid_has_the_scores_and_errors_of_each_method(found: HeadImportance) -> None:
    view = ImportanceView(found)
    assert [method["name"] for method in view.methods] == ["exact", "gradient", "confidence"]
    for method in view.methods:
        np.testing.assert_allclose(method["scores"]["encoder"], found.scores(method["name"])["encoder"])
        np.testing.assert_allclose(method["errors"]["encoder"], found.errors(method["name"])["encoder"])
    assert view.meta["n"] == 12
    table = found.agreement()
    np.testing.assert_allclose(view.agreement["values"], table.to_numpy(), atol=1e-6)
    assert found.units is not None
    strongest = view.units["encoder"][0][0]
    assert strongest[0] == int(found.units["encoder"][0].argmax())
    assert any("without training again" in note for note in view.notes)


def test_the_mask_is_that_of_the_least_important_heads(found: HeadImportance) -> None:
    view = ImportanceView(found)
    view.mask = found.mask(0.5, "exact")
    assert sorted(map(tuple, view.off)) == sorted((s, a, b) for s, a, b, _ in found.ranking("exact")[:4])
    view.set_state({"off": [["encoder", 1, 3]]})
    assert view.mask.heads == (("encoder", 1, 3),)
    with pytest.raises(traitlets.TraitError, match="There is no head"):
        view.off = [["encoder", 1, 9]]
    with pytest.raises(traitlets.TraitError, match="choose from exact"):
        view.method = "taylor"


def test_a_point_that_is_clicked_is_the_head_that_is_pinned(found: HeadImportance) -> None:
    box = found.view()
    points = box.scatter.marks[0]
    np.testing.assert_allclose(points.x, found.values["exact"])
    np.testing.assert_allclose(points.y, found.values["gradient"])
    points.selected = np.array([5])
    assert box.grid.pointed == list(found.heads[5])
    box.grid.pointed = list(found.heads[2])
    assert points.selected.tolist() == [2]
    box.grid.pointed = None
    assert points.selected is None
    said = found.misranked(1).iloc[0]
    assert f"{said.stage} {said.layer}.{said['head']}" in box._scatter.words.value


def test_what_is_brushed_is_crossed_out_here_and_where_it_is_linked(curve: PruningCurve) -> None:
    view: CurveView = curve.view()
    pruning = jtviz.show_pruning(jtviz.demo.classifier(), NOTES[0][0])
    view.link(pruning)
    view._brush.selected = np.array([0.1, 0.5])
    assert view.mask == curve.mask("exact", 0.5)
    assert pruning.off == view.mask
    assert pruning.effect.mask == view.mask
    view.grid.method = "gradient"
    assert view.mask == curve.mask("gradient", 0.5) == pruning.off
    assert "4 of 8 heads off (50%)" in view._words.value
    lines = [mark for mark in view.chart.marks if np.size(mark.x)]
    shown = [np.asarray(line.y) for line in lines]
    for values in (*curve.values.values(), curve.random_mean):
        assert any(y.shape == values.shape and np.allclose(y, values) for y in shown)
    with pytest.raises(JtvizError, match="0 to 1"):
        view.brush(2)


def test_units_that_are_brushed_are_off_where_the_curve_is_linked(found: HeadImportance) -> None:
    curve = pruning_curve(
        jtviz.demo.classifier(), NOTES, found, of="units", metric="accuracy", steps=5, draws=2, progress=False
    )
    view = curve.view()
    pruning = jtviz.show_pruning(jtviz.demo.classifier(), NOTES[0][0])
    view.link(pruning)
    view._brush.selected = np.array([0.0, 0.25])
    assert view.mask == curve.mask("taylor", 0.25) == pruning.off
    assert len(view.mask.units) == 64
    first = sum(layer == 0 for _, layer, _ in view.mask.units)
    assert f"{first} of 128 units off" in view._layers.value
    assert "64 of 256 units off (25%)" in view._words.value
    assert f"{curve.values['taylor'][1]:.4g}, {curve.intact.value:.4g} with all" in view._words.value
    view.brush(0.3)  # where nothing was measured no number is said
    assert "with all" not in view._words.value
    bundle: Any = view._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    before = {*ipywidgets.widgets.widget._instances}
    again = curve.view()
    again.close()
    assert {*ipywidgets.widgets.widget._instances} == before


@pytest.mark.parametrize("name", ["found", "curve"])
def test_a_result_shows_itself_with_a_picture(name: str, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(name)
    bundle: Any = result._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == repr(result)


def test_a_figure_names_the_method_and_the_data_set(found: HeadImportance, tmp_path: Path) -> None:
    view = ImportanceView(found)
    view.mask = found.mask(0.25)
    view.save(tmp_path / "heads.svg")
    said = (tmp_path / "heads.svg").read_text("utf-8")
    assert "over 12 examples" in said
    assert said.count("<path") == 2


def test_closing_leaves_no_widget_behind(found: HeadImportance, curve: PruningCurve) -> None:
    for result in (found, curve):
        before = {*ipywidgets.widgets.widget._instances}
        view = result.view()
        view.close()
        after = {*ipywidgets.widgets.widget._instances}
        assert after <= before


def test_units_alone_rank_no_heads() -> None:
    only = jtviz.head_importance(jtviz.demo.classifier(), NOTES, method="taylor", progress=False)
    with pytest.raises(JtvizError, match="no heads were measured"):
        only.view()
