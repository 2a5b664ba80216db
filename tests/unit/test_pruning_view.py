"""`jtviz.show_pruning` without a browser: what is sent, what is undone, and what is refused."""

from __future__ import annotations

import base64
import gc
import json
import re
import weakref
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import traitlets
import transformers

import jtviz
from jtviz.analysis.ablation import Ablating, pieces
from jtviz.capture import JtvizError, OutOfRangeError, Trace
from jtviz.capture.intervention.ablation import Mask
from jtviz.demo import embedded
from jtviz.views import AttentionView, PruningView
from jtviz.views.figures.colour import THEMES, hex_of, ramp, shade
from jtviz.views.outcomes import pattern_of
from jtviz.views.selection import selection_of

SENTENCE = "Where is the nearest station?"
NOTE = "Man, 60. Has crushing chest pain."
CROSS: Any = {("cross", 0): None, ("cross", 1): None}


def without_cross() -> Any:
    """Return a translator whose cross attention adds its bias alone: zeroed by hand."""
    model, tokenizer = embedded.open_translator(embedded.FOLDER / "translator")
    transformer: Any = model.transformer
    with torch.no_grad():
        for layer in transformer.decoder.layers:
            layer.multihead_attn.out_proj.weight.zero_()
    return jtviz.hook(model, tokenizer)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return jtviz.demo.translator().trace(SENTENCE)


@pytest.fixture
def view(trace: Trace) -> PruningView:
    return PruningView(trace)


def test_what_is_said_is_what_the_model_says_without_the_heads(trace: Trace, view: PruningView) -> None:
    view.switch_off(CROSS)
    other = without_cross()
    sent = view.outcome
    assert sent["intact"]["text"] == jtviz.demo.translator().generate(SENTENCE)
    assert sent["pruned"]["text"] == other.generate(SENTENCE) != sent["intact"]["text"]
    wanted = other.trace(SENTENCE, target_text=sent["intact"]["text"]).logits
    assert trace.logits is not None
    assert wanted is not None
    kl = F.kl_div(wanted.log_softmax(-1), trace.logits.softmax(-1), reduction="none").sum(-1)
    assert sent["kl"] == pytest.approx(float(kl.mean()), abs=1e-4)
    assert [value for _, value in sent["rows"]] == pytest.approx(kl.tolist(), abs=1e-4)
    assert [name for name, _ in sent["rows"]] == list(trace.predicts or ())
    ids = torch.tensor((trace.reading.prepared.following_ids if trace.reading else None) or ())
    chance = wanted.log_softmax(-1).gather(1, ids[:, None]).mean().exp()
    assert sent["pruned"]["value"] == pytest.approx(float(chance), rel=1e-3)
    assert "".join(text for _, text in sent["pruned"]["pieces"]) == sent["pruned"]["text"]
    assert {kind for kind, _ in sent["pruned"]["pieces"]} <= {"same", "new"}


def test_the_attention_that_moved_is_measured_against_the_models_own(trace: Trace, view: PruningView) -> None:
    view.switch_off({("encoder", 0): None})
    model, tokenizer = embedded.open_translator(embedded.FOLDER / "translator")
    transformer: Any = model.transformer
    with torch.no_grad():
        transformer.encoder.layers[0].self_attn.out_proj.weight.zero_()
    other = jtviz.hook(model, tokenizer).trace(SENTENCE, target_text=view.effect.intact.text)
    for stage, layer, head, distance in view.outcome["moved"]:
        p, q = (t.attention(stage, layer=layer, head=head) for t in (trace, other))
        assert distance == pytest.approx(float((p - q).abs().sum(-1).mean()) / 2, abs=1e-4)
        assert (stage, layer) != ("encoder", 0)
    far = [one[3] for one in view.outcome["moved"]]
    assert far == sorted(far, reverse=True)
    stage, layer, head, _ = view.outcome["moved"][0]
    said, data = pattern_of(trace, view.effect.trace, stage, layer, head)
    pair = np.frombuffer(data, np.uint8).reshape(said["shape"]) / 255 * said["max"]
    np.testing.assert_allclose(pair[0], trace.attention(stage, layer=layer, head=head), atol=0.003)
    np.testing.assert_allclose(pair[1], other.attention(stage, layer=layer, head=head), atol=0.003)


def test_steps_are_taken_back_and_again(view: PruningView) -> None:
    intact = view.outcome["pruned"]
    view.switch_off({("encoder", 0): [1]})
    one = view.outcome["pruned"]
    view.switch_off({("cross", 1): [0, 2]}, {("decoder", 0): [7]})
    assert view.off == Mask((("encoder", 0, 1), ("cross", 1, 0), ("cross", 1, 2)), (("decoder", 0, 7),))
    view.undo()
    assert view.outcome["pruned"] == one
    view.undo()
    assert view.outcome["pruned"] == intact
    view.undo()
    assert (len(view.off), view.at) == (0, 0)
    view.redo()
    view.redo()
    view.redo()
    assert len(view.off) == 4
    view.switch_on({("cross", 1): [0]})
    assert len(view.off) == 3
    view.undo()
    view.reset()
    assert len(view.off) == 0
    assert len(view.history) == 4  # what had been taken back is gone


def test_what_the_browser_chooses_is_computed_and_said(view: PruningView) -> None:
    state = {"heads": [["cross", 1, 3]], "units": []}
    view.set_state({"history": [*view.history, state], "at": 1})
    assert view.outcome["state"] == state
    assert view.effect.mask == Mask((("cross", 1, 3),))
    view.set_state({"ablation": "mean"})
    assert view.outcome["ablation"] == "mean"
    assert view.busy == view.problem == ""


def test_a_head_that_is_not_there_changes_nothing(view: PruningView) -> None:
    with pytest.raises(OutOfRangeError, match="head 4 is not there"):
        view.switch_off({("cross", 1): [4]})
    with pytest.raises(traitlets.TraitError, match="there is no attention layer of stage 'middle'"):
        view.history = [{"heads": [["middle", 0, 0]], "units": []}]
    with pytest.raises(traitlets.TraitError, match="There is no step 3"):
        view.at = 3
    assert view.history == [{"heads": [], "units": []}]


def test_a_history_may_be_set_that_is_shorter_than_it_was(view: PruningView) -> None:
    for head in range(3):
        view.switch_off({("encoder", 0): [head]})
    view.history = [{"heads": [["encoder", 1, 0]], "units": []}]
    view.switch_off({("encoder", 1): [1]})
    assert (view.at, view.off) == (1, Mask((("encoder", 1, 0), ("encoder", 1, 1))))


@pytest.mark.parametrize(
    "junk", [{"x": 1}, {"heads": 5}, {"heads": [["encoder", 0]]}, {"units": [[["x"], 0, 1]]}]
)
def test_a_history_of_anything_else_is_answered_with_what_it_should_be(view: PruningView, junk: Any) -> None:
    with pytest.raises(traitlets.TraitError, match="what is off is said by stage, layer and number"):
        view.history = [junk]
    view._on_message(view, {"op": ["units"]}, [])


def test_a_closed_view_is_let_go_with_its_trace() -> None:
    trace = jtviz.demo.classifier().trace("Man, 61. Has a cough.")
    before = {*ipywidgets.widgets.widget._instances}
    selection_of(trace)
    view = PruningView(trace, heads={("encoder", 0): [1]})
    left: list[weakref.ref[Any]] = [weakref.ref(view), weakref.ref(view.effect.trace)]
    view.close()
    del view
    gc.collect()
    assert [one() for one in left] == [None, None]
    kept = {*ipywidgets.widgets.widget._instances} - before
    assert {type(ipywidgets.widgets.widget._instances[name]).__name__ for name in kept} <= {
        "Selection",
        "Layout",
    }


def bert(**settings: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=60,
            initializer_range=0.5, **settings,
        )  # fmt: skip
        model: Any = transformers.BertForSequenceClassification(config)
        return model.eval()


def zeroed(model: Any, inputs: dict[str, Any]) -> Any:
    """Return the logits without two heads of the first layer, by hand."""
    with torch.no_grad():
        whole = model(**inputs).logits[0]
        model.bert.encoder.layer[0].attention.output.dense.weight[:, :16] = 0
        return whole, model(**inputs).logits[0]


def test_labels_that_do_not_exclude_each_other_have_a_probability_each() -> None:
    model = bert(num_labels=3, problem_type="multi_label_classification")
    inputs = {"input_ids": torch.tensor([[5, 6, 7, 8]])}
    view = jtviz.show_pruning(model, inputs=inputs, target=1, heads={("encoder", 0): [0, 1]})
    effect, gradients = view.effect, view._ablating.by_gradient()
    assert np.abs(gradients["encoder"]).max() > 1e-3
    whole, other = zeroed(model, inputs)
    assert dict(effect.intact.top) == pytest.approx(
        {f"LABEL_{i}": float(x) for i, x in enumerate(whole.sigmoid())}, abs=1e-5
    )
    assert effect.ablated.value == pytest.approx(float(other[1].sigmoid()), abs=1e-5)
    one, two = (torch.distributions.Bernoulli(logits=x.double()) for x in (whole, other))
    wanted = float(torch.distributions.kl_divergence(one, two).sum())
    assert effect.kl == pytest.approx(wanted, rel=1e-3)


def test_a_number_that_is_predicted_is_no_probability() -> None:
    model = bert(num_labels=1, problem_type="regression")
    inputs = {"input_ids": torch.tensor([[5, 6, 7, 8]])}
    view = jtviz.show_pruning(model, inputs=inputs, heads={("encoder", 0): [0, 1]}, colouring="effect")
    view.interactions()
    assert view.outcome["score_words"] == "number of LABEL_0"
    assert view.outcome["kl"] is None
    assert "KL" not in repr(view)
    assert "difference of the number" in view.scores_words
    assert "nats" not in view.interaction["words"]
    whole, other = zeroed(model, inputs)
    assert view.effect.intact.value == pytest.approx(float(whole), abs=1e-5)
    assert view.effect.ablated.value == pytest.approx(float(other), abs=1e-5)
    assert view.interaction["joint"] == pytest.approx(float((whole - other).abs()), abs=1e-4)


def test_colours_are_what_each_head_changes_alone(trace: Trace) -> None:
    view = PruningView(trace, colouring="effect")
    for stage, layer, head in (("encoder", 1, 3), ("decoder", 0, 0), ("cross", 0, 2)):
        alone = PruningView(trace, heads={(stage, layer): [head]}, colouring="none").effect.kl
        assert view.scores[stage][layer][head] == pytest.approx(alone, abs=1e-5)


def test_gradients_are_differences_of_the_log_probability(trace: Trace) -> None:
    ablating = Ablating(trace)
    found = ablating.by_gradient()

    def log_probability(step: float, stage: str, layer: int, head: int) -> float:
        from jtviz.capture.intervention.edits import Edit
        from jtviz.capture.intervention.intervention import Intervention

        place = ablating.places.head(stage, layer)
        keep = torch.ones(4, dtype=torch.double)
        keep[head] += step
        with ablating.opened(Mask()) as twin, Intervention(twin, ablating.places, {place: Edit(keep)}):
            return float(ablating._followed(twin.double()))

    for at in (("cross", 1, 1), ("decoder", 1, 0), ("encoder", 1, 2)):
        wanted = (log_probability(1e-3, *at) - log_probability(-1e-3, *at)) / 2e-3
        assert found[at[0]][at[1:]] == pytest.approx(wanted, rel=0.01, abs=1e-6)


def test_units_come_with_what_they_add_strongest_first(view: PruningView) -> None:
    sent: list[Any] = []
    view.send = lambda message, buffers=None: sent.append((message, buffers))
    view._on_message(view, {"op": "units", "id": "a", "side": "encoder", "layer": 1}, [])
    ((reply, _),) = sent
    assert reply["ok"]
    assert reply["total"] == len(reply["units"]) == 512
    sizes = [abs(value) for _, value in reply["units"]]
    assert sizes == sorted(sizes, reverse=True)
    view._on_message(view, {"op": "units", "id": "b", "side": "encoder", "layer": 9}, [])
    assert "layer 9 of the encoder has no feed-forward here" in sent[1][0]["error"]
    view._on_message(view, {"op": "ping", "id": "c"}, [])
    assert sent[2][0] == {"op": "pong", "id": "c"}


def test_two_induction_heads_back_each_other_up() -> None:
    view = jtviz.show_pruning(jtviz.demo.induction(), "k7Qm2xRtWz k7Qm2xRtWz k7Q")
    view.switch_off({("decoder", 1): None})
    found = view.interactions()
    by_hand = [view._ablating.alone(part.mask) for part in found.parts]
    assert found.alone == pytest.approx(by_hand)
    assert found.joint == pytest.approx(view.effect.kl, abs=1e-5)
    assert found.joint > 10 * sum(found.alone)
    assert "they back each other up" in view.interaction["words"]
    pair = found.pairs[0, 1]
    assert found.interaction(1, 0) == pytest.approx(pair - found.alone[0] - found.alone[1])


def test_interactions_need_two_parts(view: PruningView) -> None:
    view.switch_off({("cross", 0): [0]})
    with pytest.raises(JtvizError, match="at least two"):
        view.interactions()
    view._on_message(view, {"op": "interact"}, [])
    assert "at least two" in view.problem


def test_the_explanation_is_taken_again() -> None:
    view = jtviz.show_pruning(jtviz.demo.classifier(), NOTE, target="urgent", heads={("encoder", 1): [0, 1]})
    found = view.explain_again("saliency_l2")
    model, tokenizer = embedded.open_classifier(embedded.FOLDER / "classifier/honest")
    encoder: Any = model.encoder
    with torch.no_grad():
        encoder.layers[1].self_attn.out_proj.weight[:, :32] = 0
    wanted = jtviz.explain(
        jtviz.hook(model, tokenizer), NOTE, target="urgent", method="saliency_l2", trust=False
    )
    np.testing.assert_allclose(found.ablated.scores["encoder"], wanted.parts[0].scores["encoder"], atol=1e-5)
    (side,) = view.explained["sides"]
    assert side[0] == "encoder"
    assert side[2] == pytest.approx(found.intact.scores["encoder"].tolist())


def test_a_classifier_is_asked_for_its_class_and_a_decoder_for_what_comes_next() -> None:
    view = jtviz.show_pruning(jtviz.demo.classifier(), NOTE)
    chances = jtviz.demo.classifier().classify(NOTE)
    assert view.outcome["kind"] == "classes"
    assert dict(view.outcome["intact"]["top"]) == pytest.approx(chances, abs=1e-6)
    last = jtviz.show_pruning(jtviz.demo.induction(), "abcdeabcd")
    assert last.outcome["kind"] == "next"
    assert last.outcome["intact"]["top"][0][0] == "e"
    written = jtviz.show_pruning(jtviz.demo.induction(), "abcdeabcd", generate=3)
    assert written.outcome["intact"]["text"] == "eab"


def test_a_model_without_logits_is_compared_by_its_last_state() -> None:
    layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    model = torch.nn.TransformerEncoder(layer, 2).eval()
    view = jtviz.show_pruning(model, inputs={"src": torch.randn(1, 4, 8)})
    assert view.outcome["intact"]["value"] == pytest.approx(1, abs=1e-5)
    view.switch_off({("encoder", 0): None})
    assert view.outcome["pruned"]["value"] < 0.999
    assert [name for name, *_ in view.colourings] == ["effect", "none"]
    assert "cosine" in view.scores_words
    assert view.outcome["kl"] is None


def test_the_readers_model_is_never_touched(trace: Trace) -> None:
    model = jtviz.demo.translator().model
    view = PruningView(trace, heads={("cross", 1): [0, 1]})
    view.interactions()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert jtviz.demo.translator().trace(SENTENCE) is trace


def test_a_table_has_a_row_for_each_head(view: PruningView) -> None:
    view.switch_off({("cross", 1): [0]})
    table = view.to_pandas()
    assert len(table) == 24
    assert table["off"].sum() == 1
    assert list(table.columns) == ["stage", "layer", "head", "off", view.colouring, "moved"]


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"mode": "median"}, JtvizError, "mode= is one of"),
        ({"head": {("cross", 1): [0]}}, TypeError, "did you mean 'heads'"),
        ({"colouring": "red"}, ValueError, "colouring is one of"),
        ({"heads": {("cross", 1): [7]}}, OutOfRangeError, "head 7 is not there"),
        ({"target": lambda output: output[0]}, JtvizError, "names a class, a token or a row"),
    ],
)
def test_bad_requests_get_one_clear_sentence(
    asked: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        jtviz.show_pruning(jtviz.demo.translator(), SENTENCE, **asked)


def test_a_trace_without_a_model_is_refused() -> None:
    trace = jtviz.from_arrays(np.full((1, 1, 2, 2), 0.5), ["a", "b"])
    with pytest.raises(JtvizError, match="has no model to ablate"):
        jtviz.show_pruning(trace)


def test_texts_are_cut_where_they_differ() -> None:
    assert pieces("the cat sat", "the dog sat") == (
        [("same", "the"), ("gone", " cat"), ("same", " sat")],
        [("same", "the"), ("new", " dog"), ("same", " sat")],
    )
    assert pieces("", "") == ([], [])


def test_a_saved_notebook_has_a_picture(view: PruningView) -> None:
    view.switch_off({("cross", 1): [0]})
    found: Any = view._repr_mimebundle_()
    bundle = found[0] if isinstance(found, tuple) else found
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert "cross 1.0" in repr(view)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_figure_shades_and_crosses_out_each_head(view: PruningView, tmp_path: Path, theme: str) -> None:
    view.switch_off({("cross", 1): [0], ("encoder", 0): [1, 2]})
    view.save(tmp_path / "heads.svg", theme=theme)
    root = ET.fromstring((tmp_path / "heads.svg").read_text(encoding="utf-8"))  # noqa: S314 - our own
    assert len([e for e in root.iter() if e.tag.endswith("path")]) == 3
    squares = [e.get("fill") for e in root.iter() if e.tag.endswith("rect") and e.get("rx") == "1.5"]
    assert len(squares) == 24
    colours = THEMES[theme]
    scores = np.concatenate([np.array(rows).ravel() for rows in view.scores.values()])
    strongest = int(np.argmax(np.where(np.isin(np.arange(24), [1, 2, 20]), 0, scores)))
    wanted = shade(ramp(colours.paper, None, dark=colours.dark), scores[strongest] / scores.max())
    assert squares[strongest] == hex_of(wanted)
    said = "".join(root.itertext())
    assert "KL divergence" in said
    assert view.effect.ablated.text in said
    with pytest.raises(JtvizError, match="svg"):
        view.save(tmp_path / "heads.pdf")


def test_the_attention_view_draws_the_pruned_model(trace: Trace) -> None:
    view = jtviz.show_attention(trace, stage="cross", layer=1, heads=[2])
    assert view.meta["can_prune"]
    intact = view.to_numpy()
    view.switch_off({("encoder", 0): None})
    np.testing.assert_array_equal(view.to_numpy(), intact)
    view.draws = "pruned"
    wanted = view.effect.trace.attention("cross", layer=1, head=2)
    np.testing.assert_allclose(view.to_numpy()[0], wanted, atol=1e-6)
    assert np.abs(view.to_numpy() - intact).max() > 0.01
    sent: list[Any] = []
    view.send = lambda message, buffers=None: sent.append((message, buffers))
    key = {"kind": "whole", "stage": "cross", "layer": 1, "weighting": "raw"}
    version = view.outcome["version"]
    keys = [key, {**key, "version": version}, {**key, "version": version + 1}]
    view._on_message(view, {"op": "tiles", "id": "a", "keys": keys}, [])
    reply, buffers = sent[0]
    both = [np.frombuffer(data, "<f4").reshape(4, *wanted.shape)[2] for data in buffers[:2]]
    np.testing.assert_allclose(both[0], intact[0], atol=1e-6)
    np.testing.assert_allclose(both[1], wanted, atol=1e-6)
    assert "changed since" in reply["tiles"][2]["error"]
    view.undo()
    np.testing.assert_array_equal(view.to_numpy(), intact)


def test_a_figure_of_pruned_attention_says_so(trace: Trace, tmp_path: Path) -> None:
    view = jtviz.show_attention(trace, stage="cross", layer=0, mode="matrix")
    view.switch_off({("encoder", 0): [1]})
    view.draws = "pruned"
    view.save(tmp_path / "x.svg")
    assert "switched off (zero ablation): heads off: encoder 0.1" in (tmp_path / "x.svg").read_text("utf-8")
    view.save(tmp_path / "x.html")
    weights = view.to_numpy()
    page = (tmp_path / "x.html").read_text("utf-8")
    state = json.loads(re.search(r'id="jtviz-state">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    key = '{"kind":"whole","stage":"cross","layer":0,"weighting":"raw"}'
    data = np.frombuffer(base64.b64decode(state["tiles"][key]["data"]), "<f4")
    np.testing.assert_allclose(data.reshape(4, *weights.shape[1:])[view.heads], weights, atol=1e-6)


def test_a_trace_without_a_model_is_drawn_without_the_panel() -> None:
    trace = jtviz.from_arrays(np.full((1, 1, 2, 2), 0.5), ["a", "b"])
    view = jtviz.show_attention(trace)
    assert not view.meta["can_prune"]
    with pytest.raises(JtvizError, match="has no model to ablate"):
        view.switch_off({("encoder", 0): [0]})


@pytest.mark.parametrize("kind", [PruningView, AttentionView])
def test_what_is_switched_off_while_another_cannot_be_computed_comes_next(
    trace: Trace, monkeypatch: pytest.MonkeyPatch, kind: type[PruningView | AttentionView]
) -> None:
    view, once = kind(trace), Ablating.effect

    def failing(self: Ablating, mask: Mask, mode: str = "zero") -> Any:
        if mask == Mask(heads=(("encoder", 0, 1),)):
            view.switch_off({("encoder", 0): [2]})  # as from another thread
            raise RuntimeError("mixed dtype")
        return once(self, mask, mode)

    monkeypatch.setattr(Ablating, "effect", failing)
    view.switch_off({("encoder", 0): [1]})
    assert len(view.off) == 2
    assert view._effect is not None
    assert view._effect.mask == view.off
    assert not (view.problem if isinstance(view, PruningView) else view.pruning_problem)
