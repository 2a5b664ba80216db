"""The lens in JupyterLab: what the page says is what Python says."""

from __future__ import annotations

import ast
from typing import Any

from playwright.sync_api import Locator, expect

from .conftest import Open
from .jupyter import JupyterServer
from .opened import OpenNotebook
from .test_explorer import number, shown_in, token

SENTENCE = "We went to the market with our friends."
CELLS = [
    f"""
import jtviz
translator = jtviz.demo.translator()
view = jtviz.show_layers(translator, {SENTENCE!r}, tab="lens", stage="decoder")
panels = view.panels
view
""",
    f"attention = jtviz.show_attention(translator, {SENTENCE!r}, stage='decoder')\nattention",
]


def of(opened: OpenNotebook, expression: str) -> Any:
    return ast.literal_eval(opened.python(f"print({expression})"))


def cell(view: Locator, layer: int, row: int) -> Locator:
    return view.locator(f"[data-layer='{layer}'][data-row='{row}']")


def test_the_lens_reads_layers_pins_positions_and_is_tuned(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, lab.write_notebook("lens.ipynb", CELLS))
    opened.run_all()
    view = opened.output(0).get_by_role("region", name="jtviz layers")
    view.scroll_into_view_if_needed()

    # The last layer reads the translation; every cell is the likeliest token in Python.
    words = of(opened, "[panels.lens.words(layer) for layer in panels.lens.ids[..., 0]]")
    assert words[-1] == of(opened, "list(panels.trace.predicts)")
    for layer, line in enumerate(words):
        for row, word in enumerate(line):
            expect(cell(view, layer, row)).to_have_text(word)

    # What is pointed at is said, in a place that was there before.
    before = view.bounding_box()
    cell(view, 0, 3).hover()
    rank = of(opened, "int(panels.lens.rank[0, 3])")
    expect(view.get_by_role("status").last).to_contain_text(f"has rank {rank:,}")
    assert view.bounding_box() == before

    # A click pins the position everywhere, and follows the token through the layers.
    cell(view, 0, 3).click()
    opened.expect_python("attention.pinned", {"query": 3, "key": None})
    expect(token(shown_in(opened, 1), "query", 3)).to_have_attribute("data-state", "pinned")
    followed = view.get_by_role("group", name="Tokens that are followed")
    expect(followed.locator("b")).to_have_text([words[-1][3], words[0][3]])
    opened.picture("lens", view)
    followed.get_by_role("button").click()
    expect(followed.locator("b")).to_have_text([words[-1][3]])

    # By keyboard; a row's name moves the layer slider of all views.
    view.get_by_role("grid").focus()
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("ArrowUp")
    opened.page.keyboard.press("Enter")
    opened.expect_python("attention.pinned", {"query": 4, "key": None})
    view.get_by_role("button", name="Show after layer 1").click()
    opened.expect_python("(panels.hidden_layer, attention.layer)", (2, 1))

    # Colours are said in words.
    colours = view.get_by_role("combobox", name="Colour")
    colours.select_option("entropy")
    expect(view.locator(".legend")).to_contain_text("nats")
    colours.select_option("rank")
    expect(view.locator(".legend")).to_contain_text("rank of the model’s answer in the layer, log scale")
    opened.expect_python("panels.lens_colour", "rank")

    # A tuned lens, trained in the page.
    view.get_by_role("button", name="Tuned lens").click()
    texts = view.get_by_role("textbox", name="Texts to train on")
    texts.fill("I like tea.\nHe wants a book.\nThey see some water.")
    view.get_by_role("spinbutton", name="Steps").fill("20")
    view.get_by_role("spinbutton", name="Steps").blur()
    view.get_by_role("button", name="Train").click()
    expect(view.locator("summary")).to_contain_text("trained on", timeout=60_000)
    apart = [
        of(opened, f"float(panels.lens_of(3, {kind!r}).divergence[0, 0])") for kind in ("logit", "tuned")
    ]
    assert apart[1] < apart[0]
    cell(view, 0, 3).hover()
    expect(view.get_by_role("status").last).to_contain_text(f"KL {number(apart[1])} nats")
    opened.picture("lens-tuned", view)
