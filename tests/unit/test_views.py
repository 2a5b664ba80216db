"""The widgets without a browser: what goes over the wire and what Python reads, sets and observes."""

import json
import re
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
import traitlets

import jtviz
from jtviz.capture import JtvizError, Trace, from_arrays, hook
from jtviz.views import AttentionView, AttributionView, LayersPanels, PruningView, Selection, numbers
from jtviz.views.bundle import bundle
from jtviz.views.describe import describe
from jtviz.views.importance import ImportanceView
from jtviz.views.selection import carry_pins
from jtviz.views.tiles import TileServer
from tests.zoo.families import FAMILIES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def trace() -> Trace:
    return jtviz.demo.translator().trace("Where is the nearest station?")


class Wire:
    """Stand in for a view's comm and keep what is sent to the browser."""

    def __init__(self, view: AttentionView, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[dict[str, Any], list[bytes]]] = []
        self.view = view

        def send(content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
            self.sent.append((content, buffers or []))

        monkeypatch.setattr(view, "send", send)

    def ask(self, *keys: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
        message = {"id": 7, "op": "tiles", "keys": list(keys)}
        self.view._handle_custom_msg(message, [])
        reply, buffers = self.sent[-1]
        assert (reply["id"], reply["ok"]) == (7, True), reply
        return [
            np.frombuffer(buffer, tile["dtype"]).reshape(tile["shape"]) * np.float32(tile["unit"])
            for tile, buffer in zip(reply["tiles"], buffers, strict=True)
        ]


@pytest.mark.parametrize("stage", ["encoder", "decoder", "cross"])
def test_every_kind_of_tile_is_the_same_attention(
    trace: Trace, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(AttentionView(trace), monkeypatch)
    dense = trace.attention(stage, layer=1).numpy()
    place = {"stage": stage, "layer": 1}
    whole, row, column, received, block = wire.ask(
        {"kind": "whole", **place},
        {"kind": "row", "index": 2, **place},
        {"kind": "column", "index": 3, **place},
        {"kind": "received", **place},
        {"kind": "block", "index": 0, "from": 1, "to": 512, **place},
    )
    np.testing.assert_array_equal(whole, dense)
    # A tile of its own may sum in another order than the whole: equal to rounding.
    np.testing.assert_allclose(row, dense[:, 2], atol=1e-6)
    np.testing.assert_allclose(column, dense[:, :, 3], atol=1e-6)
    np.testing.assert_allclose(received, dense.mean(1), atol=1e-6)
    np.testing.assert_allclose(block, dense[:, :16, 1:], atol=0.51 / 255 * dense.max())


TILE = {"kind": "tile", "stage": "encoder", "members": [[0, 1], [0, 2]], "level": 1, "row": 0, "column": 0}


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_a_pooled_tile_is_the_maximum_or_mean_of_what_it_covers(trace: Trace, pool: str) -> None:
    dense = trace.attention("encoder", layer=0, head=[1, 2]).mean(0).numpy()
    answer, data = TileServer(trace).answer_one({**TILE, "pool": pool})
    pooled = np.frombuffer(data, np.uint8).reshape(answer["shape"]) * answer["unit"]
    padded = np.full((2 * pooled.shape[0], 2 * pooled.shape[1]), np.nan)
    padded[: dense.shape[0], : dense.shape[1]] = dense
    reduce = np.nanmax if pool == "max" else np.nanmean
    expected = reduce(padded.reshape(pooled.shape[0], 2, pooled.shape[1], 2), axis=(1, 3))
    np.testing.assert_allclose(pooled, expected, atol=0.51 / 255 * expected.max())


def test_a_picture_of_faint_attention_is_not_rounded_away() -> None:
    encoder = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), 1, enable_nested_tensor=False
    ).eval()
    trace = jtviz.hook(encoder).trace(inputs={"src": torch.randn(1, 400, 8)})
    key = {**TILE, "members": [[0, 0]], "level": 0, "row": 1, "column": 1, "pool": "max"}
    answer, data = TileServer(trace).answer_one(key)
    shown = np.frombuffer(data, np.uint8).reshape(144, 144) * answer["unit"]
    dense = trace.attention("encoder", layer=0, head=0)[256:, 256:].numpy()
    np.testing.assert_allclose(shown, dense, atol=0.51 / 255 * dense.max())


def test_a_tile_that_fails_says_why_and_costs_no_other(trace: Trace) -> None:
    good, bad = ({"kind": "whole", "stage": "encoder", "layer": layer} for layer in (0, 99))
    reply = TileServer(trace).answer({"id": "x-3", "op": "tiles", "keys": [bad, good]})
    assert reply is not None
    message, buffers = reply
    assert (message["id"], message["ok"], buffers[0]) == ("x-3", True, b"")
    assert "99" in message["tiles"][0]["error"]
    np.testing.assert_array_equal(
        np.frombuffer(buffers[1], "float32"), trace.attention("encoder", layer=0).flatten()
    )


def test_an_observer_sees_a_whole_choice(trace: Trace) -> None:
    view, seen = AttentionView(trace), []
    view.observe(lambda _: seen.append((view.stage, view.layer, view.heads)), "stage")
    view.selection.set_state({"stage": "cross", "layer": 1, "heads": [3]})
    assert seen == [("cross", 1, [3])]


def test_a_closed_view_no_longer_follows(trace: Trace) -> None:
    closed, other = AttentionView(trace), AttentionView(trace)
    closed.close()
    other.stage = "cross"
    assert closed.stage == "encoder"


def test_a_sentence_can_be_shown_again_after_all_widgets_were_closed() -> None:
    trace = jtviz.demo.translator().trace("Hello.")
    AttentionView(trace)
    ipywidgets.Widget.close_all()
    assert AttentionView(trace).stage == "encoder"


def test_views_of_one_trace_share_one_selection(trace: Trace) -> None:
    first, second = AttentionView(trace), jtviz.show_attention(trace=trace)
    first.stage = "cross"
    first.layer, first.heads, first.pinned = 1, [2], {"query": 3}
    assert (second.stage, second.layer, second.heads) == ("cross", 1, [2])
    assert second.pinned == {"query": 3, "key": None}
    assert first.selection is second.selection


def test_marked_tokens_are_those_of_every_view_whatever_the_stage(trace: Trace) -> None:
    views: list[Any] = [
        AttentionView(trace, marked={"encoder": (3, 1, 1)}),
        PruningView(trace),
        LayersPanels(trace, stage="decoder"),
        jtviz.show_layers(trace=trace, marked={"encoder": [3, 1]}).panels,
    ]
    assert all(view.marked == {"encoder": [1, 3]} for view in views)
    views[1].marked = {"encoder": [], "decoder": [2]}
    assert all(view.marked == {"decoder": [2]} for view in views)
    views[0].stage = "cross"
    assert views[2].marked == {"decoder": [2]}
    assert "marked={'decoder': [2]}" in repr(views[0])
    assert views[0].to_dict()["marked"] == {"decoder": [2]}


def test_the_same_sentence_in_two_cells_is_the_same_trace() -> None:
    translator = jtviz.demo.translator()
    first = jtviz.show_attention(translator, "I like to drink tea.")
    second = jtviz.show_attention(translator, "I like to drink tea.")
    assert first.trace is second.trace
    assert first.selection is second.selection


def test_a_choice_in_the_browser_is_observed_in_python(trace: Trace) -> None:
    view, seen = AttentionView(trace), []
    view.observe(
        lambda change: seen.append((change["name"], change["new"])), ["stage", "layer", "heads", "pinned"]
    )
    pinned = {"query": 2, "key": 4}
    # As the browser sends it: all at once, to the Selection.
    view.selection.set_state({"stage": "cross", "layer": 1, "heads": [3], "pinned": pinned})
    assert dict(seen) == {"stage": "cross", "layer": 1, "heads": [3], "pinned": pinned}


def test_a_pin_stays_on_its_token_when_the_stage_changes(trace: Trace) -> None:
    view = AttentionView(trace, pinned={"query": 4})
    view.stage = "cross"
    assert view.pinned == {"query": None, "key": 4}
    view.stage = "decoder"
    assert view.pinned == {"query": None, "key": None}


# The same table as in js/test/selection.test.ts: both sides carry pins alike.
@pytest.mark.parametrize(
    ("before", "after", "pinned", "carried"),
    [
        ("encoder", "cross", (1, None), (None, 1)),
        ("decoder", "cross", (1, 0), (1, None)),
        ("cross", "decoder", (1, 2), (1, None)),
        ("cross", "encoder", (1, 2), (None, 2)),
        ("encoder", "decoder", (1, 2), (None, None)),
    ],
)
def test_pins_are_carried_as_in_the_browser(
    before: str, after: str, pinned: tuple[int | None, ...], carried: tuple[int | None, ...]
) -> None:
    sides = {"encoder": ("encoder",) * 2, "decoder": ("decoder",) * 2, "cross": ("decoder", "encoder")}
    found = carry_pins({"query": pinned[0], "key": pinned[1]}, sides[before], sides[after])
    assert (found["query"], found["key"]) == carried


def test_a_front_end_that_cannot_reach_the_selection_chooses_through_the_view(trace: Trace) -> None:
    view, other = AttentionView(trace), AttentionView(trace)
    pinned = {"query": 2, "key": 4}
    view.set_state({"stage": "cross", "layer": 1, "heads": [3], "pinned": pinned})
    for each in (view, other, view.selection):
        assert (each.stage, each.layer, each.heads, each.pinned) == ("cross", 1, [3], pinned)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "stage",
            "croos",
            "There is no stage 'croos' in this trace; choose from 'encoder', 'decoder', 'cross'.",
        ),
        ("layer", 2, "There is no layer 2 in the encoder stage; choose from 0 to 1."),
        ("heads", [4], "There is no head 4 in encoder layer 0; choose from 0 to 3."),
        ("pinned", {"query": 99}, "There is no query token 99 in the encoder stage; choose from 0 to"),
        ("pinned", {"query": "tea"}, "There is no query token 'tea' in the encoder stage; choose from 0 to"),
        ("heads", 3, "expected a list, not the int 3"),
        ("pinned", {"row": 1}, "Pins have a 'query' and a 'key' side, not 'row'."),
        ("marked", {"encoder": [0, 99]}, "There is no encoder token 99 to mark; choose from 0 to"),
        ("marked", {"decoder": ["tea"]}, "There is no decoder token 'tea' to mark; choose from 0 to"),
        ("marked", {"decoder": 1}, "Marked are lists of token indices, {'decoder': [1, 2]}, not 1."),
        (
            "marked",
            {"query": [0]},
            "There are no tokens 'query' to mark; this trace has 'encoder', 'decoder'.",
        ),
    ],
)
def test_a_choice_that_is_not_there_is_refused_and_changes_nothing(
    trace: Trace, name: str, value: object, says: str
) -> None:
    view = AttentionView(trace)
    before = getattr(view, name)
    with pytest.raises(traitlets.TraitError, match=re.escape(says)):
        setattr(view, name, value)
    assert getattr(view, name) == before == getattr(view.selection, name)
    with pytest.raises((traitlets.TraitError, ValueError)):
        jtviz.show_attention(trace=trace, **{name: value})  # type: ignore[arg-type]
    assert getattr(view, name) == before


def test_one_bad_choice_of_several_leaves_the_others_as_they_were(trace: Trace) -> None:
    view = AttentionView(trace)
    with pytest.raises(traitlets.TraitError):
        jtviz.show_attention(trace=trace, stage="cross", layer=7)
    assert view.stage == "encoder"


def test_a_text_beside_a_trace_is_refused(trace: Trace) -> None:
    with pytest.raises(TypeError, match="takes either a model and a text, or trace="):
        jtviz.show_attention(jtviz.demo.translator(), "another sentence", trace=trace)


def test_an_unknown_keyword_suggests_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"has no keyword 'layers'; did you mean 'layer'\?"):
        jtviz.show_attention(jtviz.demo.translator(), "Hello.", layers=2)


def test_a_stage_or_mode_that_does_not_exist_is_refused_before_the_model_runs() -> None:
    model = torch.nn.Linear(2, 2)
    model.register_forward_hook(lambda *_: pytest.fail("the model ran"))
    with pytest.raises(ValueError, match="stage is one of 'encoder', 'decoder', 'cross', not 'croos'"):
        jtviz.show_attention(model, "text", stage="croos")
    with pytest.raises(ValueError, match="mode is one of 'links', 'matrix', 'text', not 'heatmap'"):
        jtviz.show_attention(model, "text", mode="heatmap")


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</script>"])
def test_markup_in_a_sentence_travels_as_plain_text(text: str) -> None:
    view = jtviz.show_attention(jtviz.demo.translator(), text)
    shown = "".join(view.meta["sides"]["encoder"]["text"])
    assert text.replace(" ", "") in shown.replace(" ", "")


def test_a_view_says_in_one_line_what_it_shows(trace: Trace) -> None:
    view = AttentionView(trace, stage="cross", layer=1, heads=[2], mode="matrix")
    says = (
        "AttentionView(stage='cross', layer=1, heads=[2], pinned={'query': None, 'key': None}, mode='matrix')"
    )
    shown = view._repr_mimebundle_()
    assert shown is not None
    assert shown[0]["text/plain"] == repr(view) == says


def test_the_widget_state_carries_no_weights(trace: Trace) -> None:
    view = AttentionView(trace)
    # The snapshot has those of the first picture, and a bound of its own.
    state = {name: value for name, value in view.get_state().items() if name not in {"_esm", "snapshot"}}
    assert len(repr(state)) < 6000
    assert not any(isinstance(value, torch.Tensor | np.ndarray) for value in state.values())


@pytest.mark.parametrize(
    ("view", "interface"),
    [
        (AttentionView, "AttentionTraits"),
        (AttributionView, "AttributionTraits"),
        (PruningView, "PruningTraits"),
        (ImportanceView, "ImportanceTraits"),
        (LayersPanels, "LayersTraits"),
        (Selection, "Choices"),
    ],
)
def test_python_and_typescript_name_the_same_traits(view: type[Any], interface: str) -> None:
    files = ("core/types", "core/settings", "attribution/types", "pruning/types", "layers/types")
    source = "".join((ROOT / f"js/src/{name}.ts").read_text(encoding="utf-8") for name in files)
    names: set[str] = set()
    wanted = [interface]
    while wanted:
        body = re.search(
            rf"interface {wanted.pop()}(?:\s+extends\s+([\w,\s]+?))? {{(.*?)\n}}", source, re.DOTALL
        )
        assert body is not None
        names |= set(re.findall(r"^  (\w+)\??:", body[2], re.MULTILINE))
        wanted += re.findall(r"\w+", body[1] or "")
    own = {
        name
        for klass in view.__mro__
        if klass.__module__.startswith("jtviz")
        for name, trait in vars(klass).items()
        if isinstance(trait, traitlets.TraitType) and trait.metadata.get("sync")
    }
    assert names == own


def test_python_answers_the_questions_that_typescript_asks_of_layers() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "js/src/layers").glob("*.ts")]
    asked = set(re.findall(r'\bop: "(\w+)"', "".join(sources)))
    answered = {name.removeprefix("_answer_") for name in dir(LayersPanels) if name.startswith("_answer_")}
    assert asked == answered


def test_no_panel_takes_the_name_of_another() -> None:
    *panels, base = (klass for klass in LayersPanels.__mro__ if klass.__name__.endswith("Panel"))
    names = [name for klass in panels for name in vars(klass).keys() - vars(base).keys()]
    assert len(panels) == 6
    assert sorted(set(names)) == sorted(names)


def test_python_and_typescript_name_the_same_tiles() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "js/src").rglob("*.ts")]
    kinds = set(re.findall(r'kind: "(\w+)"', "".join(sources)))
    from jtviz.views import tiles

    for name in ("TILE", "BLOCK"):
        assert re.search(
            rf"export const {name} = {getattr(tiles, name)};",
            (ROOT / "js/src/core/tiles.ts").read_text(encoding="utf-8"),
        )
    assert kinds == set(TileServer(jtviz.demo.translator().trace("Hi."))._kinds)


def test_a_front_end_that_is_not_built_is_said_in_one_sentence() -> None:
    with pytest.raises(ImportError, match=r"is not built .*: run 'make setup'"):
        bundle("no_such_view")


def test_a_view_knows_what_was_checked_and_what_rows_sum_to() -> None:
    family = FAMILIES["gpt-oss"]
    trace = hook(family.build("eager")).trace(inputs=family.inputs(1, "none"))
    checks = describe(trace)["stages"][0]["checks"]
    assert [check["difference"] for check in checks] == list(trace.check().values())
    for layer, check in enumerate(checks):
        sums = trace.attention("decoder", layer=layer).sum(-1)
        assert check["sums"] == pytest.approx([float(sums.min()), float(sums.max())], abs=1e-6)
        assert check["sums"][1] < 0.99
    elsewhere = describe(from_arrays(torch.rand(1, 2, 3, 3).softmax(-1)))["stages"][0]["checks"]
    assert elsewhere[0]["difference"] is None
    json.dumps(elsewhere, allow_nan=False)


def test_the_numbers_of_a_view_are_those_of_what_it_shows(trace: Trace) -> None:
    view = AttentionView(trace, stage="cross", layer=1, heads=[2, 0])
    wanted = trace.attention("cross", layer=1, head=view.heads)
    assert np.array_equal(view.to_numpy(), wanted.numpy())
    table = view.to_dataframe()
    assert len(table) == wanted.numel()
    row = table.sample(1, random_state=0).iloc[0]
    weight = wanted[view.heads.index(row["head"]), row["query"], row["key"]]
    assert row["weight"] == pytest.approx(float(weight))
    assert row["query token"] == trace.tokens["decoder"][row["query"]]
    assert row["key token"] == trace.tokens["encoder"][row["key"]]
    view.pinned = {"query": 3, "key": None}
    assert set(view.to_dataframe()["query"]) == {3}
    view.pinned = {"query": 3, "key": 2}
    assert view.to_dataframe()["weight"].to_list() == pytest.approx(wanted[:, 3, 2].tolist(), abs=1e-6)


def test_a_table_of_too_many_weights_is_refused(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "MOST", 60)
    view = AttentionView(trace, stage="encoder", layer=0, heads=[0, 1])
    for ask in (view.to_numpy, view.to_dataframe):
        with pytest.raises(JtvizError, match="too many for one table: pin a token"):
            ask()
    view.pinned = {"query": 1}
    assert len(view.to_dataframe()) == 2 * len(trace.tokens["encoder"])
