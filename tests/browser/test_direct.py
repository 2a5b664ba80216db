"""Direct logits in JupyterLab: the waterfall is Python's, and leads to the heads in every view."""

from __future__ import annotations

import ast
import re
from typing import Any

from playwright.sync_api import Locator, expect

from .conftest import Open
from .jupyter import JupyterServer
from .opened import OpenNotebook

SENTENCE = "I like to drink tea."
CELLS = [
    f"""
import jtviz
translator = jtviz.demo.translator()
view = jtviz.show_layers(translator, {SENTENCE!r}, tab="direct", answer="茶")
view
""",
    f"attention = jtviz.show_attention(translator, {SENTENCE!r})\nattention",
]


def of(opened: OpenNotebook, expression: str) -> Any:
    return ast.literal_eval(opened.python(f"print({expression})"))


def written(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def row(view: Locator, name: str) -> Locator:
    return view.get_by_role("button", name=re.compile(rf"^{name}:"))


def test_the_waterfall_is_pythons_and_leads_to_heads_and_units(
    lab: JupyterServer, open_notebook: Open
) -> None:
    opened = open_notebook(lab, lab.write_notebook("direct.ipynb", CELLS))
    opened.run_all()
    view = opened.output(0).get_by_role("region", name="jtviz layers")
    view.scroll_into_view_if_needed()
    total = view.get_by_role("status").filter(has_text="the terms sum to it")

    # The answer is explained where the translation has it.
    value = of(opened, "view.panels.direct.value")
    expect(total).to_contain_text(f"logit of 茶 = {written(value)}")
    adds = of(opened, "[(bar.name, bar.value) for bar in view.panels.waterfall]")
    bars = view.locator(".waterfall .step[data-key]")
    expect(bars).to_have_count(len(adds))
    for place, (name, added) in enumerate(adds):
        expect(bars.nth(place)).to_have_attribute(
            "aria-label", re.compile(rf"^{re.escape(name)}: [+−]{written(abs(added))[-4:]}")
        )
    opened.picture("direct", view)

    # A head leads the attention view in the other cell to it, and is marked.
    view.get_by_role("button", name="By head", exact=True).click()
    head = row(view, "cross 1 · head 2")
    head.click()
    opened.expect_python("(attention.stage, attention.layer, attention.heads)", ("cross", 1, [2]))
    expect(head).to_have_attribute("aria-pressed", "true")
    head.press("ArrowUp")
    expect(row(view, "cross 1 · head 1")).to_be_focused()

    # A feed-forward layer unfolds its strongest units.
    row(view, "feed-forward 1").click()
    unit = of(opened, "int(abs(view.panels.direct.units['decoder', 1]).argmax())")
    expect(view.locator(".unit-step").first).to_contain_text(f"unit {unit}")
    expect(view.locator(".unit-step")).to_have_count(11)
    row(view, "feed-forward 1").click()

    # Why this rather than that: the difference of two logits.
    against = view.get_by_role("textbox", name="Against")
    against.fill("水")
    against.press("Enter")
    opened.expect_python("view.panels.against", "水")
    difference = of(opened, "view.panels.direct.value")
    assert difference < value
    expect(total).to_contain_text(f"logit of 茶 − logit of 水 = {written(difference)}")
    opened.picture("direct-against", view)
    against.fill("zzz")
    against.press("Enter")
    expect(view.get_by_role("alert").filter(has_text="'zzz'")).to_be_visible()
    against.fill("")
    against.press("Enter")

    # A pinned token decides the row, and what it predicts is explained.
    view.get_by_role("textbox", name="Answer").fill("")
    view.get_by_role("textbox", name="Answer").press("Enter")
    view.locator('[data-token="1"]').click()
    opened.expect_python("view.panels.direct.target.row", 1)
    name, value = of(opened, "(view.panels.direct.target.name, view.panels.direct.value)")
    expect(total).to_contain_text(f"logit of {name} = {written(value)}")
    opened.set_theme("JupyterLab Dark")
    opened.picture("direct-dark", view)
