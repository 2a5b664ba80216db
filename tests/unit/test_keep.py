"""What is kept of a view: the figure says and draws what the view shows, the page holds its data."""

import base64
import itertools
import json
import re
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import jtviz
from jtviz.capture import JtvizError, Trace, from_arrays
from jtviz.views import AttentionView, keep
from jtviz.views.figures import as_svg, colour, glance, look_at, raster, shades
from jtviz.views.figures.look import GLANCE
from jtviz.views.figures.matrix import digits
from jtviz.views.figures.words import number
from jtviz.views.packed import is_whole
from jtviz.views.selection import selection_of

SVG = "{http://www.w3.org/2000/svg}"
NASTY = [
    "<script>alert(1)</script>",
    "a\x00b",
    "\ud800",
    "]]>",
    "\"&'",
    "</title>",
    "<!--",
    "{0}",
    "سلام",
    "x" * 90,
]


@pytest.fixture
def trace() -> Trace:
    return jtviz.demo.translator().trace("Where is the nearest station?")


@pytest.fixture(autouse=True)
def _fresh_selection(trace: Trace) -> Iterator[None]:
    yield
    selection_of(trace).set_trait("stage", "encoder")
    selection_of(trace).set_trait("layer", 0)
    selection_of(trace).set_trait("heads", [0, 1, 2, 3])
    selection_of(trace).set_trait("pinned", {})


def random_trace(tokens: list[str], heads: int = 2, layers: int = 1) -> Trace:
    scores = 2 * torch.randn(layers, heads, len(tokens), len(tokens))
    return from_arrays(scores.softmax(-1).numpy(), tokens, stage="encoder")


def drawn(view: AttentionView, **how: Any) -> ET.Element:
    return ET.fromstring(as_svg(look_at(view, **how)))  # noqa: S314 - our own


def texts(root: ET.Element, side: str | None = None) -> list[str]:
    return [
        "".join(e.itertext()) for e in root.iter(f"{SVG}text") if side is None or e.get("data-side") == side
    ]


def caption(root: ET.Element) -> str:
    return root.findtext(f"{SVG}desc") or ""


# Checksums of what js/src/core/colour.ts returns: 26 heads, then ramps, each with that of negative weights.
COLOURS = {
    False: [3108049970, 4057018421, 706547328, 1167236296, 1616686866, 3743355754, 2113859506],
    True: [1528344888, 3006651946, 763591409, 612173585, 2392665136, 1935373997, 3100553664],
}


@pytest.mark.parametrize("dark", [False, True])
def test_colours_are_those_of_the_browser(dark: bool) -> None:
    found = [[colour.head_colour(head, dark=dark) for head in range(26)]]
    for background, head in [((255, 255, 255), None), ((17, 17, 17), 1), ((255, 255, 255), 11)]:
        found += [[*make(background, head, dark=dark)] for make in (colour.ramp, colour.ramp_against)]
    assert [zlib.crc32(bytes(itertools.chain.from_iterable(one))) for one in found] == COLOURS[dark]


@pytest.mark.parametrize("mode", ["links", "matrix", "text"])
@pytest.mark.parametrize("stage", ["encoder", "decoder", "cross"])
def test_a_figure_has_every_token_in_order_and_says_what_it_is(trace: Trace, stage: str, mode: str) -> None:
    root = drawn(AttentionView(trace, stage=stage, layer=1, heads=[0, 2], mode=mode))
    for side, role in ((trace.query_side(stage), "query"), (trace.key_side(stage), "key")):
        assert texts(root, role) == [*trace.tokens[side].text]
    together = "heads 0 and 2" if mode == "links" else "mean of heads 0 and 2"
    assert caption(root).startswith(f"{stage.capitalize()} attention, layer 1, {together}.")
    # It can be read in the picture, too.
    assert caption(root) in " ".join(texts(root))


def test_links_are_the_weights_that_can_be_seen(trace: Trace) -> None:
    view = AttentionView(trace, stage="cross", layer=1)
    weights = view.to_numpy()
    opacities = [float(path.get("stroke-opacity", 0)) for path in drawn(view).iter(f"{SVG}path")]
    np.testing.assert_allclose(opacities, np.sort(weights[weights >= 1 / 128]), rtol=5e-3)
    view.pinned = {"query": 3}
    assert len([*drawn(view).iter(f"{SVG}path")]) == (weights[:, 3] >= 1 / 128).sum()
    view.pinned = {}
    pointed = drawn(view, hovered={"query": 3, "key": None})
    assert len([*pointed.iter(f"{SVG}path")]) == (weights[:, 3] >= 1 / 128).sum()


def test_marked_tokens_are_underlined_and_their_curves_stand_out(trace: Trace) -> None:
    view = AttentionView(trace, stage="cross", layer=1, heads=[2])
    before = {path.get("d"): path.get("stroke-opacity") for path in drawn(view).iter(f"{SVG}path")}
    view.marked = {"decoder": [3], "encoder": [0]}
    try:
        for mode in ("links", "matrix", "text"):
            view.mode = mode
            root = drawn(view)
            lined = {
                (e.get("data-side"), e.get("data-index"))
                for e in root.iter(f"{SVG}text")
                if e.get("text-decoration") == "underline"
            }
            assert lined == {("query", "3"), ("key", "0")}
            assert "Marked tokens are underlined." in caption(root)
        view.mode = "links"
        weights = view.to_numpy()[0]
        own = [
            path
            for path in drawn(view).iter(f"{SVG}path")
            if path.get("stroke-opacity") == before[path.get("d")]
        ]
        assert len(own) == (weights[3] >= 1 / 128).sum() + (np.delete(weights[:, 0], 3) >= 1 / 128).sum()
        view.pinned = {"query": 1}
        assert all(
            path.get("stroke-opacity") == before[path.get("d")] for path in drawn(view).iter(f"{SVG}path")
        )
    finally:
        view.marked, view.pinned = {}, {}


def test_of_many_links_the_strongest_are_drawn_and_that_is_said() -> None:
    view = AttentionView(random_trace(["a"] * 60, heads=4))
    root = drawn(view)
    weights = view.to_numpy()
    count = (weights >= 1 / 128).sum()
    assert count > 3000
    least = np.sort(weights.ravel())[-3000]
    opacities = [float(path.get("stroke-opacity", 0)) for path in root.iter(f"{SVG}path")]
    assert len(opacities) == 3000
    assert min(opacities) == pytest.approx(least, rel=5e-3)
    assert f"The 3,000 strongest of {count:,} weights" in caption(root)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("per", ["picture", "row"])
@pytest.mark.parametrize("scale", ["linear", "sqrt", "log", "rank"])
def test_a_cell_has_the_colour_of_its_weight(trace: Trace, scale: str, per: str, theme: str) -> None:
    view = AttentionView(trace, stage="decoder", heads=[1], mode="matrix", scale=scale, per=per)
    weights = view.to_numpy()[0]
    full = weights.max(1, keepdims=True) if per == "row" else weights.max()
    share = weights / full
    if scale == "sqrt":
        share = np.sqrt(share)
    elif scale == "log":
        share = np.log1p(999 * share) / np.log(1000)
    elif scale == "rank":
        among = list(weights) if per == "row" else [weights] * len(weights)
        share = np.array(
            [
                [(some[some > 0] <= w).mean() if w > 0 else 0 for w in row]
                for row, some in zip(weights, among, strict=True)
            ]
        )
    cells = {
        (int(cell.get("data-query", -1)), int(cell.get("data-key", -1))): cell.get("fill")
        for cell in drawn(view, theme=theme).iter(f"{SVG}rect")
        if cell.get("data-query")
    }
    paper = colour.THEMES[theme].paper
    colours = colour.ramp(paper, 1, dark=theme == "dark")
    for place in np.ndindex(weights.shape):
        expected = colour.hex_of(colours[int(255 * float(np.float32(share[place])) + 0.5)])
        assert cells.get(place, colour.hex_of(paper)) == expected, place


def test_strengths_keep_the_sign_and_zero() -> None:
    weights = np.array([[0.5, -1.0], [0.0, 0.25]], np.float32)
    np.testing.assert_array_equal(shades.strengths(weights, "linear", 1.0), weights)
    np.testing.assert_allclose(shades.strengths(weights, "sqrt", 1.0)[0], [np.sqrt(0.5), -1])
    np.testing.assert_allclose(shades.strengths(weights, "rank", 1.0), [[2 / 3, -1], [0, 1 / 3]], rtol=1e-6)


def test_the_mask_is_hatched_where_a_query_cannot_look(trace: Trace) -> None:
    view = AttentionView(trace, stage="decoder", mode="matrix")
    [mask] = [path for path in drawn(view).iter(f"{SVG}path") if path.get("class") == "mask"]
    # One run a row, but for the last, which sees everything.
    assert mask.get("d", "").count("M") == len(trace.tokens["decoder"]) - 1
    view.show_mask = False
    assert not [path for path in drawn(view).iter(f"{SVG}path") if path.get("class") == "mask"]


# The same table as in js/test/numbers.test.ts: a figure has the digits of the view.
def test_a_weight_in_a_cell_has_two_decimals_and_nought_has_none() -> None:
    weights = [0, 0.004, 0.07, -0.306, 0.994, 0.996, 1, 9.94, 12.3]
    assert [digits(x) for x in weights] == ["", "", ".07", "−.31", ".99", "1.0", "1.0", "9.9", "12"]


def test_a_matrix_has_its_numbers_written_into_the_cells(trace: Trace) -> None:
    view = AttentionView(trace, stage="cross", layer=1, heads=[0], mode="matrix", annotate=True)
    weights = trace.attention("cross", layer=1, head=0)
    wanted = [said for x in weights.flatten().tolist() if (said := digits(x))]
    found = [node.text for node in drawn(view).iter(f"{SVG}text")]
    assert sorted(said for said in found if said in wanted) == sorted(wanted)
    view.annotate = False
    assert not {*wanted} & {node.text for node in drawn(view).iter(f"{SVG}text")}


def test_what_is_hidden_and_filtered_is_said(trace: Trace) -> None:
    view = AttentionView(
        trace, mode="matrix", hide=["is"], hide_special=True, renormalise=True, unit="word",
        weighting="value", threshold=0.02, top_k=3, top_mass=0.9, key_span=[0, 6],
    )  # fmt: skip
    said = caption(drawn(view))
    for words in (
        "Weight: attention times the length of the value vector",
        "By words",
        "Left out as keys: ‘is’, special tokens",
        "Keys 0 to 5 only",
        "What is left of each row sums to 1 again",
        "Only the 3 strongest weights of each row, of these the strongest weights that make up 90% of each",
        " row, of these weights of at least 0.02.",
    ):
        assert words in said
    view.key_span = None
    assert re.search(r"special tokens \(\d+% of the weight\)", caption(drawn(view)))


@pytest.mark.parametrize("weighting", ["value", "output", "rollout", "gradient", "relevance"])
@pytest.mark.parametrize("mode", ["links", "matrix", "text"])
def test_every_weighting_can_be_drawn_and_kept(weighting: str, mode: str) -> None:
    trace = jtviz.demo.classifier().trace("The patient has chest pain.", target=0)
    view = AttentionView(trace, weighting=weighting, mode=mode)
    root = drawn(view)
    assert "Weight: " in caption(root)
    dashed = [path for path in root.iter(f"{SVG}path") if path.get("stroke-dasharray")]
    is_negative = weighting == "gradient" and mode == "links"
    assert bool(dashed) == is_negative
    assert "−" in "".join(texts(root)) or weighting != "gradient" or mode == "links"
    assert "all 2 layers" in view.freeze().contents


def test_rows_are_named_by_what_they_predict(trace: Trace) -> None:
    view = AttentionView(trace, stage="cross", row_labels="predicted")
    assert texts(drawn(view), "query") == [*(trace.predicts or ())]


def test_heads_of_other_layers_are_drawn_and_named(trace: Trace) -> None:
    root = drawn(AttentionView(trace, stage="cross", layer=0, heads=[1], also=[[1, 1]]))
    assert "layer 0 head 1; layer 1 head 1" in caption(root)
    assert {"0.1", "1.1"} <= {*texts(root)}
    assert len({path.get("stroke") for path in root.iter(f"{SVG}path")}) == 2


def test_shaded_text_is_the_row_of_the_pinned_query(trace: Trace) -> None:
    view = AttentionView(trace, stage="cross", mode="text", heads=[2], pinned={"query": 3})
    row = view.to_numpy()[0, 3]
    fills = {rect.get("fill") for rect in drawn(view).iter(f"{SVG}rect")}
    colours = colour.ramp((255, 255, 255), 2, dark=False)
    shaded = {colour.hex_of(colours[int(255 * w / row.max() + 0.5)]) for w in row} - {"#ffffff"}
    assert shaded <= fills
    assert number(float(row.max())) in texts(drawn(view))


@pytest.mark.parametrize("mode", ["links", "text"])
def test_of_a_long_text_the_part_around_the_pinned_token_is_drawn_and_said(mode: str) -> None:
    view = AttentionView(random_trace([f"t{i}" for i in range(500)]), mode=mode, pinned={"query": 300})
    root = drawn(view)
    assert texts(root, "query") == texts(root, "key") == [f"t{i}" for i in range(240, 360)]
    share = view.to_numpy().mean(0)[300]
    assert "Queries 240 to 359 of 500 and keys 240 to 359 of 500 are shown." in caption(root)
    assert f"{share[240:360].sum() / share.sum():.0%} of the weight of the query in focus" in caption(root)
    view.pinned = {}
    assert texts(drawn(view), "query")[0] == "t0"


def test_a_long_matrix_is_an_image_pooled_and_said() -> None:
    view = AttentionView(random_trace([f"t{i}" for i in range(600)], heads=1), mode="matrix", pool="mean")
    root = drawn(view)
    [image] = root.iter(f"{SVG}image")
    assert "Tokens 0 to 599, pooled 2 × 2, mean." in caption(root)
    pixels = decoded(base64.b64decode(image.get("href", "").split(",")[1]))
    pixels = pixels[:: len(pixels) // 300, :: len(pixels) // 300]
    weights = view.to_numpy()[0].reshape(300, 2, 300, 2).mean((1, 3))
    colours = np.array(colour.ramp((255, 255, 255), 0, dark=False))
    places = np.floor(255 * weights / weights.max() + 0.5).astype(int)
    # At the edge between two shades, the order of summing decides.
    assert (np.abs(pixels.astype(int) - colours[places]).max(-1) > 4).mean() == 0


def decoded(png: bytes) -> np.ndarray[Any, Any]:
    """Read a PNG of `raster.png_of`."""
    width, height = struct.unpack(">II", png[16:24])
    start = png.index(b"IDAT")
    length = struct.unpack(">I", png[start - 4 : start])[0]
    lines = np.frombuffer(zlib.decompress(png[start + 4 : start + 4 + length]), np.uint8)
    return lines.reshape(height, -1)[:, 1:].reshape(height, width, 3)


def test_any_token_can_be_drawn_and_saved(tmp_path: Path) -> None:
    trace = random_trace(NASTY)
    for mode in ("links", "matrix", "text"):
        view = AttentionView(trace, mode=mode)
        root = drawn(view)
        assert "alert(1)" in "".join(texts(root))
        assert not [e for e in root.iter() if "script" in e.tag]
        view.save(tmp_path / "x.svg")
        view.save(tmp_path / "x.html")
    html = (tmp_path / "x.html").read_text()
    assert html.count("<script") == html.count("</script>") == 2
    assert html.count("<title>") == html.count("</title>") == 1
    assert state_of(html)["traits"]["meta"]["sides"]["encoder"]["text"] == [*trace.tokens["encoder"].text]


def test_a_png_is_the_figure_in_pixels(trace: Trace, tmp_path: Path) -> None:
    view = AttentionView(trace, stage="cross", mode="matrix")
    sizes = {}
    for theme, scale in (("light", 1), ("light", 2), ("dark", 2)):
        path = tmp_path / f"{theme}{scale}.png"
        view.save(path, theme=theme, scale=scale)
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        sizes[theme, scale] = struct.unpack(">II", data[16:24])
    assert sizes["light", 2] == sizes["dark", 2]
    np.testing.assert_allclose(sizes["light", 2], 2 * np.array(sizes["light", 1]), atol=2)
    assert (tmp_path / "light2.png").read_bytes() != (tmp_path / "dark2.png").read_bytes()


def test_what_cannot_be_saved_is_refused_before_any_work(
    trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = AttentionView(trace)
    monkeypatch.setattr(keep, "write", lambda *_: pytest.fail("wrote something"))
    for path, how, words in (
        ("x.pdf", {}, "saved as .svg, .png, .html"),
        ("x", {}, "choose an ending"),
        ("nowhere/x.svg", {}, "a folder that is there"),
        ("x.svg", {"theme": "pink"}, "theme is"),
        ("x.png", {"scale": 0}, "scale is"),
    ):
        with pytest.raises(JtvizError, match=words):
            view.save(tmp_path / path, **how)
    with pytest.raises(Exception, match="no query token 99"):
        view.save(tmp_path / "x.svg", hovered={"query": 99})
    assert not [*tmp_path.iterdir()]


def test_the_browser_can_ask_for_the_same_files(
    trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, sent = AttentionView(trace, stage="cross"), []
    monkeypatch.setattr(view, "send", lambda *reply: sent.append(reply))
    hovered = {"query": 3, "key": None}
    for kind in ("svg", "png", "html", "exe"):
        view._handle_custom_msg({"op": "save", "format": kind, "theme": "dark", "hovered": hovered}, [])
        reply, buffers = sent.pop()
        assert (reply["op"], reply["format"]) == ("saved", kind)
        if kind == "exe":
            assert "saved as .svg" in reply["error"]
            continue
        view.save(tmp_path / f"x.{kind}", theme="dark", hovered=hovered)
        assert buffers == [(tmp_path / f"x.{kind}").read_bytes()]


def test_a_file_is_replaced_whole_or_not_at_all(
    trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, path = AttentionView(trace), tmp_path / "x.svg"
    path.write_text("older")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(JtvizError, match="No space left"):
        view.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.svg"]
    assert path.read_text() == "older"


def test_a_notebook_without_widgets_has_a_picture(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    view = AttentionView(trace, stage="cross")
    data, metadata = view._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == glance(view)
    assert {"text/plain", "application/vnd.jupyter.widget-view+json"} <= {*data}
    assert metadata == {}

    def broken(*_: object) -> bytes:
        raise RuntimeError("no")

    monkeypatch.setattr(raster, "_png", broken)
    data, _ = view._repr_mimebundle_()
    assert "image/png" not in data
    assert "application/vnd.jupyter.widget-view+json" in data


def test_a_picture_of_a_long_text_looks_at_a_part_and_says_so() -> None:
    query = torch.randn(1, 2, 8192, 16)
    trace = Trace.from_qkv(query, query.roll(1, 2), causal=True)
    for mode in ("links", "matrix", "text"):
        view = AttentionView(trace, mode=mode)
        assert glance(view).startswith(b"\x89PNG")
    view.mode = "matrix"
    assert "seen in a sample of" in caption(drawn(view, limits=GLANCE))


def test_without_any_font_a_png_is_refused(
    trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raster, "_has_letters", lambda: False)
    with pytest.raises(JtvizError, match="no font was found"):
        AttentionView(trace).save(tmp_path / "x.png")


def state_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="jtviz-state">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    state: dict[str, Any] = json.loads(found[1])
    return state


def numbers_of(tile: dict[str, Any]) -> np.ndarray[Any, Any]:
    data = np.frombuffer(base64.b64decode(tile["data"]), tile["dtype"])
    return data.reshape(tile["shape"]) * np.float32(tile["unit"])


def whole_name(stage: str, layer: int, weighting: str = "raw") -> str:
    key = {"kind": "whole", "stage": stage, "layer": layer, "weighting": weighting}
    return json.dumps(key, separators=(",", ":"))


def test_a_page_has_all_that_the_view_has(trace: Trace, tmp_path: Path) -> None:
    view = AttentionView(trace, stage="cross", layer=1, heads=[2], weighting="value", pinned={"query": 3})
    view.save(tmp_path / "x.html")
    html = (tmp_path / "x.html").read_text()
    state = state_of(html)
    meta = view.meta | {"can_prune": False}  # there is no kernel
    for name, value in {**view.to_dict(), "meta": meta}.items():
        assert state["traits"][name] == json.loads(json.dumps(value)), name
    for stage in trace.stages:
        for layer in range(trace.layers(stage)):
            found = numbers_of(state["tiles"][whole_name(stage, layer)])
            np.testing.assert_allclose(found, trace.attention(stage, layer=layer), atol=5e-4)
            assert whole_name(stage, layer, "value") in state["tiles"]
        assert f'{{"kind":"measures","stage":"{stage}"}}' in state["tiles"]
    assert "<title>Where is the nearest station? · attention</title>" in html
    assert re.search(r"<p>all 6 layers of 3 stages, \d+ KB</p>", html)
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", html)


def test_the_budget_of_a_page_is_kept_and_said() -> None:
    view = AttentionView(random_trace(["a"] * 80, heads=4, layers=12), layer=6)
    whole = view.freeze(budget=10_000_000)
    assert whole.contents.startswith("all 12 layers, ")
    with pytest.raises(JtvizError, match="pass budget=") as refused:
        view.freeze(budget=1000)
    least = int(re.findall(r"budget=(\d+)", str(refused.value))[0])
    part = view.freeze(budget=least + 150_000)
    assert re.match(r"layers \d[–\d, and]+ of the encoder, .*; the others did not fit in", part.contents)
    layers = [layer for layer in range(12) if json.dumps(whole_name("encoder", layer)) in part.html]
    assert 6 in layers
    assert 1 < len(layers) < 12
    assert layers == [*range(min(layers), max(layers) + 1)]
    assert view.freeze(budget=least).contents.startswith("layer 6 of the encoder")


@pytest.mark.parametrize("budget", [190_000, 220_000, 400_000])
def test_a_page_is_never_larger_than_its_budget(tmp_path: Path, budget: int) -> None:
    AttentionView(random_trace(["é"] * 60, heads=4, layers=8)).save(tmp_path / "x.html", budget=budget)
    assert (tmp_path / "x.html").stat().st_size <= budget


def test_a_page_of_a_long_text_has_its_pictures(tmp_path: Path) -> None:
    trace = random_trace([f"t{i}" for i in range(600)])
    assert not is_whole(trace, "encoder", 0)
    view = AttentionView(trace, pinned={"query": 5}, mode="matrix")
    view.save(tmp_path / "x.html", budget=2_000_000)
    html = (tmp_path / "x.html").read_text()
    tiles: dict[str, Any] = {}
    for name, one in state_of(html)["tiles"].items():
        tiles.setdefault(json.loads(name)["kind"], (json.loads(name), one))
    assert {"tile", "mask", "received", "row", "measures", "thumbnails", "block"} <= {*tiles}
    key, tile = tiles["block"]
    rows, cols = slice(key["index"] * 16, key["index"] * 16 + 16), slice(key["from"], key["to"])
    near = trace.attention("encoder", layer=0, rows=rows, cols=cols)
    np.testing.assert_allclose(numbers_of(tile), near, atol=0.51 / 255 * float(near.max()))
    key, tile = tiles["tile"]
    assert (key["level"], key["members"]) == (2, [[0, 0], [0, 1]])
    found = numbers_of(tile)
    expected = view.shown.pooled(slice(0, 600), slice(0, 600), factor=4, pool="max").values[0]
    np.testing.assert_allclose(found, expected, atol=0.51 / 255 * float(expected.max()))
    np.testing.assert_allclose(
        numbers_of(tiles["row"][1]), trace.attention("encoder", layer=0, rows=5), atol=1e-6
    )
    levels = {json.loads(name).get("level") for name in state_of(html)["tiles"]}
    assert {2, 1, 0} <= levels
    assert "as pooled pictures" in html


def test_a_page_has_all_numbers_of_the_layer_shown_where_they_fit(tmp_path: Path) -> None:
    trace = random_trace([f"t{i}" for i in range(600)])
    AttentionView(trace, layer=0).save(tmp_path / "x.html")
    state = state_of((tmp_path / "x.html").read_text())
    whole = numbers_of(state["tiles"][whole_name("encoder", 0)])
    np.testing.assert_allclose(whole, trace.attention("encoder", layer=0), rtol=1e-3, atol=1e-6)
    assert state["traits"]["meta"]["whole_limit"] == 2 * 600 * 600


def test_a_frozen_view_is_a_page_in_a_frame_over_a_picture(trace: Trace) -> None:
    frozen = AttentionView(trace, stage="cross").freeze()
    data = frozen._repr_mimebundle_()
    assert {*data} == {"text/html", "image/png", "text/plain"}
    frame = re.search(r"<iframe[^>]*? srcdoc='([^']*)'></iframe>", data["text/html"])
    assert frame is not None
    page = frame[1].replace("&#39;", "'").replace("&amp;", "&")
    assert state_of(page)["traits"]["stage"] == "cross"
    assert 'sandbox="allow-scripts"' in data["text/html"]
    assert f"data:image/png;base64,{data['image/png']}" in data["text/html"]
    assert data["text/plain"].startswith("Frozen(all 6 layers of 3 stages, ")
