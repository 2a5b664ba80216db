"""Figures of the view of layers: their numbers are those of the panels; what cannot be computed is said."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import jtviz
from jtviz.analysis.layers.units import StrongestUnits
from jtviz.analysis.layers.waterfall import Step
from jtviz.capture import JtvizError
from jtviz.views.figures.colour import THEMES, head_colour, hex_of, ramp, shade
from jtviz.views.figures.heatmap import COLUMNS, ROWS, pooled
from jtviz.views.figures.lens_table import MEANINGS
from jtviz.views.figures.lettering import width
from jtviz.views.figures.matrix import digits
from jtviz.views.figures.patterns import blend
from jtviz.views.figures.plane import _meet, _named
from jtviz.views.figures.units import unit_bars
from jtviz.views.figures.waterfall import waterfall
from jtviz.views.figures.words import number
from jtviz.views.layer_panels.lens import COLOURS
from jtviz.views.layer_panels.trajectories import axis_note
from jtviz.views.layers import TABS, LayersPanels

TEXT = "I like to drink tea."
SVG = "{http://www.w3.org/2000/svg}"


def shown(tab: str, **settings: Any) -> jtviz.views.LayersView:
    settings = {"pinned": {}} | settings
    return jtviz.show_layers(jtviz.demo.translator(), TEXT, tab=tab, **settings)


def texts_of(path: Path) -> list[ET.Element]:
    return list(ET.parse(path).iter(f"{SVG}text"))  # noqa: S314 - our own


def rects_of(path: Path) -> list[ET.Element]:
    return list(ET.parse(path).iter(f"{SVG}rect"))  # noqa: S314 - our own


def words(path: Path) -> list[str]:
    return [text.text or "" for text in texts_of(path)]


def test_a_saved_waterfall_has_each_bar_with_its_number(tmp_path: Path) -> None:
    view = shown("direct", answer="茶", against="水", detail="head")
    path = tmp_path / "direct.svg"
    view.panels.save(path)
    said = words(path)
    for bar in view.panels.waterfall:
        number = f"{bar.value:+.2f}".replace("-", "−").replace("−0.00", "+0.00")
        assert number in said
        assert any(word.rstrip("…") and bar.name.startswith(word.rstrip("…")) for word in said)
    assert "logit of 茶 − logit of 水" in said
    assert f"{view.panels.direct.value:.2f}" in said


@pytest.mark.parametrize(
    ("value", "said"), [(0.1275, "+0.1275"), (-0.00004, "+0.0000"), (-0.0024, "−0.0024"), (17.25, "+17.25")]
)
def test_numbers_of_a_saved_waterfall_have_the_decimals_of_the_page(value: float, said: str) -> None:
    bars = [Step("bias", "biases", value)]
    drawn = waterfall(bars, ("logit", max(0.2166, value)), THEMES["light"])
    assert f">{said}<" in "".join(drawn.marks)


@pytest.mark.parametrize("tab", list(TABS))
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_tab_is_saved_as_vectors_and_pixels(tmp_path: Path, tab: str, theme: str) -> None:
    view = shown(tab)
    view.save(tmp_path / "a.svg", theme=theme)
    view.save(tmp_path / "a.png", theme=theme, scale=1)
    root = ET.parse(tmp_path / "a.svg").getroot()  # noqa: S314 - our own
    title, caption = (root.findtext(f"{SVG}{name}") or "" for name in ("title", "desc"))
    said = "".join(words(tmp_path / "a.svg"))
    assert title.replace(" ", "") in said.replace(" ", "")
    assert len(caption) > 40
    paper = next(root.iter(f"{SVG}rect")).get("fill")
    assert paper == hex_of(THEMES[theme].paper)
    picture = Image.open(tmp_path / "a.png")
    picture.load()
    wide, high = (float((root.get(name) or "")[:-2]) * 96 / 72 for name in ("width", "height"))
    assert picture.size == pytest.approx((wide, high), abs=1.5)
    assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 20
    # The panels save the same.
    view.panels.save(tmp_path / "b.svg", theme=theme)
    assert (tmp_path / "b.svg").read_bytes() == (tmp_path / "a.svg").read_bytes()


def test_what_cannot_be_computed_is_said_and_no_file_is_made(tmp_path: Path) -> None:
    view = jtviz.show_layers(jtviz.demo.classifier(), "A man has a cough.", tab="lens")
    with pytest.raises(JtvizError, match="predicts no tokens"):
        view.save(tmp_path / "a.svg")
    with pytest.raises(JtvizError, match=r"saved as \.svg, \.png, not as 'a\.html'"):
        view.save(tmp_path / "a.html")
    with pytest.raises(JtvizError, match="there is no tuned lens yet"):
        shown("lens", through="tuned").save(tmp_path / "a.svg")
    assert not any(tmp_path.iterdir())


def test_a_saved_lens_has_the_likeliest_tokens_bold_where_they_are_the_models(tmp_path: Path) -> None:
    view = shown("lens", stage="decoder")
    view.save(tmp_path / "a.svg")
    lens = view.panels.lens
    layers, rows = lens.entropy.shape
    best = lens.words(lens.ids[..., 0])
    texts = texts_of(tmp_path / "a.svg")
    cells = texts[[text.text for text in texts].index("after layer 1") :]
    drawn = [text for text in cells if text.text not in {"after layer 1", "after layer 0", "enters layer 0"}]
    # The last layer is on top.
    order = [layer * rows + row for layer in reversed(range(layers)) for row in range(rows)]
    is_own = (lens.ids[..., 0] == lens.answer).flatten()
    for at, text in zip(order, drawn, strict=False):
        assert text.text == best[at]
        assert (text.get("font-weight") == "bold") == bool(is_own[at])
    assert "喝" in best
    assert any("CJK" in (text.get("font-family") or "") for text in drawn if text.text == "喝")
    assert "&lt;s&gt;" in (tmp_path / "a.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("by", COLOURS)
def test_cells_of_a_saved_lens_are_shaded_by_the_number_that_the_legend_names(
    by: str, tmp_path: Path
) -> None:
    view = shown("lens", stage="decoder", lens_colour=by)
    view.save(tmp_path / "a.svg")
    lens, look = view.panels.lens, THEMES["light"]
    logits = view.trace.logits
    assert logits is not None
    size = logits.shape[-1]
    values = lens.probability[..., 0] if by == "probability" else getattr(lens, by).double()
    shares = values / values.max()
    if by == "probability":
        shares = values
    elif by == "rank":
        shares = 1 - values.log() / np.log(size)
    fills = [hex_of(shade(ramp(look.paper, None, dark=False), float(x))) for x in shares.flip(0).flatten()]
    cells = [rect.get("fill") for rect in rects_of(tmp_path / "a.svg") if rect.get("rx") == "1.5"]
    assert cells == fills
    said = words(tmp_path / "a.svg")
    assert MEANINGS[by].split(":")[0] in " ".join(said)
    ends = {"probability": "1", "rank": f"{size:,}"}
    assert ends.get(by, f"{number(float(values.max()))} nats") in said


def test_of_a_long_text_the_lens_has_the_positions_round_the_pinned_one(tmp_path: Path) -> None:
    view = jtviz.show_layers(jtviz.demo.induction(), "abc" * 20, tab="lens", pinned={"query": 40})
    view.save(tmp_path / "a.svg")
    assert "Positions 28 to 51 of 60 are shown." in words(tmp_path / "a.svg")
    accent = hex_of(THEMES["light"].accent)
    assert sum(rect.get("stroke") == accent for rect in rects_of(tmp_path / "a.svg")) == 1
    # No other positions were looked at.
    known = view.panels._once_kept["lens", id(None)]
    assert sorted(known.rows) == list(range(28, 52))


@pytest.mark.parametrize("extent", ["paths", "layer"])
def test_saved_paths_are_those_of_the_analysis(extent: str, tmp_path: Path) -> None:
    view = shown("trajectories", stage="encoder", plane="1 × 3", extent=extent, hidden_layer=1)
    view.save(tmp_path / "a.svg")
    found = view.panels.trajectories
    lines = [
        [tuple(map(float, point.split())) for point in (path.get("d") or "")[1:].split("L")]
        for path in ET.parse(tmp_path / "a.svg").iter(f"{SVG}path")  # noqa: S314 - our own
    ]
    drawn = np.array(lines)  # [tokens, layers, 2]
    paths = found.paths[..., [0, 2]].numpy().transpose(1, 0, 2)
    assert drawn.shape == paths.shape
    for axis, sign in ((0, 1), (1, -1)):
        fit = np.polyfit(paths[..., axis].ravel(), drawn[..., axis].ravel(), 1)
        assert fit[0] * sign > 0
        assert np.polyval(fit, paths[..., axis]) == pytest.approx(drawn[..., axis], abs=0.02)
    said = words(tmp_path / "a.svg")
    for axis in (0, 2):
        assert f"PC {axis + 1} ({100 * found.explained[axis]:.0f} % of the variance)" in said
    assert set(found.tokens) & set(said)
    assert "○ where it begins" in " ".join(said)


def test_names_lie_neither_on_one_another_nor_on_points() -> None:
    spread = np.random.default_rng(0).normal(size=(40, 2)) * 40 + 150
    points = [(float(x), float(y)) for x, y in spread]
    marks = _named({i: f"word{i}" for i in range(40)}, points, range(40), (), THEMES["light"])
    assert 5 < len(marks) < 40
    boxes = []
    for mark in map(ET.fromstring, marks):
        x, y = float(mark.get("x") or 0), float(mark.get("y") or 0)
        boxes.append((x, y - 7, x + width(mark.text or "", 8), y + 2))
    for n, one in enumerate(boxes):
        assert not any(_meet(one, other) for other in boxes[:n])
        assert not any(_meet(one, (x - 2.9, y - 2.9, x + 2.9, y + 2.9)) for x, y in points)


@pytest.mark.parametrize("centred", [False, True])
def test_a_saved_similarity_has_its_numbers_by_what_is_compared(centred: bool, tmp_path: Path) -> None:
    pinned = {"query": 3}
    for compared in ("tokens", "itself", "layers"):
        view = shown("similarity", compared=compared, centred=centred, stage="encoder", pinned=pinned)
        view.save(tmp_path / "a.svg")
        found = view.panels.similarity
        tables = {"tokens": found.tokens, "itself": found.layers[3], "layers": view.panels.cka.values}
        table = tables[compared]
        said = [text.text for text in texts_of(tmp_path / "a.svg") if text.get("font-size") == "7.5"]
        assert said == [digits(float(value)) or "0" for value in table.flatten()]
        joined = " ".join(words(tmp_path / "a.svg"))
        assert ("subtracted" in joined) == (centred and compared != "layers")
        names = found.labels if compared == "tokens" else ("before layer 0", "after layer 0", "after layer 1")
        assert all(joined.count(name) >= 2 for name in names)


def test_saved_units_have_their_numbers(tmp_path: Path) -> None:
    view = shown("neurons", stage="decoder", pinned={"query": 2})
    view.save(tmp_path / "a.svg")
    found, said = view.panels.strongest_units, words(tmp_path / "a.svg")
    assert view.panels.focused == 2
    for unit, value in zip(found.units, found.values, strict=True):
        assert said[said.index(str(unit)) + 1] == number(value)
    bars = [float(rect.get("width") or 0) for rect in rects_of(tmp_path / "a.svg") if rect.get("rx") == "1"]
    assert np.array(bars) / bars[0] == pytest.approx(np.abs(found.values) / abs(found.values[0]), abs=1e-3)


def test_bars_of_negative_units_point_the_other_way_in_another_colour() -> None:
    part = unit_bars(StrongestUnits((7, 3, 5), (2.0, -1.0, 0.0), (0.5, 0.02, 0.0)), THEMES["light"])
    bars = [mark for mark in map(ET.fromstring, part.marks) if mark.get("rx")]
    assert len(bars) == 2  # what is not set off has none
    ends = [(float(bar.get("x") or 0), float(bar.get("width") or 0)) for bar in bars]
    assert ends[1][0] + ends[1][1] == pytest.approx(ends[0][0], abs=0.02)
    assert bars[0].get("fill") != bars[1].get("fill")
    assert part.legend
    said = [mark.text for mark in map(ET.fromstring, part.marks)]
    assert "50 %" in said
    assert "2.0 %" in said
    assert "−1" in said


def test_saved_patterns_colour_the_text(tmp_path: Path) -> None:
    view = shown("neurons", neurons="patterns", components=3, stage="encoder")
    view.save(tmp_path / "a.svg", theme="dark")
    weights = view.panels.factors.weights[0]
    best, most = weights.argmax(1).tolist(), weights.amax(1).tolist()
    paper = THEMES["dark"].paper
    fills = [hex_of(blend(paper, head_colour(k, dark=True), x)) for k, x in zip(best, most, strict=True)]
    drawn = [rect.get("fill") for rect in rects_of(tmp_path / "a.svg") if rect.get("height") == "14"]
    assert drawn == fills
    numbers = [text.text for text in texts_of(tmp_path / "a.svg") if text.get("font-size") == "6.5"]
    assert numbers == [str(k) for k, x in zip(best, most, strict=True) if x >= 0.05]
    units = view.panels.factors.components.argsort(dim=1, descending=True, stable=True)[:, :3].tolist()
    said = words(tmp_path / "a.svg")
    assert all(", ".join(map(str, row)) in said for row in units)


@pytest.mark.parametrize("tab", ["lens", "trajectories", "similarity"])
def test_markup_in_a_text_stays_text(tmp_path: Path, tab: str) -> None:
    view = jtviz.show_layers(jtviz.demo.induction(), '<b>&"x"</b><script>', tab=tab, pinned={})
    view.save(tmp_path / "a.svg")
    view.save(tmp_path / "a.png")
    assert set('<"') <= set("".join(words(tmp_path / "a.svg")))
    assert "<script" not in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_markup_among_the_tokens_of_a_pattern_stays_text(tmp_path: Path) -> None:
    view = shown("neurons", neurons="patterns", stage="decoder")
    view.save(tmp_path / "a.svg")
    assert "<s>" in words(tmp_path / "a.svg")


def test_a_picture_starts_no_work_and_is_of_the_tab_once_that_is_there() -> None:
    trace = jtviz.demo.translator().trace(TEXT)
    settings: dict[str, dict[str, Any]] = {
        "trajectories": {},
        "lens": {},
        "neurons": {"neurons": "patterns"},
        "similarity": {"compared": "layers"},
    }
    work = {
        "trajectories": "trajectories",
        "lens": "lens",
        "neurons": "factors",
        "similarity": "cka",
    }
    for tab, more in settings.items():
        panels = LayersPanels(trace, tab=tab, **more)
        before = panels.picture()
        kinds = {key[0] for key in panels._once_kept if isinstance(key, tuple)}
        assert kinds <= {"features", "full colour", "variance"}, tab
        assert not panels._activations
        assert getattr(panels, work[tab])
        assert panels.picture() != before, tab
    units = LayersPanels(trace, tab="neurons")
    before = units.picture()
    assert not units._activations
    assert units.strongest_units.units
    assert units.picture() != before


def test_a_cells_output_has_a_picture_and_starts_no_attribution() -> None:
    view = shown("direct", answer="茶")
    bundle = view._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert not view.panels._direct_is_there
    before = view.panels.picture()
    assert view.panels.direct.heads
    assert view.panels.picture() != before  # now the waterfall is there


def test_a_table_that_is_too_large_keeps_the_largest_magnitude_of_each_block() -> None:
    values = np.random.default_rng(0).normal(size=(2 * ROWS - 1, COLUMNS + 1)).astype(np.float32)
    drawn, names, said = pooled(values, ("x",) * len(values))
    assert drawn.shape == (ROWS, COLUMNS // 2 + 1)
    assert len(names) == len(drawn)
    assert re.search("2 × 2 numbers", said)
    for row, column in ((0, 0), (ROWS - 1, 3), (5, COLUMNS // 2)):
        block = values[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert drawn[row, column] == block.flat[np.abs(block).argmax()]


def test_what_takes_an_axis_for_itself_is_said_beneath_the_paths(tmp_path: Path) -> None:
    view = shown("trajectories", stage="encoder")
    hidden = view.trace.hidden("encoder")
    assert view.panels.trajectories.paths.shape[:2] == hidden.shape[:2]
    view.save(tmp_path / "a.svg")
    caption = ET.parse(tmp_path / "a.svg").getroot().findtext(f"{SVG}desc") or ""  # noqa: S314 - our own
    for axis in view.panels.axes():
        note = axis_note(view.panels.trajectories, axis)
        assert (f"PC {axis + 1} {note}." in caption) == bool(note)
    assert any(axis_note(view.panels.trajectories, axis) for axis in view.panels.axes())
