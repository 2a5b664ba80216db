"""The attention view as a reader has it: a real JupyterLab, a real Chromium, the embedded translator."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

from .conftest import Open
from .jupyter import JupyterServer
from .opened import OpenNotebook

LESSON = "notebooks/01_look_inside_a_translator.ipynb"
FIRST, SECOND = 3, 5  # the cells that show the two linked views


def view_in(opened: OpenNotebook, cell: int) -> Locator:
    return opened.output(cell).get_by_role("region", name="jtviz attention")


def settle(*views: Locator) -> None:
    """Wait until everything that a view asked the kernel for has arrived."""
    for view in views:
        expect(view.get_by_role("tabpanel")).to_have_attribute("aria-busy", "false")
        expect(view.get_by_role("status")).not_to_contain_text("computing")


def token(view: Locator, side: str, index: int) -> Locator:
    return view.locator(f'[data-side="{side}"][data-index="{index}"]')


def index_of(view: Locator, side: str, text: str) -> int:
    button = view.locator(f'[data-side="{side}"]', has_text=text).first
    expect(button).to_be_visible()
    return int(button.get_attribute("data-index") or -1)


def test_a_reader_looks_inside_the_translator(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, LESSON)
    opened.run_all()
    first, second = view_in(opened, FIRST), view_in(opened, SECOND)
    first.scroll_into_view_if_needed()
    settle(first, second)
    layer, status = first.get_by_role("slider", name="Layer"), first.get_by_role("status")

    # What the notebook set from Python is what both views show.
    expect(first.get_by_role("tab", name="Cross")).to_have_attribute("aria-selected", "true")
    expect(layer).to_have_attribute("aria-valuenow", "1")
    expect(second.get_by_role("slider", name="Layer")).to_have_attribute("aria-valuenow", "1")

    # The mouse: stage, slider, head, token.
    first.get_by_role("tab", name="Encoder").click()
    box = layer.bounding_box()
    assert box is not None
    layer.click(position={"x": 4, "y": box["height"] / 2})
    expect(layer).to_have_attribute("aria-valuenow", "0")
    layer.click(position={"x": box["width"] - 4, "y": box["height"] / 2})
    expect(layer).to_have_attribute("aria-valuenow", "1")

    heads = [first.get_by_role("button", name=f"Head {head}") for head in range(4)]
    heads[1].click()
    expect(heads[1]).to_have_attribute("aria-pressed", "false")
    heads[1].click(delay=20)
    opened.page.wait_for_timeout(600)  # longer than a double click
    heads[2].dblclick()
    for head, button in enumerate(heads):
        expect(button).to_have_attribute("aria-pressed", str(head == 2).lower())
    heads[2].dblclick()
    for button in heads:
        expect(button).to_have_attribute("aria-pressed", "true")
    heads[2].dblclick()

    station = index_of(first, "query", "station")
    word = token(first, "query", station)
    word.hover()
    expect(word).to_have_attribute("data-state", "hover")
    expect(token(second, "query", station)).to_have_attribute("data-state", "hover")
    expect(status).to_contain_text("Encoder · layer 1 · head 2 · reading station · looks most at")
    word.click()
    expect(word).to_have_attribute("data-state", "pinned")
    opened.page.mouse.move(0, 0)
    expect(token(second, "query", station)).to_have_attribute("data-state", "pinned")
    opened.expect_python(
        "(view.stage, view.layer, view.heads, view.pinned)",
        ("encoder", 1, [2], {"query": station, "key": None}),
    )

    # The keyboard: layers left and right, heads up and down, Escape, Tab.
    word.focus()
    opened.page.keyboard.press("ArrowLeft")
    expect(layer).to_have_attribute("aria-valuenow", "0")
    opened.page.keyboard.press("ArrowDown")
    expect(heads[3]).to_have_attribute("aria-pressed", "true")
    expect(heads[2]).to_have_attribute("aria-pressed", "false")
    opened.page.keyboard.press("ArrowUp")
    expect(heads[2]).to_have_attribute("aria-pressed", "true")
    opened.page.keyboard.press("Escape")
    expect(word).to_have_attribute("data-state", "idle")
    opened.expect_python("view.pinned", {"query": None, "key": None})
    reached = walk_with_tab(opened.page, first)
    wanted = "Encoder, Decoder, Cross, Layer, Head 0, Head 3, Links, Matrix, Text, station"
    for name in wanted.split(", "):
        assert name in reached, f"Tab never reached {name}: {reached}"

    # The number in the status line is the trace's, to three digits.
    first.get_by_role("tab", name="Cross").click()
    settle(first)
    row, column = index_of(first, "query", "车"), index_of(first, "key", "station")
    token(first, "query", row).click()
    token(first, "key", column).hover()
    expect(status).to_contain_text("Cross · layer 0 · head 2 · reading 车, predicting 站 · looks at station")
    exact = float(opened.python(f"print(float(trace.attention('cross', layer=0, head=2)[{row}, {column}]))"))
    weight = f"{exact:.3f}" if exact >= 0.1 else f"{exact:#.3g}"
    expect(status).to_contain_text(f"looks at station {weight}")

    # With the kernel stopped, what follows is the browser's doing.
    with opened.kernel_stopped():
        follows(first, second)
    opened.expect_python("(view.stage, view.layer, view.heads)", ("decoder", 1, [0]))
    # And the other way round: what Python sets, both views show.
    opened.python("view.stage, view.layer, view.heads, view.pinned = 'encoder', 0, [3], {'key': 2}")
    for view in (first, second):
        expect(view.get_by_role("tab", name="Encoder")).to_have_attribute("aria-selected", "true")
        expect(view.get_by_role("slider", name="Layer")).to_have_attribute("aria-valuenow", "0")
        expect(view.get_by_role("button", name="Head 3")).to_have_attribute("aria-pressed", "true")
        expect(view.get_by_role("button", name="Head 0")).to_have_attribute("aria-pressed", "false")
        expect(token(view, "key", 2)).to_have_attribute("data-state", "pinned")


def follows(first: Locator, second: Locator) -> None:
    """Drive the first view and see the second follow."""
    first.get_by_role("tab", name="Decoder").click()
    expect(second.get_by_role("tab", name="Decoder")).to_have_attribute("aria-selected", "true")
    first.get_by_role("slider", name="Layer").press("ArrowRight")
    expect(second.get_by_role("slider", name="Layer")).to_have_attribute("aria-valuenow", "1")
    first.get_by_role("button", name="Head 0").dblclick()
    expect(second.get_by_role("button", name="Head 1")).to_have_attribute("aria-pressed", "false")
    expect(second.get_by_role("button", name="Head 0")).to_have_attribute("aria-pressed", "true")
    token(first, "key", 1).hover()
    expect(token(second, "key", 1)).to_have_attribute("data-state", "hover")
    token(first, "query", 2).click()
    expect(token(second, "query", 2)).to_have_attribute("data-state", "pinned")
    status = second.get_by_role("status")
    expect(status).to_contain_text("Decoder · layer 1 · head 0 · reading")
    expect(status).not_to_contain_text("computing")
    expect(status).to_have_text(first.get_by_role("status").inner_text())


def walk_with_tab(page: Page, view: Locator) -> list[str]:
    """Press Tab through the view and return the names of what had the focus."""
    view.get_by_role("tab", name="Encoder").focus()
    names = []
    for _ in range(60):
        name = page.evaluate(
            """() => {
              let active = document.activeElement;
              while (active?.shadowRoot) active = active.shadowRoot.activeElement;
              return active?.closest("[role=region]") ? active.ariaLabel || active.textContent : null;
            }"""
        )
        if name is None:
            break
        names.append(name)
        page.keyboard.press("Tab")
    return names


def test_the_same_notebook_works_in_notebook_7(notebook: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(notebook, LESSON)
    opened.run_all()
    first, second = view_in(opened, FIRST), view_in(opened, SECOND)
    first.scroll_into_view_if_needed()
    settle(first)
    first.get_by_role("tab", name="Encoder").click()
    expect(second.get_by_role("tab", name="Encoder")).to_have_attribute("aria-selected", "true")
    token(first, "query", 1).click()
    expect(token(second, "query", 1)).to_have_attribute("data-state", "pinned")
    expect(first.get_by_role("status")).to_contain_text("reading is · looks most at")


MARKUP = """
import jtviz
jtviz.show_attention(
    jtviz.demo.translator(), inputs=None, text="<img src=x onerror=alert(1)> </script>", mode="{mode}"
)
"""


def test_markup_in_a_sentence_is_shown_as_text(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(
        lab,
        lab.write_notebook(
            "markup.ipynb", [MARKUP.format(mode=mode) for mode in ("links", "matrix", "text")]
        ),
    )
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    opened.page.on("dialog", refuse)
    opened.run_all()
    for cell in range(3):
        view = view_in(opened, cell)
        view.scroll_into_view_if_needed()
        settle(view)
        assert "<" in "".join(view.locator('[data-side="query"]').all_inner_texts())
        assert view.locator("img, script").count() == 0
    opened.page.remove_listener("dialog", refuse)  # the page is lent to others
    assert asked == []


SINKS = f"""
import sys
import jtviz
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.zoo.families import FAMILIES
family = FAMILIES["gpt-oss"]
jtviz.show_attention(family.build("eager"), inputs=family.inputs(1, "none"), mode="matrix")
"""
ELSEWHERE = """
import jtviz, torch
jtviz.show_attention(jtviz.from_arrays(torch.rand(2, 3, 6, 6).softmax(-1), list("abcdef")))
"""


def test_the_badge_says_what_was_checked_and_sinks_are_named(lab: JupyterServer, open_notebook: Open) -> None:
    translator = SHOW.format(text=SIX, mode="links")
    opened = open_notebook(lab, lab.write_notebook("checks.ipynb", [translator, SINKS, ELSEWHERE]))
    opened.run_all()
    said = (
        ("✓ checked", "Cross layer 1: recomputed rows times the values differ", None),
        ("✓ checked", "Decoder layer 0: recomputed rows", "; the rest looks at no token (a sink)"),
        ("not checked", "Encoder layer 0: this attention was computed elsewhere", None),
    )
    for theme, (cell, (short, long, sums)) in itertools.product(("Light", "Dark"), enumerate(said)):
        opened.set_theme(f"JupyterLab {theme}")
        view = view_in(opened, cell)
        view.scroll_into_view_if_needed()
        settle(view)
        badge = view.get_by_role("button", name=short)
        badge.focus()
        opened.page.keyboard.press("Enter")
        expect(view.get_by_role("note")).to_contain_text(long)
        if sums is None:
            expect(view.get_by_text("each row sums to")).to_be_hidden()
        else:
            expect(view.get_by_text("each row sums to")).to_contain_text(sums)
        opened.picture(f"checked-{cell}-{theme.lower()}", view)
        if cell == 1:
            opened.page.set_viewport_size({"width": 520, "height": 900})
            settle(view)
            opened.picture(f"checked-{cell}-{theme.lower()}-narrow", view)
            opened.page.set_viewport_size({"width": 1280, "height": 900})
            settle(view)
        badge.click()
        expect(view.get_by_role("note")).to_be_hidden()


README = """import jtviz

translator = jtviz.demo.translator()
jtviz.show_attention(translator, "Where is the nearest station?", stage="cross", layer=1)"""


def test_the_picture_of_the_readme(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, lab.write_notebook("readme.ipynb", [README]))
    opened.set_theme("JupyterLab Light")
    opened.page.set_viewport_size({"width": 1000, "height": 900})
    opened.run_all()
    view = view_in(opened, 0)
    view.scroll_into_view_if_needed()
    settle(view)
    token(view, "query", index_of(view, "query", "的")).click()
    status = view.get_by_role("status")
    expect(status).to_contain_text("reading 的, predicting 车 · looks most at station 0.")
    opened.page.mouse.move(0, 0)
    opened.page.wait_for_timeout(300)
    opened.picture("readme", opened.cell(0))


SIX = "Where is the nearest station?"
SIXTY = (
    "If you walk straight down this road for about ten minutes and turn left at the old church, you will "
    "see the station right behind the big library. My brother works there, and he told me that the last "
    "train to the city leaves at nine o'clock, so we should not be late."
)
SHOW = """
import jtviz
view = jtviz.show_attention(jtviz.demo.translator(), {text!r}, mode={mode!r}, stage="cross", layer=1)
view
"""


@pytest.mark.parametrize(("name", "text"), [("6", SIX), ("60", SIXTY)])
def test_every_picture_fits_its_cell(lab: JupyterServer, open_notebook: Open, name: str, text: str) -> None:
    modes = ("links", "matrix", "text")
    opened = open_notebook(
        lab,
        lab.write_notebook(f"pictures-{name}.ipynb", [SHOW.format(text=text, mode=mode) for mode in modes]),
    )
    opened.run_all()
    for theme, (cell, mode) in itertools.product(("Light", "Dark"), enumerate(modes)):
        opened.set_theme(f"JupyterLab {theme}")
        view = view_in(opened, cell)
        view.scroll_into_view_if_needed()
        settle(view)
        if theme == "Light" and cell == 0:
            token(view, "query", 4).click()
        opened.page.mouse.move(0, 0)
        opened.page.wait_for_timeout(300)
        opened.picture(f"{mode}-{name}-{theme.lower()}", view)
        sideways = view.evaluate(
            """root => [...root.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth &&
                 ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)).length"""
        )
        assert sideways == 0
        outside = view.evaluate(
            """root => { const box = root.getBoundingClientRect();
              return [...root.querySelectorAll('button, canvas')].filter(e => {
                const b = e.getBoundingClientRect();
                return b.width > 0 && (b.left < box.left - 1 || b.right > box.right + 1);
              }).map(e => e.outerHTML); }"""
        )
        assert outside == []
        canvas = view.locator("canvas:visible")
        if canvas.count():
            colours = canvas.evaluate(
                """c => new Set(new Uint32Array(
                     c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"""
            )
            assert colours > 20, "the picture is empty"
