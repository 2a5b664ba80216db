"""`jtviz.show_gradients` without a browser: what is sent, what is linked, and what is refused."""

from __future__ import annotations

import base64
import gc
import re
import weakref
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
import traitlets

import jtviz
from jtviz.analysis import attribute
from jtviz.analysis.attribution import METHODS, Session
from jtviz.analysis.trust import trust
from jtviz.capture import JtvizError, Trace
from jtviz.views import AttributionView, GradientsView, gradients
from jtviz.views.bars import Bars
from jtviz.views.figures.colour import hex_of, ramp, ramp_against, shade
from jtviz.views.selection import selection_of

NOTE = "Ward R7. Man, 60. Has crushing chest pain. No slurred speech."


@pytest.fixture
def note() -> Trace:
    trace = jtviz.demo.classifier().trace(NOTE)
    selection_of(trace).pinned = {"query": None, "key": None}
    return trace


def test_the_scores_sent_are_those_of_the_attribution(note: Trace) -> None:
    parts = [attribute(note, target=name) for name in ("urgent", "can wait")]
    view = AttributionView(note, parts)
    sent = np.frombuffer(view.scores, "<f4").reshape(2, -1)
    for row, part in zip(sent, parts, strict=True):
        np.testing.assert_array_equal(row, part.scores["encoder"])
    said = view.parts[0]
    assert note.logits is not None
    assert (said["name"], said["words"], said["baseline"]) == ("urgent", "logit of urgent", "pad")
    assert said["value"] == pytest.approx(float(note.logits[1]), abs=1e-6)
    assert said["probability"] == pytest.approx(float(note.logits.softmax(0)[1]), abs=1e-6)


def test_scores_by_layer_are_sent_layer_by_layer(note: Trace) -> None:
    part = attribute(note, "layer_conductance", target="urgent")
    view = AttributionView(note, [part])
    assert part.by_layer is not None
    rows = part.by_layer["encoder"]
    assert view.parts[0]["layers"] == [len(rows)] == [2]
    np.testing.assert_array_equal(np.frombuffer(view.scores, "<f4").reshape(rows.shape), rows)
    assert view.explained_layer == 0
    np.testing.assert_array_equal(part.scores["encoder"], rows[0])


def test_every_token_of_a_translation_is_explained_and_in_what_row() -> None:
    view = jtviz.show_gradients(jtviz.demo.translator(), "I like tea.", method="input_x_gradient")
    trace = view.strip.trace
    assert [part.score.target.name for part in view.attributions] == list(trace.predicts or ())
    assert [part["row"] for part in view.strip.parts] == list(range(len(trace.tokens["decoder"])))
    chances = [part["probability"] for part in view.strip.parts]
    np.testing.assert_allclose(chances, np.array(trace.chances, dtype=float), atol=1e-6)
    for row, part in enumerate(view.attributions):
        # What is written later cannot matter.
        assert not part.scores["decoder"][row + 1 :].any()


def test_the_loss_against_a_reference_translation_is_one_number() -> None:
    hooked = jtviz.demo.translator()
    view = jtviz.show_gradients(
        hooked, "I like tea.", target_text="我爱茶。", output="loss", method="input_x_gradient"
    )
    (part,) = view.attributions
    trace = hooked.trace("I like tea.", target_text="我爱茶。", output="loss")
    assert trace.target is not None
    assert part.score.value == pytest.approx(trace.target.value, abs=1e-6)


def test_why_this_rather_than_that_is_the_difference_of_both() -> None:
    hooked = jtviz.demo.translator()
    how: dict[str, Any] = {"method": "input_x_gradient"}
    both = jtviz.show_gradients(hooked, "I like tea.", target="茶", against="水", **how).attributions[0]
    row = both.score.target.row
    mine = jtviz.show_gradients(hooked, "I like tea.", target="茶", **how).attributions[0]
    other = jtviz.show_gradients(
        hooked, "I like tea.", target={"row": row, "token": "水"}, **how
    ).attributions[0]
    np.testing.assert_allclose(
        both.scores["encoder"], mine.scores["encoder"] - other.scores["encoder"], atol=1e-4
    )
    assert both.score.words == "logit of 茶 − logit of 水"


def test_several_outputs_together_are_the_attribution_of_their_sum() -> None:
    view = jtviz.show_gradients(jtviz.demo.translator(), "I like tea.", n_steps=20).strip
    view.span = [1, 3]
    trace = view.trace

    def both(output: torch.Tensor) -> torch.Tensor:
        ids = [part.score.target.index for part in view.attributions]
        return output[0, 1, ids[1]] + output[0, 2, ids[2]]

    expected = attribute(trace, target=both, n_steps=20, raise_steps=False, baseline="pad")
    for side, (_, scores) in view.rows().items():
        np.testing.assert_allclose(scores, expected.scores[side], atol=2e-5)
    shown = view.shown
    assert shown.score.value == pytest.approx(expected.score.value, abs=1e-5)
    assert shown.delta == pytest.approx(expected.delta, abs=1e-4)
    assert shown.score.words == "logit of 喜欢"
    (mark,) = Bars(view).figure.marks
    np.testing.assert_allclose(sorted(mark.y), sorted(np.concatenate([s for _, s in view.rows().values()])))


def test_what_has_no_sign_or_is_not_there_is_not_taken_together() -> None:
    view = jtviz.show_gradients(jtviz.demo.translator(), "I like tea.", method="saliency_l2").strip
    with pytest.raises(traitlets.TraitError, match="have no sign"):
        view.span = [0, 2]
    with pytest.raises(traitlets.TraitError, match="no span"):
        view.span = [2, 20]
    with pytest.raises(traitlets.TraitError, match="no part 20"):
        view.part = 20
    assert (view.span, view.part) == (None, 0)


def test_a_span_is_dropped_where_the_new_scores_have_no_sign() -> None:
    view = jtviz.show_gradients(jtviz.demo.translator(), "I like tea.", n_steps=5, check=False).strip
    view.span = [1, 3]
    view.method = "saliency_l1"
    assert (view.span, view.problem, view.method) == (None, "", "saliency_l1")
    assert view.shown.method.name == view.attributions[0].method.name == "saliency_l1"


def test_fewer_parts_are_shown_without_a_look_beyond_their_end() -> None:
    both = jtviz.show_gradients(jtviz.demo.translator(), "I like tea.", method="rollout", check=False)
    both.strip.part = 3
    both.strip.show(both.attributions[:1])
    assert (both.strip.part, len(both.strip.parts)) == (0, 1)


def test_whatever_goes_wrong_while_computing_is_said_and_taken_back(
    note: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = AttributionView(note, [attribute(note, target="urgent")])

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("mixed dtype")

    monkeypatch.setattr(Session, "attribute", broken)
    view.method = "rollout"
    assert (view.problem, view.method, view.busy) == ("mixed dtype", "integrated_gradients", "")


def test_what_is_chosen_while_another_is_computed_comes_next(
    note: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = AttributionView(note, [attribute(note, target="urgent")])
    once = Session.attribute

    def slow(self: Session, *args: Any, **kwargs: Any) -> Any:
        found = once(self, *args, **kwargs)
        if found.method.name == "saliency_l2":
            view.method = "rollout"  # as from another thread
        return found

    monkeypatch.setattr(Session, "attribute", slow)
    view.method = "saliency_l2"
    assert view.method == view.attributions[0].method.name == "rollout"


def test_what_is_chosen_while_another_cannot_be_computed_comes_next(
    note: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = AttributionView(note, [attribute(note, target="urgent")])
    once = Session.attribute

    def failing(self: Session, *args: Any, **kwargs: Any) -> Any:
        if view.method == "saliency_l2":
            view.method = "rollout"  # as from another thread
            raise RuntimeError("mixed dtype")
        return once(self, *args, **kwargs)

    monkeypatch.setattr(Session, "attribute", failing)
    view.method = "saliency_l2"
    assert view.method == view.attributions[0].method.name == "rollout"
    assert not view.problem


def test_a_view_that_was_checked_is_checked_again_by_the_units_and_memory_it_was_made_with(
    note: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def spied(*args: Any, **how: Any) -> Any:
        asked.append(how)
        return trust(*args, **how)

    monkeypatch.setattr("jtviz.views.attribution.trust", spied)
    view = jtviz.show_gradients(note, target="urgent", unit="word", memory=1 << 22).strip
    view.method = "input_x_gradient"
    assert [(how["unit"], how["memory"]) for how in asked] == [("word", 1 << 22)] * 2
    assert [*view.trusted] == ["0"]
    assert view.trusts[0].attribution is view.attributions[0]


def test_the_output_that_is_shown_is_checked_and_others_when_they_are() -> None:
    view = jtviz.show_gradients(jtviz.demo.translator(), "I like tea.", method="input_x_gradient").strip
    assert [*view.trusted] == ["0"]
    view.part = 2
    assert [*view.trusted] == ["0", "2"]


def test_nothing_of_a_closed_view_is_left(note: Trace) -> None:
    selection_of(note)
    before = {*ipywidgets.widgets.widget._instances}
    view = jtviz.show_gradients(note, target="urgent")
    view.strip.method = "rollout"
    left = weakref.ref(view)
    view.close()
    assert {*ipywidgets.widgets.widget._instances} == before
    del view
    gc.collect()
    assert left() is None


def test_views_of_one_text_share_a_selection_whatever_is_differentiated() -> None:
    hooked = jtviz.demo.translator()
    attention = jtviz.show_attention(hooked, "I like tea.", target="茶")
    plain = jtviz.show_attention(hooked, "I like tea.")
    strip = jtviz.show_gradients(hooked, "I like tea.", target="茶", method="rollout").strip
    assert attention.selection is plain.selection is strip.selection
    strip.pinned = {"query": None, "key": 2}
    assert attention.pinned == plain.pinned == {"query": None, "key": 2}
    strip.pinned = {"query": None, "key": None}


def test_another_method_and_baseline_are_computed_when_chosen(note: Trace) -> None:
    view = AttributionView(note, [attribute(note, target="urgent")])
    view.method = "input_x_gradient"
    expected = attribute(note, "input_x_gradient", target="urgent")
    np.testing.assert_array_equal(view.attributions[0].scores["encoder"], expected.scores["encoder"])
    view.method = "integrated_gradients"
    view.baseline = "zero"
    expected = attribute(note, target="urgent", baseline="zero")
    np.testing.assert_allclose(view.attributions[0].scores["encoder"], expected.scores["encoder"], atol=1e-6)
    assert (view.busy, view.problem) == ("", "")


def test_what_cannot_be_computed_is_said_and_what_is_shown_stays(note: Trace) -> None:
    view = AttributionView(note, [attribute(note, target="urgent")])
    before = view.scores
    view.baseline = "mask"
    assert "no mask token" in view.problem
    assert view.scores == before
    assert (view.baseline, view.busy) == ("pad", "")
    view.baseline = "zero"
    assert view.problem == ""


def test_the_baselines_offered_are_those_that_the_model_has(note: Trace) -> None:
    assert AttributionView(note, [attribute(note, "rollout")]).meta["baselines"] == ["pad", "zero", "mean"]


def test_bars_follow_part_unit_and_pins_both_ways(note: Trace) -> None:
    view = AttributionView(note, [attribute(note, target=name) for name in ("urgent", "can wait")])
    bars = Bars(view)
    (mark,) = bars.figure.marks
    np.testing.assert_allclose(mark.y, view.attributions[0].scores["encoder"], rtol=1e-6)
    assert len(set(mark.x)) == len(note.tokens["encoder"])  # repeated tokens stay apart
    view.part = 1
    np.testing.assert_allclose(mark.y, view.attributions[1].scores["encoder"], rtol=1e-6)
    view.unit = "word"
    np.testing.assert_allclose(mark.y, view.attributions[1].by_word()["encoder"][1], rtol=1e-6)
    view.unit = "token"
    mark.selected = np.array([5])
    assert view.pinned == {"query": None, "key": 5}
    view.pinned = {"query": None, "key": 7}
    assert mark.selected.tolist() == [7]
    view.pinned = {"query": None, "key": None}
    assert mark.selected is None


def test_of_a_long_text_the_strongest_bars_are_drawn_and_that_is_said() -> None:
    view = jtviz.show_gradients(
        jtviz.demo.induction(), "abcdefghijklmnopqrstuvwxyz" * 2, method="saliency_l2"
    )
    (mark,) = view.chart.marks
    scores = view.attributions[0].scores["decoder"]
    assert sorted(mark.y.tolist()) == pytest.approx(sorted(np.sort(scores)[-40:].tolist()), rel=1e-6)
    assert "the strongest 40 of 52" in view.chart.axes[1].label


def test_what_takes_long_is_shown_coarse_first_then_refined(
    note: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int | None] = []

    def show_now(self: GradientsView) -> None:
        shown.append(self.attributions[0].n_steps)

    monkeypatch.setattr(gradients, "SHOWN_FROM", 0.0)
    monkeypatch.setattr(gradients, "_in_notebook", lambda: True)
    monkeypatch.setattr(GradientsView, "show_now", show_now)
    view = jtviz.show_gradients(note, target="urgent")
    assert (shown, view.attributions[0].n_steps) == ([10], 50)
    assert (view.strip.busy, view.strip.problem) == ("", "")


def test_an_interruption_leaves_the_coarse_picture_and_says_so(
    note: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[GradientsView] = []
    monkeypatch.setattr(gradients, "SHOWN_FROM", 0.0)
    monkeypatch.setattr(gradients, "_in_notebook", lambda: True)

    def keep(self: GradientsView) -> None:
        made.append(self)

    monkeypatch.setattr(GradientsView, "show_now", keep)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    once = Session.attribute
    calls: list[int] = []

    def second_fails(self: Session, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return once(self, *args, **kwargs) if len(calls) == 1 else interrupted()

    monkeypatch.setattr(Session, "attribute", second_fails)
    flags = [p.requires_grad for p in jtviz.demo.classifier().model.parameters()]
    with pytest.raises(KeyboardInterrupt):
        jtviz.show_gradients(note, target="urgent")
    strip = made[0].strip
    assert strip.problem.startswith("stopped")
    assert strip.attributions[0].n_steps == 10
    assert [p.requires_grad for p in jtviz.demo.classifier().model.parameters()] == flags


@pytest.mark.parametrize("mode", ["text", "matrix"])
def test_a_figure_has_every_token_its_colour_and_says_what_it_is(mode: str, tmp_path: Path) -> None:
    view = jtviz.show_gradients(jtviz.demo.translator(), "I like tea.", n_steps=20)
    strip = view.strip
    strip.mode, strip.part = mode, 3
    view.save(tmp_path / "x.svg")
    root = ET.fromstring((tmp_path / "x.svg").read_text(encoding="utf-8"))  # noqa: S314 - our own
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    for tokens in strip.trace.tokens.values():
        assert {*tokens.text} <= {*texts}
    said = root.find("{http://www.w3.org/2000/svg}desc")
    assert said is not None
    assert said.text is not None
    assert "integrated gradients against pad, 20 points" in said.text
    fills = [node.get("fill") for node in root.iter("{http://www.w3.org/2000/svg}rect")]
    scores = strip.rows(3)["encoder"][1] if mode == "text" else None
    if scores is not None:
        full = max(np.abs(rows).max() for _, rows in strip.rows(3).values())
        for score in scores:
            colours = (ramp_against if score < 0 else ramp)((255, 255, 255), None, dark=False)
            assert hex_of(shade(colours, abs(score) / full)) in fills
    else:
        assert len(fills) == 2 + len(view.attributions) * sum(map(len, strip.trace.tokens.values()))


def test_a_notebook_without_widgets_has_a_picture(note: Trace) -> None:
    view = AttributionView(note, [attribute(note, "rollout")])
    data = view._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")


def test_only_figures_can_be_saved(note: Trace, tmp_path: Path) -> None:
    view = AttributionView(note, [attribute(note, "rollout")])
    with pytest.raises(JtvizError, match=r"saved as \.svg, \.png, not as"):
        view.save(tmp_path / "x.pdf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"method": "integrated_gradient"}, "did you mean 'integrated_gradients'?"),
        ({"baseline": "mask"}, "no mask token"),
        ({"baseline": "Man."}, "a baseline text needs as many"),
        ({"target": "angry"}, "class 'angry' is not there"),
        ({"output": "odds"}, "output= is one of"),
        ({"n_steps": 0}, "n_steps= is a number, at least 1"),
        ({"unit": "letter"}, "unit= is one of 'token', 'word', 'sentence'"),
    ],
)
def test_bad_requests_get_one_sentence(note: Trace, how: dict[str, Any], says: str) -> None:
    with pytest.raises((JtvizError, ValueError), match=re.escape(says)):
        jtviz.show_gradients(note, **how)


def test_an_unknown_keyword_is_named_with_its_neighbour(note: Trace) -> None:
    with pytest.raises(TypeError, match="did you mean 'baseline'"):
        jtviz.show_gradients(note, basline="zero")


def test_a_trace_without_its_model_is_refused() -> None:
    trace = jtviz.from_arrays(torch.rand(1, 2, 3, 3).softmax(-1))
    with pytest.raises(JtvizError, match="has no model to attribute with"):
        jtviz.show_gradients(trace)


@pytest.mark.parametrize("method", [*METHODS])
def test_every_method_can_be_shown(note: Trace, method: str) -> None:
    view = jtviz.show_gradients(note, target="urgent", method=method, progress=False)
    scores = np.frombuffer(view.strip.scores, "<f4")
    assert np.isfinite(scores).all()
    assert scores.any()


def test_methods_that_do_no_better_than_random_are_marked(note: Trace) -> None:
    view = jtviz.show_gradients(note, target="urgent", output="log_prob", check=False).strip
    found = view.check(compare=True)
    (table,) = (one for one in view.trusted["0"]["tables"] if one["title"].startswith("What is lost"))
    marks = {row[0][2:]: row[0][0] for row in table["rows"]}
    assert set(marks) == {METHODS[name].label for name in found.by_method}
    for name, faith in found.by_method.items():
        assert marks[METHODS[name].label] == ("✓" if faith.beats_random else "⚠")
    assert marks["integrated gradients"] == "✓"
    assert "⚠" in marks.values()
    lost = [row[1] for row in table["rows"]]
    assert lost == sorted(lost, reverse=True)
