"""Feed-forward units in JupyterLab: units and patterns as the page shows them are what Python says."""

from __future__ import annotations

import ast
import re
from typing import Any

from playwright.sync_api import Locator, expect

from .conftest import Open
from .jupyter import JupyterServer
from .opened import OpenNotebook
from .test_explorer import number

SENTENCE = "I like to drink tea with my friends."
CELLS = [
    f"""
import jtviz
texts = ["We drink milk in the morning.", "She reads a book in the park.", "He likes tea more than coffee."]
view = jtviz.show_layers(jtviz.demo.translator(), {SENTENCE!r}, tab="neurons", texts=texts)
view
""",
]


def of(opened: OpenNotebook, expression: str) -> Any:
    return ast.literal_eval(opened.python(f"print({expression})"))


def shade(token: Locator) -> str:
    return str(token.evaluate("(node) => getComputedStyle(node).backgroundColor"))


def test_units_and_patterns_are_those_of_python(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, lab.write_notebook("neurons.ipynb", CELLS))
    opened.run_all()
    view = opened.output(0).get_by_role("region", name="jtviz layers")
    view.scroll_into_view_if_needed()
    text = view.get_by_role("group", name="Tokens, encoder")
    text.get_by_role("button", name="tea").click()
    units = view.get_by_role("group", name="Units that tea sets off most").get_by_role("button")
    found = of(opened, "[view.panels.strongest_units.units, view.panels.strongest_units.values]")
    count = sum(value != 0 for value in found[1])
    found = [one[:count] for one in found]
    expect(units).to_have_count(count)
    assert [int(one.get_attribute("data-unit") or -1) for one in units.all()] == list(found[0])
    expect(units.nth(3)).to_contain_text(number(found[1][3]))

    # Pointed at, a unit shades the text; clicked, its tokens in the data set are shown.
    expect(view.get_by_role("status")).to_contain_text(f"activation of unit {found[0][0]} · at tea")
    units.nth(3).hover()
    expect(view.get_by_role("status")).to_contain_text(f"activation of unit {found[0][3]} · at tea")
    units.nth(3).click()
    opened.expect_python("view.panels.unit", found[0][3])
    rows = view.get_by_role("group", name=f"Tokens that set unit {found[0][3]} off most").locator(".found")
    wanted = of(opened, "[(one.value, one.text, one.label) for one in view.panels.strongest_tokens.tokens]")
    expect(rows).to_have_count(sum(value != 0 for value, _, _ in wanted))
    for (value, number_of_text, label), row in zip(wanted, rows.all(), strict=False):
        expect(row.locator("mark")).to_have_text(label)
        expect(row).to_contain_text(number(value))
        expect(row).to_contain_text(f"text {number_of_text}")
    opened.picture("neurons-units", view)

    # The layer moves with its slider, and the unit is let go of.
    view.get_by_role("slider", name="Layer").press("ArrowRight")
    opened.expect_python("view.panels.hidden_layer", 2)
    opened.expect_python("view.panels.unit", None)
    expect(view).to_contain_text("feed-forward units of layer 1 of the encoder")
    opened.python("view.panels.unit = 100")
    expect(view.get_by_role("button", name=re.compile("^unit 100:"))).to_have_attribute(
        "aria-pressed", "true"
    )

    view.get_by_role("button", name="Patterns").click()
    slider = view.get_by_role("slider", name="Patterns")
    slider.press("Home")
    for _ in range(2):
        slider.press("ArrowRight")
    opened.expect_python("view.panels.components", 3)
    chips = view.get_by_role("button", name=re.compile(r"^Pattern \d"))
    expect(chips).to_have_count(3)
    left_out = round(100 * of(opened, "view.panels.factors.error"))
    expect(view).to_contain_text(f"leave out {left_out} %")
    best = of(opened, "view.panels.factors.weights[0].argmax(1).tolist()")
    tokens = text.get_by_role("button")
    weights = of(opened, "view.panels.factors.weights[0].tolist()")
    for i, token in enumerate(tokens.all()):
        if weights[i][best[i]] >= 0.05:
            expect(token.locator("small")).to_have_text(str(best[i]))
    top = of(opened, "view.panels.factors.weights[0].argmax(0).tolist()")
    chip = chips.nth(1)
    before = shade(tokens.nth(top[0]))
    chip.click()
    # Where a pattern is strongest the token has its colour; others lose theirs.
    assert shade(tokens.nth(top[1])) == shade(chip)
    if best[top[0]] != 1 and weights[top[0]][1] < 0.5:
        assert shade(tokens.nth(top[0])) != before
    opened.picture("neurons-patterns", view)
    opened.set_theme("JupyterLab Dark")
    opened.page.set_viewport_size({"width": 520, "height": 1200})
    expect(chip).to_be_visible()
    assert view.evaluate("(node) => node.scrollWidth <= node.clientWidth + 1")
    opened.picture("neurons-narrow", view)
