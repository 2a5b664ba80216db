"""Figures of the view of layers: their numbers are those of the panels, and what cannot be drawn is said."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jtviz
from jtviz.capture import JtvizError
from jtviz.views.layers_figure import COLUMNS, ROWS, _pooled

TEXT = "I like to drink tea."


def shown(tab: str, **settings: Any) -> jtviz.views.LayersView:
    return jtviz.show_layers(jtviz.demo.translator(), TEXT, tab=tab, pinned={}, **settings)


def words(path: Path) -> list[str]:
    return [text.text or "" for text in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314 - our own


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


@pytest.mark.parametrize("tab", ["features", "similarity", "direct"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_are_saved_as_vectors_and_pixels(tmp_path: Path, tab: str, theme: str) -> None:
    panels = shown(tab).panels
    panels.save(tmp_path / "a.svg", theme=theme)
    panels.save(tmp_path / "a.png", theme=theme)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    side = panels.side if tab != "direct" else "decoder"
    assert any(side in line for line in words(tmp_path / "a.svg"))


@pytest.mark.parametrize("tab", ["trajectories", "lens", "neurons"])
def test_a_tab_that_has_no_figure_says_so(tmp_path: Path, tab: str) -> None:
    with pytest.raises(JtvizError, match=f"'{tab}' cannot be saved as a figure: open features, similarity"):
        shown(tab).panels.save(tmp_path / "a.svg")
    assert not any(tmp_path.iterdir())


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
    drawn, names, said = _pooled(values, ("x",) * len(values))
    assert drawn.shape == (ROWS, COLUMNS // 2 + 1)
    assert len(names) == len(drawn)
    assert re.search("2 × 2 numbers", said)
    for row, column in ((0, 0), (ROWS - 1, 3), (5, COLUMNS // 2)):
        block = values[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert drawn[row, column] == block.flat[np.abs(block).argmax()]
