"""Paths through the layers, in JupyterLab: what is brushed in the chart is marked in the other view."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from .conftest import Open
from .jupyter import JupyterServer
from .opened import OpenNotebook
from .test_explorer import settle, shown_in, token

SENTENCE = "We went to the market with our friends."
CELLS = [
    f"""
import jtviz
translator = jtviz.demo.translator()
view = jtviz.show_layers(translator, {SENTENCE!r}, tab="trajectories")
view
""",
    f"attention = jtviz.show_attention(translator, {SENTENCE!r})\nattention",
]


def drag(opened: OpenNotebook, area: Locator, to: tuple[float, float]) -> None:
    """Drag over an area from its upper left corner, to a part of its width and height."""
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    opened.page.mouse.move(box["x"] + 2, box["y"] + 2)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + to[0] * box["width"], box["y"] + to[1] * box["height"], steps=8)
    opened.page.mouse.up()


def test_tokens_brushed_in_the_chart_are_marked_in_the_attention_of_another_cell(
    lab: JupyterServer, open_notebook: Open
) -> None:
    opened = open_notebook(lab, lab.write_notebook("trajectories.ipynb", CELLS))
    opened.run_all()
    panel = opened.output(0).get_by_role("region", name="jtviz layers")
    explained = "sum(view.panels.trajectories.explained[:2].tolist())"
    share = round(100 * float(opened.python(f"print({explained})")))
    expect(panel).to_contain_text(f"This plane shows {share} % of the variance")
    opened.picture("trajectories", opened.output(0))

    drag(opened, opened.output(0).locator(".bqplot .overlay"), (0.55, 0.55))
    expect(panel).to_contain_text(re.compile(r"\d tokens are marked"))
    inside = "[i for i in range(10) if i in view._charts['trajectories'].points.selected]"
    opened.expect_python(f"attention.marked == {{'encoder': {inside}}} and len({inside}) > 2", value=True)
    marked = [int(i) for i in re.findall(r"\d+", opened.python("print(attention.marked['encoder'])"))]
    attention = shown_in(opened, 1)
    settle(attention)
    for role in ("query", "key"):
        names = attention.locator(f'[data-side="{role}"][aria-description="marked"]')
        assert [int(node.get_attribute("data-index") or "") for node in names.all()] == marked
    expect(attention).to_contain_text("those of marked tokens stand out")
    opened.picture("trajectories-marked", attention)

    # The points follow the layer, and a click pins where the mouse does not mark.
    opened.python("view.panels.hidden_layer = 2")
    panel.get_by_role("button", name="Click pins").click()
    opened.expect_python("view._charts['trajectories'].figure.interaction", None)
    dots = opened.output(0).locator(".bqplot .object_grp")
    filled = "view._charts['trajectories'].starts.x.size"
    place = int(opened.python(f"print({filled})"))
    dots.nth(place + 9).click(force=True)
    opened.expect_python("attention.pinned", {"query": 9, "key": None})
    settle(attention)
    expect(token(attention, "query", 9)).to_have_attribute("aria-pressed", "true")

    # Escape lets go of the pin, then of the marks.
    token(attention, "query", 0).focus()
    opened.page.keyboard.press("Escape")
    opened.expect_python("attention.pinned", {"query": None, "key": None})
    opened.page.keyboard.press("Escape")
    opened.expect_python("view.panels.marked", {})
    expect(panel).to_contain_text("no tokens are marked")
