"""The chart of trajectories without a browser: what is drawn where, and what is linked.

The references: the analysis of the same trace, the Selection, umap-learn itself.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np
import pytest
import torch

import jtviz
from jtviz.analysis import trajectories
from jtviz.analysis.layers import neighbours
from jtviz.capture import JtvizError, Trace, hook
from jtviz.views import paths
from jtviz.views.layer_panels.trajectories import axis_note
from jtviz.views.selection import selection_of
from tests.unit.planted import Planted, tokenizer

TEXT = "We went to the market with our friends."


@pytest.fixture
def trace() -> Trace:
    trace = jtviz.demo.translator().trace(TEXT)
    selection = selection_of(trace)
    selection.stage, selection.layer = "encoder", 0
    selection.marked, selection.pinned = {}, {}
    return trace


def opened(trace: Trace, **settings: Any) -> tuple[Any, Any]:
    """Return panels and the chart below them."""
    view = jtviz.show_layers(trace=trace, tab="trajectories", **settings)
    return view.panels, view._charts["trajectories"]


def marked(chart: Any) -> list[int]:
    return [] if chart.points.selected is None else list(chart.points.selected)


def of(rows: torch.Tensor) -> Trace:
    """Return a trace of its own whose residual stream is this, ``[layers + 1, tokens, width]``."""
    trace = hook(Planted(), tokenizer()).trace(" ".join(f"w{i % 4}" for i in range(rows.shape[1])))
    assert len(trace.tokens["encoder"]) == rows.shape[1]
    trace.hidden = lambda _: rows  # type: ignore[method-assign,assignment]
    return trace


def test_the_points_are_those_of_the_layer_shown(trace: Trace) -> None:
    panels, chart = opened(trace)
    found = trajectories(trace, "encoder", 3)
    for layer in (0, 2, 1):
        panels.hidden_layer = layer
        np.testing.assert_allclose(chart.points.x, found.paths[layer, :, 0], atol=1e-5)
        np.testing.assert_allclose(chart.points.y, found.paths[layer, :, 1], atol=1e-5)
    np.testing.assert_allclose(chart.lines.x, found.paths[..., 0].T, atol=1e-5)
    np.testing.assert_allclose(chart.starts.y, found.paths[0, :, 1], atol=1e-5)
    assert "</s>" in [*chart.names.text, *chart.names_before.text]
    panels.plane = "2 × 3"
    np.testing.assert_allclose(chart.points.y, found.paths[1, :, 2], atol=1e-5)
    assert chart.figure.axes[1].label == f"PC 3 ({found.explained[2]:.0%} of the variance)".replace("%", " %")
    panels.stage = "decoder"
    assert len(chart.points.x) == len(trace.tokens["decoder"])


def test_no_name_lies_on_another_and_the_pinned_one_is_there(trace: Trace) -> None:
    panels, chart = opened(trace)
    for pin in range(10):
        panels.pinned = {"query": pin}
        scales = chart.points.scales
        named: list[tuple[str, float, float]] = []
        firsts = []
        for mark in (chart.names, chart.names_before):
            if not mark.visible:
                continue
            x, y = (
                size * (places - scales[name].min) / (scales[name].max - scales[name].min)
                for name, places, size in (("x", mark.x, paths.WIDTH), ("y", mark.y, paths.HEIGHT))
            )
            # Names lead inwards.
            assert set(x > paths.WIDTH / 2) == {mark is chart.names_before}
            ends = x - 6.6 * np.array([len(text) for text in mark.text]) * (mark is chart.names_before)
            named += zip(mark.text, ends, y, strict=True)
            firsts.append(mark.text[0])
        assert trace.tokens["encoder"][pin] in firsts
        for (text, x0, y0), (other, x1, y1) in itertools.combinations(named, 2):
            first = text if x0 <= x1 else other
            assert abs(y0 - y1) > 11 or abs(x0 - x1) > 6 * len(first)


def test_the_room_of_the_axes_stays_from_layer_to_layer_until_one_layer_is_asked_for(trace: Trace) -> None:
    panels, chart = opened(trace)
    room = (chart.points.scales["x"].min, chart.points.scales["x"].max)
    panels.hidden_layer = 0
    assert (chart.points.scales["x"].min, chart.points.scales["x"].max) == room
    panels.extent = "layer"
    least, most = chart.points.scales["x"].min, chart.points.scales["x"].max
    assert room[0] < least < min(chart.points.x) < max(chart.points.x) < most < room[1]


def test_what_is_brushed_is_marked_in_every_view(trace: Trace) -> None:
    _, chart = opened(trace)
    attention = jtviz.show_attention(trace=trace)
    x, y = chart.points.x, chart.points.y
    chart.brush.brushing = True
    chart.brush.selected_x = np.array([np.sort(x)[-3] - 1e-3, x.max()])
    chart.brush.selected_y = np.array([y.min(), y.max()])
    assert attention.marked == {}
    chart.brush.brushing = False
    assert attention.marked == {"encoder": sorted(np.argsort(x)[-3:].tolist())}
    assert chart.brush.selected_x is None
    # The other side keeps its marks, and an empty rectangle unmarks.
    attention.marked = {"encoder": [1], "decoder": [2]}
    chart.brush.brushing = True
    chart.brush.brushing = False
    assert attention.marked == {"decoder": [2]}


def test_marks_and_pins_of_other_views_are_seen_here(trace: Trace) -> None:
    _, chart = opened(trace)
    attention = jtviz.show_attention(trace=trace)
    assert marked(chart) == []
    assert not chart.ring.visible
    attention.marked = {"encoder": [1, 4]}
    assert marked(chart) == [1, 4]
    assert [opacity > 0.5 for opacity in chart.lines.opacities][:5] == [False, True, False, False, True]
    attention.pinned = {"key": 3}
    assert chart.ring.visible
    assert list(chart.ring.x) == [chart.points.x[3]]
    attention.stage, attention.pinned = "cross", {"query": 2, "key": 3}
    # The decoder is shown: the pinned key is the encoder's.
    assert list(chart.ring.x) == [chart.points.x[2]]
    assert marked(chart) == []


def test_a_click_pins_and_unpins_where_the_mouse_does_not_mark(trace: Trace) -> None:
    panels, chart = opened(trace)
    assert chart.figure.interaction is chart.brush
    panels.marking = False
    assert chart.figure.interaction is None
    for wanted in (2, None):
        chart.points._handle_custom_msg({"event": "element_click", "data": {"index": 2}}, [])
        assert panels.pinned["query"] == wanted


def test_of_a_long_text_few_paths_are_drawn_and_that_is_said(
    trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "LINED", 4)
    monkeypatch.setattr(paths, "NAMED", 3)
    monkeypatch.setattr(paths, "MOST", 6)
    panels, chart = opened(trace)
    assert not chart.lines.visible
    assert len(chart.points.x) == len(chart.drawn) == 6
    assert "6 of 10 tokens, evenly sampled" in chart.words.value
    panels.marked = {"encoder": chart.drawn[:5].tolist()}
    assert chart.lines.x.shape == (4, 3)
    assert 1 <= sum(len(mark.text) for mark in (chart.names, chart.names_before) if mark.visible) <= 3
    assert "the paths of 4 of 5 marked and pinned tokens are drawn" in chart.words.value
    # A token that is marked and not drawn is no trouble.
    panels.marked = {"encoder": [index for index in range(10) if index not in chart.drawn]}
    assert marked(chart) == []


def test_an_axis_that_one_dimension_or_token_takes_is_said() -> None:
    rows = torch.randn(3, 6, 16, generator=torch.Generator().manual_seed(0))
    rows[:, :, 5] += torch.linspace(0, 90, 6)
    rows[2, 4, 9] = 300.0
    found = trajectories(of(rows), "encoder", 3)
    first, second, third = (axis_note(found, axis) for axis in range(3))
    assert first.startswith("is to 99 % dimension 9 of the stream and has 95 % of its spread")
    assert "from token 4" in first
    assert "dimension 5 of the stream" in second
    assert "token" not in second
    assert not third


def test_a_page_is_told_what_is_explained(trace: Trace) -> None:
    panels, _ = opened(trace)
    said, buffers = panels._answer_trajectories({"side": "encoder", "method": "pca"})
    assert said["explained"] == trajectories(trace, "encoder", 3).explained.tolist()
    assert (said["fitted"], said["lack"], buffers) == (10, "", [])
    with pytest.raises(JtvizError, match="laid out by 'pca' or 'umap', not 'tsne'"):
        panels._answer_trajectories({"side": "encoder", "method": "tsne"})


def test_a_closed_chart_follows_nothing(trace: Trace) -> None:
    view = jtviz.show_layers(trace=trace, tab="trajectories")
    chart, panels = view._charts["trajectories"], view.panels
    view.close()
    jtviz.show_attention(trace=trace).marked = {"encoder": [1]}
    assert marked(chart) == []
    assert chart.figure.comm is None
    assert panels.comm is None


def test_umap_is_umap_learns_and_the_same_each_time(trace: Trace) -> None:
    umap = pytest.importorskip("umap")
    found = trajectories(trace, "encoder", method="umap", seed=3)
    points = trace.hidden("encoder").flatten(0, 1)
    centre, directions, _ = neighbours.components(
        points, neighbours.FEWER if len(points) > 50 else len(points)
    )
    reducer = umap.UMAP(n_components=2, n_neighbors=15, random_state=3, n_jobs=1)
    wanted = reducer.fit_transform(((points.double() - centre) @ directions.T).float().numpy())
    np.testing.assert_array_equal(found.paths.flatten(0, 1), wanted)
    again = trajectories(trace, "encoder", method="umap", seed=3)
    torch.testing.assert_close(again.paths, found.paths, rtol=0, atol=0)
    assert found.explained.isnan().all()
    assert (found.method, found.directions) == ("umap", None)


def test_umap_puts_tokens_it_was_not_fitted_to_beside_their_like(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("umap")
    monkeypatch.setattr(neighbours, "FITTED", 60)
    generator = torch.Generator().manual_seed(0)
    groups = torch.randn(3, 8, generator=generator) * 20
    rows = groups[torch.arange(60) % 3] + torch.randn(2, 60, 8, generator=generator)
    found = trajectories(of(rows), "encoder", method="umap")
    assert found.fitted == tuple(sorted({int(i) for i in np.linspace(0, 59, 30)}))
    assert found.paths.isfinite().all()
    flat = found.paths.flatten(0, 1)
    group = torch.arange(120) % 3
    middles = torch.stack([flat[group == one].mean(0) for one in range(3)])
    assert torch.equal(torch.cdist(flat, middles).argmin(1), group)


def test_without_umap_learn_it_is_said_and_pca_is_still_drawn(
    trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(JtvizError, match=r'pip install "jtviz\[umap\]"'):
        trajectories(trace, method="umap")
    panels, chart = opened(trace)
    panels.projection = "umap"
    assert "jtviz[umap]" in chart.words.value
    assert chart.figure.layout.display == "none"
    assert "jtviz[umap]" in panels._answer_trajectories({"side": "encoder", "method": "pca"})[0]["lack"]
    panels.projection = "pca"
    assert chart.figure.layout.display is None
    assert panels.busy == ""


def test_what_cannot_be_laid_out_is_said(trace: Trace) -> None:
    with pytest.raises(JtvizError, match="method= is 'pca' or 'umap', not 'tsne'"):
        trajectories(trace, method="tsne")
    pytest.importorskip("umap")
    with pytest.raises(JtvizError, match="UMAP needs at least 5 points, and these are 4"):
        trajectories(of(torch.randn(2, 2, 8)), method="umap")
    with pytest.raises(JtvizError, match="seed= is a number"):
        trajectories(trace, method="umap", seed=-1)


@pytest.mark.parametrize(("least", "most"), [(-0.85, 0.55), (-40, 220), (-3e-4, 2e-4), (0, 1), (997, 1003)])
def test_few_round_numbers_stand_below_the_chart(least: float, most: float) -> None:
    found = paths._ticks(least, most)
    assert 3 <= len(found) <= paths.TICKS + 1
    assert least <= found[0] < found[-1] <= most
    step = found[1] - found[0]
    np.testing.assert_allclose(np.diff(found), step)
    assert f"{step:.0e}"[0] in "125"
    np.testing.assert_allclose(found / step, np.round(found / step), atol=1e-6)
