"""What a prediction rests on, in JupyterLab: each number against Python's, and linked across cells."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from .conftest import Open
from .jupyter import JupyterServer
from .opened import OpenNotebook
from .test_explorer import number, percent, settle, shown_in, token

SENTENCE = "I like to drink tea."
NOTE = "Ward R7. Man, 60. Has crushing chest pain. No slurred speech."
LINKED = [
    f"""
import jtviz
translator = jtviz.demo.translator()
attention = jtviz.show_attention(translator, {SENTENCE!r}, stage="cross", layer=1, heads=[0])
attention
""",
    f"""
import jtviz.views.attribution
jtviz.views.attribution.QUICK = 0.0  # nothing is checked without being asked for
gradients = jtviz.show_gradients(translator, {SENTENCE!r}, progress=False)
gradients
""",
]
CHOSEN = [
    f"""
import jtviz
import jtviz.views.attribution
jtviz.views.attribution.QUICK = 60.0  # everything is compared, however slow this machine
view = jtviz.show_gradients(jtviz.demo.classifier(), {NOTE!r}, target="urgent")
view
"""
]
EXPLAINED = [
    f"""
import jtviz
classifier = jtviz.demo.classifier()
jtviz.show_attention(classifier, {NOTE!r})
""",
    f"explanation = jtviz.explain(classifier, {NOTE!r})\nexplanation",
]
SLOW = [
    """
import jtviz
import jtviz.views.gradients as gradients
gradients.SHOWN_FROM = 0.0  # everything takes long
view = jtviz.show_gradients(jtviz.demo.classifier(), "Man, 60. Has a seizure.", target="urgent")
view
""",
    "before = view.strip.attributions[0].n_steps",
]


def strip_in(opened: OpenNotebook, cell: int) -> Locator:
    strip = opened.output(cell).get_by_role("region", name="jtviz attribution")
    strip.scroll_into_view_if_needed()
    return strip


def of(opened: OpenNotebook, expression: str) -> Any:
    return ast.literal_eval(opened.python(f"print({expression})"))


def test_an_output_shows_what_it_rests_on_here_and_where_it_looked(
    lab: JupyterServer, open_notebook: Open
) -> None:
    opened = open_notebook(lab, lab.write_notebook("gradients.ipynb", LINKED))
    opened.run_all()
    strip = strip_in(opened, 1)
    opened.picture("gradients-matrix", strip)
    strip.get_by_role("button", name="Text", exact=True).click()
    explained = strip.get_by_role("group", name="Explained")
    names = of(opened, "[a.score.target.name for a in gradients.attributions]")
    assert [text.split("\n")[0] for text in explained.get_by_role("button").all_inner_texts()] == names

    # A click on an output: its source here, and the row that predicts it in the attention view.
    tea = names.index("茶")
    explained.get_by_role("button", name="茶").click()
    expect(strip).to_contain_text("logit of 茶 = ")
    opened.expect_python("attention.pinned", {"query": tea, "key": None})
    # Of several outputs each is checked when that is asked for.
    strip.get_by_role("button", name="take tokens away, and see").click()
    faith = strip.get_by_role("group", name="Faithfulness")
    expect(faith).to_contain_text("the probability of 茶 loses", timeout=30_000)
    status = strip.get_by_role("status")
    source = strip.get_by_role("group", name="Tokens, encoder").get_by_role("button")
    source.nth(4).hover()
    score = of(opened, f"float(gradients.attributions[{tea}].scores['encoder'][4])")
    expect(status).to_contain_text(f"tea {number(score)}")
    opened.picture("gradients-text", strip)

    # The token that is hovered here is lit in the other cell, and the other way round.
    view = shown_in(opened)
    settle(view)
    source.nth(4).hover()
    expect(token(view, "key", 4)).to_have_attribute("data-state", "hover")
    token(view, "key", 3).hover()
    expect(source.nth(3)).to_have_attribute("data-state", "hover")
    # A row that is pinned in the attention view is the output that is explained.
    token(view, "query", 3).click()
    expect(explained.get_by_role("button", name=names[3])).to_have_attribute("aria-pressed", "true")


def test_another_method_is_computed_when_it_is_chosen_and_its_worth_is_said(
    lab: JupyterServer, open_notebook: Open
) -> None:
    opened = open_notebook(lab, lab.write_notebook("methods.ipynb", CHOSEN))
    opened.run_all()
    strip = strip_in(opened, 0)
    worth = strip.get_by_role("group", name="Completeness")
    off = of(opened, "view.attributions[0].relative_delta")
    expect(worth).to_contain_text(f"off by {percent(off)}")
    expect(worth).to_have_attribute("data-state", "good")

    faith = strip.get_by_role("group", name="Faithfulness")
    expect(faith).to_contain_text("✓ better than random order")
    expect(opened.output(0).locator(".bqplot path.line").first).to_be_attached()
    strip.get_by_text("how far to trust it, in figures").click()
    lost = of(opened, "float(view.strip.trusts[0].faithfulness.aopc_comprehensiveness)")
    row = strip.get_by_role("table", name="Faithfulness").get_by_role("row", name="comprehensiveness")
    expect(row.get_by_role("cell").first).to_have_text(number(lost))
    expect(strip.get_by_role("table", name="Rank correlation of methods")).to_be_visible()
    # Methods that do no better than chance are marked.
    better = of(opened, "[f.beats_random for f in view.strip.trusts[0].by_method.values()]")
    worse = strip.get_by_role("table", name="What is lost").get_by_role("rowheader", name="⚠")
    expect(worse).to_have_count(better.count(False))
    opened.picture("gradients-trust", opened.output(0))
    opened.picture("gradients-curves", opened.output(0).locator(".widget-vbox .widget-vbox"))

    strip.get_by_label("Method").select_option(label="DeepLift")
    expect(worth).to_have_attribute("data-state", "bad")
    expect(strip.get_by_role("list", name="Notes")).to_contain_text("trust them less")
    opened.picture("gradients-incomplete", strip)
    strip.get_by_label("Baseline").select_option(label="zero")
    opened.expect_python("view.attributions[0].baseline", "zero")

    strip.get_by_label("Method").select_option(label="layer conductance")
    layer = strip.get_by_label("Layer explained")
    expect(layer).to_have_attribute("max", "1")
    expect(layer).to_have_value("0")
    words = strip.get_by_role("group", name="Tokens, encoder").get_by_role("button")
    words.nth(4).hover()
    rows = of(opened, "view.attributions[0].by_layer['encoder'][:, 4].tolist()")
    name = of(opened, "repr(view.strip.trace.tokens['encoder'][4])")
    expect(strip.get_by_role("status")).to_contain_text(f"{name} {number(rows[0])}")
    layer.focus()
    layer.press("ArrowRight")
    words.nth(4).hover()
    expect(strip.get_by_role("status")).to_contain_text(f"{name} {number(rows[1])}")
    expect(strip.get_by_label("Baseline")).to_be_visible()
    strip.get_by_label("Method").select_option(label="rollout")
    expect(strip.get_by_label("Baseline")).to_be_hidden()
    expect(worth).to_contain_text("promises no sum")


def test_a_bar_that_is_clicked_is_a_token_that_is_pinned(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, lab.write_notebook("bars.ipynb", CHOSEN))
    opened.run_all()
    strip = strip_in(opened, 0)
    bars = opened.output(0).locator(".bqplot rect.bar")
    expect(bars).to_have_count(of(opened, "len(view.strip.trace.tokens['encoder'])"))
    opened.picture("gradients-bars", opened.output(0))
    index = of(opened, "int(abs(view.attributions[0].scores['encoder']).argmax())")
    bars.nth(index).click()
    opened.expect_python("view.strip.pinned", {"query": None, "key": index})
    pinned = strip.get_by_role("group", name="Tokens, encoder").get_by_role("button").nth(index)
    expect(pinned).to_have_attribute("data-state", "pinned")
    opened.set_theme("JupyterLab Dark")
    opened.picture("gradients-bars-dark", opened.output(0))


def test_what_takes_long_is_there_coarse_first_and_once(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, lab.write_notebook("slow.ipynb", SLOW))
    opened.run_all()
    strip = strip_in(opened, 0)
    expect(strip).to_have_count(1)
    expect(strip).to_contain_text("50 points")
    assert of(opened, "before") == 50


def test_an_explanation_is_linked_with_attention_in_another_cell(
    lab: JupyterServer, open_notebook: Open
) -> None:
    opened = open_notebook(lab, lab.write_notebook("explain.ipynb", EXPLAINED))
    opened.run_all()
    view, strip = shown_in(opened), strip_in(opened, 1)
    expect(strip).to_contain_text("sequence-classification: urgent")
    faith = strip.get_by_role("group", name="Faithfulness")
    expect(faith).to_contain_text("the probability of urgent loses")
    words = strip.get_by_role("group", name="Tokens, encoder").get_by_role("button")
    words.nth(7).hover()
    view.scroll_into_view_if_needed()
    expect(token(view, "key", 7)).to_have_attribute("data-state", "hover")
    token(view, "key", 5).click()
    expect(words.nth(5)).to_have_attribute("data-state", "pinned")
    opened.expect_python("explanation.target.name", "urgent")
    opened.picture("explain", strip)


@pytest.mark.parametrize("name", ["02_why_did_it_say_that", "audit_triage"])
def test_the_lessons_run_from_top_to_bottom(lab: JupyterServer, open_notebook: Open, name: str) -> None:
    opened = open_notebook(lab, f"notebooks/{name}.ipynb")
    opened.run_all()
    strips = opened.page.get_by_role("region", name="jtviz attribution")
    strips.first.scroll_into_view_if_needed()
    expect(strips.first).to_contain_text("scores sum to")
    opened.picture(name, strips.first)
