"""The tab of direct logits: what is sent sums to the logit, and what is asked for is what is explained.

The references: the logits that the model itself returned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
import transformers

import jtviz
from jtviz.analysis import direct_logit_attribution
from jtviz.analysis.layers.waterfall import unit_waterfall, waterfall
from jtviz.capture import JtvizError, OutOfRangeError, Trace, forward, hook
from jtviz.views import LayersPanels
from jtviz.views.layer_panels import direct
from jtviz.views.selection import selection_of
from tests.zoo.families import FAMILIES

TEXT = "I like to drink tea."
NOTE = "Man, 60. Has crushing chest pain."


class Page:
    """A page that asks, and remembers what it was answered."""

    def __init__(self, panels: LayersPanels) -> None:
        self.panels = panels
        self.heard: list[dict[str, Any]] = []
        panels.send = lambda content, *_: self.heard.append(content)

    def ask(self, op: str = "direct", **question: Any) -> dict[str, Any]:
        asked = {"row": None, "answer": None, "against": None, "by": "layer", "whole": False} | question
        self.panels._on_message(None, {"op": op, "id": "1", **asked}, [])
        assert json.dumps(self.heard[-1], allow_nan=False)
        return self.heard[-1]


@pytest.fixture(scope="module")
def trace() -> Trace:
    return jtviz.demo.translator().trace(TEXT)


@pytest.fixture
def panels(trace: Trace) -> Iterator[LayersPanels]:
    selection_of(trace).set_trait("pinned", {})
    selection_of(trace).set_trait("stage", "decoder")
    yield LayersPanels(trace, tab="direct")
    selection_of(trace).set_trait("pinned", {})


@pytest.mark.parametrize("by", ["layer", "head"])
@pytest.mark.parametrize("most", [None, 24, 5, 1])
def test_bars_stand_on_each_other_and_sum_to_the_logit_however_they_are_grouped(
    trace: Trace, by: str, most: int | None
) -> None:
    assert trace.logits is not None
    found = direct_logit_attribution(trace, "茶")
    bars = waterfall(found, by, most)
    assert bars[0].start == 0
    for one, other in pairwise(bars):
        assert other.start == pytest.approx(one.end, abs=1e-9)
    wanted = float(trace.logits[found.target.row, found.target.index])
    assert bars[-1].end == pytest.approx(wanted, abs=1e-4)
    assert bars[-1].end + found.rest == pytest.approx(found.value, abs=1e-9)
    # An embedding, sixteen heads of two stages, two feed-forward layers, and the biases.
    if by == "head":
        assert sum(bar.count for bar in bars) == 1 + 16 + 2 + 1
    assert len({bar.name for bar in bars}) == len(bars)


def test_of_many_bars_the_strongest_keep_their_order_and_the_others_are_one(trace: Trace) -> None:
    found = direct_logit_attribution(trace, "茶")
    every = waterfall(found, "head", None)
    some = waterfall(found, "head", 5)
    assert [bar.kind for bar in some[-2:]] == ["others", "bias"]
    strongest = sorted(every[:-1], key=lambda bar: -abs(bar.value))[:5]
    names = [bar.name for bar in some[:-2]]
    assert names == [bar.name for bar in every if bar in strongest]
    rest = [bar.value for bar in every[:-1] if bar.name not in names]
    assert some[-2].count == len(rest)
    assert some[-2].value == pytest.approx(sum(rest))


def test_embeddings_are_named_without_what_all_of_their_paths_begin_with() -> None:
    config = transformers.BertConfig(**FAMILIES["BERT"].settings)
    model: Any = transformers.BertForMaskedLM(config)
    trace = hook(model.eval()).trace(inputs=FAMILIES["BERT"].inputs(1, "none"))
    found = direct_logit_attribution(trace, {"row": 1, "token": 3})
    assert all(name.startswith("bert.embeddings.") for name in found.embeddings)
    names = {bar.name for bar in waterfall(found) if bar.kind == "embedding"}
    assert names == {f"embedding · {of}_embeddings" for of in ("word", "position", "token_type")}


def test_the_heads_of_a_layer_together_are_the_sum_of_each(trace: Trace) -> None:
    found = direct_logit_attribution(trace, "茶")
    for bar in waterfall(found, "layer"):
        if bar.kind == "heads":
            own = [v for (stage, at, _), v in found.heads.items() if (stage, at) == (bar.stage, bar.layer)]
            assert bar.count == len(own) == 4
            assert bar.value == pytest.approx(sum(own))


def test_units_sum_to_their_layer_strongest_first(trace: Trace) -> None:
    found = direct_logit_attribution(trace, "茶")
    bars = unit_waterfall(found, ("decoder", 1))
    assert bars[-1].end == pytest.approx(found.feed_forward["decoder", 1])
    values = found.units["decoder", 1]
    assert [bar.head for bar in bars[:-1]] == (-abs(values)).argsort(kind="stable")[:10].tolist()
    assert bars[0].value == values[bars[0].head]
    assert bars[-1].count == values.size - 10
    with pytest.raises(OutOfRangeError, match="no feed-forward layer 9 of the decoder"):
        unit_waterfall(found, ("decoder", 9))


@pytest.mark.parametrize("by", ["layer", "head"])
def test_what_a_page_is_sent_sums_to_the_models_own_logit(panels: LayersPanels, by: str) -> None:
    logits = panels.trace.logits
    assert logits is not None
    for row, best in enumerate(logits.max(-1).values.tolist()):
        reply = Page(panels).ask(row=row, by=by)
        assert reply["ok"]
        assert sum(step["value"] for step in reply["steps"]) == pytest.approx(best, abs=1e-4)
        assert reply["value"] == pytest.approx(best, abs=1e-4)
        assert reply["candidates"][0][1:] == (reply["name"], pytest.approx(best, abs=1e-4))


def test_the_row_is_the_pinned_one_else_that_of_the_answer_else_the_last(panels: LayersPanels) -> None:
    assert panels.trace.predicts is not None
    last = len(panels.trace.tokens["decoder"]) - 1
    assert (panels.direct.target.row, panels.direct.target.name) == (last, "</s>")
    panels.answer = "茶"
    assert panels.direct.target.row == panels.trace.predicts.index("茶")
    panels.answer = "水"  # not in the translation
    assert (panels.direct.target.row, panels.direct.target.name) == (last, "水")
    panels.pinned = {"query": 2, "key": None}
    panels.answer = None
    assert (panels.direct.target.row, panels.direct.target.name) == (2, panels.trace.predicts[2])
    panels.stage = "cross"
    assert panels.direct.target.row == 2
    panels.stage = "encoder"  # which has no such token
    assert panels.direct.target.row == last


def test_the_target_of_the_trace_is_explained_where_nobody_asks_for_another() -> None:
    trace = jtviz.demo.translator().trace(TEXT, target="茶")
    panels = LayersPanels(trace, stage="decoder", pinned={})
    row = panels.direct.target.row
    assert (panels.direct.target.name, row) == ("茶", trace.predicts.index("茶"))  # type: ignore[union-attr]
    panels.answer = "水"
    assert (panels.direct.target.name, panels.direct.target.row) == ("水", row)


def test_bars_against_another_token_are_of_the_difference() -> None:
    view = jtviz.show_layers(
        jtviz.demo.translator(), TEXT, tab="direct", answer="茶", against="水", pinned={}
    )
    panels, logits = view.panels, view.trace.logits
    assert logits is not None
    found = panels.direct
    assert found.against is not None
    row = found.target.row
    wanted = logits[row, found.target.index] - logits[row, found.against.index]
    assert panels.waterfall[-1].end == pytest.approx(float(wanted), abs=1e-4)
    reply = Page(panels).ask(answer="茶", against="水")
    assert (reply["name"], reply["against"]) == ("茶", "水")
    assert sum(step["value"] for step in reply["steps"]) == pytest.approx(float(wanted), abs=1e-4)
    assert Page(panels).ask(answer="茶", against="茶")["error"] == "both are 茶: compare two that differ."


def test_each_candidate_is_asked_for_by_its_words(panels: LayersPanels) -> None:
    page = Page(panels)
    for word, name, logit in page.ask(row=3)["candidates"]:
        reply = page.ask(row=3, answer=word)
        assert (reply["name"], reply["row"]) == (name, 3)
        assert reply["value"] == pytest.approx(logit, abs=1e-4)


def test_what_is_shown_is_computed_once_and_only_the_newest_are_kept(
    panels: LayersPanels, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []

    def counted(*asked: Any) -> Any:
        ran.append(asked)
        return direct_logit_attribution(*asked)

    monkeypatch.setattr(direct, "direct_logit_attribution", counted)
    monkeypatch.setattr(direct, "KEPT", 2)
    page = Page(panels)
    for by in ("layer", "head"):
        page.ask(row=1, by=by)
    page.ask("direct_units", row=1, stage="decoder", layer=0)
    assert len(ran) == 1
    for row in (2, 3):
        page.ask(row=row)
    page.ask(row=1)
    assert len(ran) == 4
    assert sum(isinstance(key, tuple) and key[0] == "direct" for key in panels._once_kept) == 2


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"answer": "zzz"}, "'zzz' is not"),
        ({"answer": "<99999999>"}, "token 99999999 is not there"),
        ({"against": "two words"}, "not one token"),
        ({"row": 99}, "row is a number, 0 to"),
        ({"row": "1"}, "row is a number, 0 to"),
        ({"answer": 3}, "asked for in words"),
        ({"op": "direct_units", "stage": "decoder", "layer": 7}, "no feed-forward layer 7"),
        ({"op": "direct_units", "stage": None, "layer": 0}, "named by its stage and its number"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_sentence(
    panels: LayersPanels, question: dict[str, Any], says: str
) -> None:
    reply = Page(panels).ask(**question)
    assert not reply["ok"]
    assert says in reply["error"]


def test_classes_are_taken_apart_and_offered_by_name() -> None:
    panels = LayersPanels(jtviz.demo.classifier().trace(NOTE), tab="direct")
    logits = panels.trace.logits
    assert logits is not None
    reply = Page(panels).ask(by="head")
    assert reply["row"] is None
    assert reply["value"] == pytest.approx(float(logits.max()), abs=1e-4)
    assert [value for *_, value in reply["candidates"]] == sorted(logits.tolist(), reverse=True)
    panels.answer, panels.against = (name for _, name, _ in reply["candidates"][:2])
    best = logits.sort(descending=True).values
    assert panels.direct.value == pytest.approx(float(best[0] - best[1]), abs=1e-4)
    assert "choose from" in Page(panels).ask(answer="zzz")["error"]


def test_without_a_tokenizer_tokens_are_named_by_their_number() -> None:
    family = FAMILIES["Llama"]
    model = family.build("sdpa")
    trace = hook(model).trace(inputs=family.inputs(1, "none"))
    panels = LayersPanels(trace, tab="direct", answer="<3>")
    assert trace.logits is not None
    assert panels.direct.value == pytest.approx(float(trace.logits[-1, 3]), abs=1e-4)
    assert [word for word, *_ in Page(panels).ask()["candidates"]] == [
        f"<{i}>" for i in trace.logits[-1].topk(5).indices.tolist()
    ]
    assert "by its number" in Page(panels).ask(answer="tea")["error"]


def test_a_masked_model_is_explained_row_by_row_and_names_what_each_predicts() -> None:
    torch.manual_seed(0)
    settings: Any = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
    }
    model: Any = transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=60, **settings))
    model.train(mode=False)
    trace = hook(model).trace(inputs={"input_ids": torch.randint(5, 60, (1, 7))})
    assert trace.logits is not None
    reply = Page(LayersPanels(trace, tab="direct")).ask()
    assert reply["row"] == 0
    assert reply["predicts"] == [f"<{i}>" for i in trace.logits.argmax(-1).tolist()]
    assert reply["value"] == pytest.approx(float(trace.logits[0].max()), abs=1e-4)


def test_a_mixture_of_experts_is_refused_in_the_tab_and_the_rest_works() -> None:
    family = FAMILIES["Mixtral"]
    model = family.build("sdpa")
    trace = hook(model).trace(inputs=family.inputs(1, "none"))
    panels = LayersPanels(trace, tab="direct")
    reply = Page(panels).ask()
    assert not reply["ok"]
    assert "MixtralForCausalLM cannot be taken apart" in reply["error"]
    assert panels.busy == ""
    with pytest.raises(JtvizError, match="cannot be taken apart"):
        _ = panels.direct
    panels.tab = "features"


def test_a_long_text_whose_logits_are_not_kept_is_taken_apart_too(monkeypatch: pytest.MonkeyPatch) -> None:
    family = FAMILIES["Llama"]
    model = family.build("sdpa")
    with torch.no_grad():
        logits = model(**family.inputs(1, "none")).logits[0]
    monkeypatch.setattr(forward, "_LOGITS_LIMIT", 0)
    trace = hook(model).trace(inputs=family.inputs(1, "none"))
    assert trace.logits is None
    reply = Page(LayersPanels(trace, tab="direct")).ask()
    assert reply["value"] == pytest.approx(float(logits[-1].max()), abs=1e-4)
    assert reply["candidates"] == []


def test_gradients_are_on_only_while_a_logit_is_taken_apart(panels: LayersPanels) -> None:
    with torch.no_grad():
        assert panels.direct.heads
        assert not torch.is_grad_enabled()
