"""The panel of features: blocks of a matrix, answers to a page, and the chart of lengths.

The references: numpy by hand, the trace's own stream, `contributions`.
"""

from __future__ import annotations

import json
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch

import jtviz
from jtviz.analysis import contributions, features
from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.views.blocks import MOST, asked_block, block
from jtviz.views.layers import LayersPanels
from jtviz.views.layers_view import LayersView
from jtviz.views.norms import BAND, Norms
from tests.unit.test_layers import TEXT, of


def shown(**settings: Any) -> LayersPanels:
    trace = settings.pop("trace", None) or jtviz.demo.translator().trace(TEXT)
    return LayersPanels(trace, **settings)


def ask(panels: LayersPanels, monkeypatch: pytest.MonkeyPatch, **question: Any) -> tuple[Any, list[bytes]]:
    """Ask as a page does, and return what is sent, through JSON as strict as a browser's."""
    sent: list[tuple[Any, list[bytes]]] = []
    monkeypatch.setattr(panels, "send", lambda said, buffers=(): sent.append((said, list(buffers))))
    panels._on_message(panels, {"id": "1", **question}, [])
    reply, buffers = sent[-1]
    return json.loads(json.dumps(reply, allow_nan=False)), buffers


def numbers(about: dict[str, Any], data: bytes) -> np.ndarray:
    found: np.ndarray = np.frombuffer(data, "<f2").astype(float).reshape(about["shape"]) * about["unit"]
    return found


def part(**more: Any) -> dict[str, Any]:
    question = {"op": "features", "side": "encoder", "layer": 1, "order": "variance"}
    return question | {"rows": [0, 10], "columns": [0, 192], "most": [10, 192]} | more


@pytest.mark.parametrize("factor", [1.0, 1e-30, 3e30])
def test_a_block_keeps_eleven_bits_of_every_number_beside_a_massive_one(factor: float) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(40, 30)
    matrix[3, 4], matrix[5, 6] = -6e4, 0.0
    matrix *= factor
    about, data = block(matrix, (0, 40), (0, 30), (40, 30))
    assert about["pool"] == [1, 1]
    np.testing.assert_allclose(numbers(about, data), matrix.double().numpy(), rtol=2**-11)


@pytest.mark.parametrize("most", [(40, 30), (7, 30), (40, 4), (9, 11), (1, 1)])
def test_of_what_shares_a_cell_the_largest_magnitude_is_told_with_its_sign(most: tuple[int, int]) -> None:
    torch.manual_seed(1)
    matrix = torch.randn(60, 50)
    about, data = block(matrix, (10, 50), (5, 35), most)
    own, (down, across) = matrix[10:50, 5:35].numpy(), about["pool"]
    assert all(cells <= limit for cells, limit in zip(about["shape"], most, strict=True))
    found = numbers(about, data)
    for row, column in np.ndindex(*about["shape"]):
        group = own[row * down : (row + 1) * down, column * across : (column + 1) * across].ravel()
        largest = group[np.abs(group).argmax()]
        assert found[row, column] == pytest.approx(largest, rel=2**-11)


def test_a_block_of_nothing_but_zeros_or_with_infinity_is_told() -> None:
    about, data = block(torch.zeros(2, 3), (0, 2), (0, 3), (2, 3))
    assert about["unit"] == 1
    assert not numbers(about, data).any()
    about, data = block(torch.tensor([[np.inf, 2.0, np.nan]]), (0, 1), (0, 3), (1, 3))
    np.testing.assert_array_equal(numbers(about, data), [[np.inf, 2.0, np.nan]])


def test_a_part_that_is_not_there_or_too_large_is_refused_in_a_sentence() -> None:
    matrix = torch.zeros(2000, 300)
    whole = {"rows": [0, 2000], "columns": [0, 300], "most": [2000, 300]}
    with pytest.raises(JtvizError, match=f"at most {MOST:,} cells, not 2,000 x 300"):
        asked_block(whole, matrix)
    with pytest.raises(JtvizError, match="at most"):
        asked_block(whole | {"exact": True}, matrix)
    with pytest.raises(JtvizError, match=r"rows 0 to 2001 are not there: choose from 0 to 2000\."):
        asked_block(whole | {"rows": [0, 2001]}, matrix)
    for bad in ({"columns": [3]}, {"rows": None}, {"most": [0, 3]}, {"most": "all"}):
        with pytest.raises(JtvizError):
            asked_block(whole | bad, matrix)
    assert asked_block(whole | {"most": [500, 300]}, matrix)[0]["pool"] == [4, 1]


@pytest.mark.parametrize("order", ["variance", "clusters", "model"])
def test_a_page_gets_the_stream_in_the_order_that_python_has(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    panels = shown(order=order, hidden_layer=1)
    reply, (data, dimensions) = ask(panels, monkeypatch, **part(order=order))
    own = np.frombuffer(dimensions, "<i4")
    np.testing.assert_array_equal(own, panels.dimensions.numpy())
    assert sorted(own) == list(range(192))
    hidden = panels.trace.hidden("encoder")[1].numpy()
    np.testing.assert_allclose(numbers(reply, data), hidden[:, own], rtol=2**-11)
    # A row that is pointed at comes to the last digit.
    exact, (row,) = ask(panels, monkeypatch, **part(order=order, rows=[3, 4], exact=True))
    assert exact["rows"] == [3, 4]
    np.testing.assert_array_equal(np.frombuffer(row, "<f4"), hidden[3, own])


def test_dimensions_are_in_one_order_for_all_layers_or_in_one_of_each() -> None:
    panels = shown(hidden_layer=0)
    variance = panels.dimensions
    torch.testing.assert_close(variance, panels.features.by_variance())
    panels.hidden_layer = 2
    assert panels.dimensions is variance
    panels.order = "clusters"
    torch.testing.assert_close(panels.dimensions, panels.features.clustered(2))


def test_the_full_colour_is_what_199_of_200_numbers_are_below(monkeypatch: pytest.MonkeyPatch) -> None:
    panels = shown()
    hidden = panels.trace.hidden("encoder").abs().numpy()
    reply, _ = ask(panels, monkeypatch, **part(layer=2))
    assert reply["limit"] == panels.full_colour(2) == pytest.approx(np.quantile(hidden[2], 0.995))
    scale, _ = ask(panels, monkeypatch, op="features_scale", side="encoder")
    assert scale["limit"] == panels.full_colour() == pytest.approx(np.quantile(hidden, 0.995))


def test_a_page_is_told_what_stands_out_of_the_layer_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(3, 40, 64)
    rows[1, 3:9, 5] = -40.0
    rows[2, 7, 11] = 5000.0
    panels = LayersPanels(of(rows))
    monkeypatch.setattr(panels, "_side", lambda _: "decoder")
    monkeypatch.setattr("jtviz.views.layer_panels.features.features", lambda trace, _: features(trace))
    wanted = {"rows": [0, 40], "columns": [0, 64], "most": [40, 64]}
    reply, _ = ask(panels, monkeypatch, **part(layer=1, **wanted))
    assert reply["outliers"] == [[5, -40.0, 6]]
    assert reply["massive"] == []
    reply, _ = ask(panels, monkeypatch, **part(layer=2, **wanted))
    assert reply["counts"] == [1, 1]
    assert reply["massive"][0][:3] == [7, 11, 5000.0]
    ratio = 5000 / float(rows[2].abs().median())
    assert reply["massive"][0][3] == pytest.approx(ratio)
    reply, _ = ask(panels, monkeypatch, **part(layer=0, **wanted))
    assert (reply["outliers"], reply["massive"]) == ([], [])


def test_flags_of_a_layer_are_those_of_all_layers_that_are_of_it() -> None:
    rows = torch.randn(3, 40, 64)
    rows[0, 2, 9], rows[2, 7, 11] = 300.0, -5000.0
    found = features(of(rows))
    for layer in range(3):
        massive, outliers = found.flags(layer)
        assert massive == tuple(one for one in found.massive if one.layer == layer)
        assert outliers == tuple(one for one in found.outliers if one.layer == layer)
    assert found.flags(-1) is found.flags(2)
    assert [one.value for one in found.outliers] == [-5000.0, 300.0]
    with pytest.raises(OutOfRangeError, match="layer 3 is not there"):
        found.flags(3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"order": "size"}, "order is one of variance, clusters, model, not 'size'."),
        ({"layer": 3}, "layer is a number, 0 to 2, not 3."),
        ({"layer": None}, "layer is a number, 0 to 2, not None."),
        ({"side": "both"}, "there is no side 'both' in this trace."),
        ({"rows": [0, 99]}, "rows 0 to 99 are not there: choose from 0 to 10."),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_in_a_sentence(
    change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply, buffers = ask(shown(), monkeypatch, **(part() | change))
    assert (reply["ok"], reply["error"], buffers) == (False, said, [])


def test_contributions_are_measured_when_a_page_asks_and_the_chart_comes_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = LayersView(shown(stage="decoder"))
    panels = view.panels
    assert view.children == (panels,)
    ask(panels, monkeypatch, **part(side="decoder", rows=[0, 1]))
    assert panels.measured == ()
    assert view.children == (panels,)
    reply, _ = ask(panels, monkeypatch, op="contributions", side="decoder")
    assert reply["measured"] is True
    chart = view._charts["features"]
    assert view.children == (panels, chart.legend, chart.figure, chart.words)
    assert list(chart.lengths) == ["stream", "attention", "cross", "feed_forward"]
    found = contributions(panels.trace, "decoder")
    torch.testing.assert_close(panels.contributions.attention, found.attention)
    for name in ("attention", "cross", "feed_forward"):
        own = getattr(found, name).numpy()
        np.testing.assert_allclose(chart.lengths[name][1:], own)
        np.testing.assert_allclose(chart._medians[name].y, np.median(own, 1), rtol=1e-6)
        np.testing.assert_allclose(chart._bands[name].y, np.percentile(own, BAND, axis=1), rtol=1e-6)
        assert chart._medians[name].x.tolist() == [1, 2]
    norms = panels.trace.hidden("decoder").norm(dim=-1)
    np.testing.assert_allclose(chart._medians["stream"].y, np.median(norms, 1), rtol=1e-6)
    assert "Every block adds just these parts" in chart.words.value
    panels.tab = "neurons"
    assert view.children == (panels,)
    panels.tab = "features"
    assert view.children[2] is chart.figure


def test_the_chart_follows_the_layer_the_side_and_the_pinned_token_and_leads_the_layer() -> None:
    panels = shown(stage="encoder", hidden_layer=1)
    chart = Norms(panels)
    assert list(chart.lengths) == ["stream"]
    assert chart._rule.x.tolist() == [1, 1]
    assert not chart._own["stream"].visible
    panels.hidden_layer = 2
    assert chart._rule.x.tolist() == [2, 2]
    panels.pinned = {"query": 3, "key": None}
    np.testing.assert_allclose(chart._own["stream"].y, panels.features.norms[:, 3])
    assert chart._own["stream"].visible
    # In the encoder's own attention a key is a token of it, too.
    panels.pinned = {"query": None, "key": 5}
    np.testing.assert_allclose(chart._own["stream"].y, panels.features.norms[:, 5])
    chart._points.selected = np.array([0])
    assert panels.hidden_layer == 0
    panels.stage = "cross"
    assert chart.lengths["stream"].shape == panels.trace.hidden("decoder").shape[:2]
    assert not chart._own["stream"].visible
    panels.hidden_layer = 2
    chart.close()
    panels.hidden_layer = 1
    assert chart._rule.x.tolist() == [2, 2]


def test_a_scale_is_logarithmic_where_lengths_differ_much() -> None:
    rows = torch.ones(3, 4, 8)
    rows[:, 0] *= 1000
    panels = LayersPanels(of(rows))
    chart = Norms(panels)
    assert chart._up.label == "length"
    before = chart._up
    panels.pinned = {"query": 0, "key": None}
    assert chart._up.label == "length, logarithmic"
    assert all(line.scales["y"] is chart._y for line in chart._medians.values())
    # In a page the numbers of an axis do not follow a scale that is exchanged: it is another axis.
    assert chart._up is not before
    assert chart.figure.axes == [chart._across, chart._up]
    assert chart._up.scale is chart._y
    panels.pinned = {"query": 1, "key": None}
    assert chart._up.label == "length"


def test_the_legend_names_what_is_drawn_and_the_pinned_token_as_text() -> None:
    panels = shown(stage="decoder")
    chart = Norms(panels)
    legend = chart.legend.value
    assert "the residual stream" in legend
    assert "attention adds" not in legend  # not measured
    count = len(panels.trace.tokens["decoder"].text)
    assert f"median of {count} tokens" in legend
    assert panels.contributions is not None
    for name in ("attention adds", "cross attention adds", "the feed-forward layer adds"):
        assert name in chart.legend.value
    panels.pinned = {"query": 0, "key": None}  # "<s>"
    assert "the pinned token (0 &lt;s&gt;)" in chart.legend.value
    panels.pinned = {"query": None, "key": None}
    assert "&lt;s&gt;" not in chart.legend.value


def test_a_trace_without_its_model_has_norms_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    panels = shown()
    monkeypatch.setattr(panels.trace, "reading", None)
    reply, _ = ask(panels, monkeypatch, op="contributions", side="encoder")
    assert reply["measured"] is False
    chart = Norms(panels)
    assert list(chart.lengths) == ["stream"]
    assert "needs the model, which this trace is without" in chart.words.value


def test_parts_that_do_not_add_up_and_notes_are_said_and_nothing_of_them_is_html(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    panels = shown()
    found = contributions(panels.trace, "encoder")
    object.__setattr__(found, "adds_up", (True, False))
    object.__setattr__(found, "notes", ("attention of layer 0: <b>no</b> weight",))
    monkeypatch.setattr("jtviz.views.layer_panels.features.contributions", lambda *_: found)
    assert panels.contributions is found
    words = Norms(panels).words.value
    assert "Block 1 does not add just these parts" in words
    assert "<br>Attention of layer 0: &lt;b&gt;no&lt;/b&gt; weight.</div>" in words


def test_a_closed_view_leaves_no_widget_of_its_chart_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = jtviz.demo.translator().trace(TEXT)
    LayersPanels(trace).close()  # the Selection stays, with the trace
    before = set(ipywidgets.widgets.widget._instances)
    view = LayersView(LayersPanels(trace))
    ask(view.panels, monkeypatch, op="contributions", side="encoder")
    view.panels.pinned = {"query": 3, "key": None}
    assert len(view.children) == 4
    view.close()
    assert set(ipywidgets.widgets.widget._instances) - before == set()
