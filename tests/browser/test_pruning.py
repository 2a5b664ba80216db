"""Heads switched off in the picture, in JupyterLab: what the page says is what Python says."""

from __future__ import annotations

import ast
import re
from typing import Any

from playwright.sync_api import Locator, expect

from .conftest import Open
from .jupyter import JupyterServer
from .opened import OpenNotebook
from .test_explorer import number, settle, shown_in, token

SENTENCE = "We went to the market with our friends."
CELLS = [
    f"""
import jtviz
translator = jtviz.demo.translator()
view = jtviz.show_pruning(translator, {SENTENCE!r}, colouring="effect")
view
""",
    f"attention = jtviz.show_attention(translator, {SENTENCE!r})\nattention",
]
IMPORTANCE = [
    """
import jtviz
from jtviz.demo import triage
notes = [(note.text, triage.LABELS[note.label]) for note in triage.notes(40, seed=3)]
found = jtviz.head_importance(jtviz.demo.classifier(), notes, method=["exact", "gradient"], progress=False)
box = found.view()
box
""",
    """
curve = jtviz.analysis.pruning_curve(jtviz.demo.classifier(), notes, found, progress=False).view()
curve
""",
]


def pruning_in(opened: OpenNotebook, cell: int = 0) -> Locator:
    view = opened.output(cell).get_by_role("region", name="jtviz pruning")
    view.scroll_into_view_if_needed()
    return view


def head(view: Locator, stage: str, layer: int, index: int) -> Locator:
    return view.get_by_role("button", name=re.compile(rf"^{stage}, layer {layer}, head {index}:"))


def said(view: Locator, name: str | re.Pattern[str]) -> Locator:
    return view.get_by_role("group", name=name).locator(".model-text")


def of(opened: OpenNotebook, expression: str) -> Any:
    return ast.literal_eval(opened.python(f"print({expression})"))


def without(opened: OpenNotebook, heads: str) -> str:
    """Return what the translator writes in Python with heads off."""
    return opened.python(
        f"with translator.ablate(heads={heads}): print(translator.generate({SENTENCE!r}))"
    ).strip()


def test_a_head_that_is_clicked_off_changes_the_text_and_undo_brings_it_back(
    lab: JupyterServer, open_notebook: Open
) -> None:
    opened = open_notebook(lab, lab.write_notebook("pruning.ipynb", CELLS))
    opened.run_all()
    view = pruning_in(opened)
    intact = of(opened, "repr(view.effect.intact.text)")
    expect(said(view, "Intact").first).to_have_text(intact)
    opened.picture("pruning", view)

    # One head, then the whole of a layer: the text is Python's.
    head(view, "decoder", 0, 3).click()
    expect(head(view, "decoder", 0, 3)).to_have_attribute("aria-pressed", "true")
    expect(said(view, "With 1 head off")).to_have_text(without(opened, "{('decoder', 0): [3]}"))
    value = of(opened, "view.effect.ablated.value")
    expect(view.get_by_role("table", name=re.compile("^probability"))).to_contain_text(number(value))
    expect(view).to_contain_text(f"KL divergence {number(of(opened, 'view.effect.kl'))} nats")
    for layer in (0, 1):
        view.get_by_role("button", name=re.compile(f"^cross, layer {layer}: .*all", re.IGNORECASE)).click()
    off = "{('decoder', 0): [3], ('cross', 0): None, ('cross', 1): None}"
    pruned = without(opened, off)
    assert pruned != intact
    expect(said(view, "With 9 heads off")).to_have_text(pruned)
    expect(view.locator("del, ins").first).to_be_visible()
    opened.picture("pruning-off", view)

    # Attention that moved, most first, in Python's figures.
    moved = of(opened, "[(s, l, h) for s, l, h, _ in view.effect.strongest_moved(2)]")
    names = view.get_by_role("region", name="Attention that moved").get_by_role("button")
    for place, (stage, layer, index) in enumerate(moved):
        expect(names.nth(place)).to_contain_text(f"{stage} {layer}.{index}")

    # Undo and redo, by button and by keyboard; hold b for the intact model.
    view.get_by_role("button", name="Undo").click()
    view.get_by_role("button", name="Undo").click()
    expect(said(view, "With 1 head off")).to_be_visible()
    view.press("Control+z")
    expect(head(view, "decoder", 0, 3)).to_have_attribute("aria-pressed", "false")
    expect(view).to_contain_text("nothing is off")
    opened.expect_python("len(view.off)", 0)
    for _ in range(3):
        view.get_by_role("button", name="Redo").click()
    expect(said(view, "With 9 heads off")).to_have_text(pruned)
    opened.expect_python("len(view.off)", 9)
    view.get_by_role("button", name="Reset").click()
    opened.expect_python("len(view.off)", 0)

    # A drag over several is one step.
    box, last = (head(view, "encoder", 0, index).bounding_box() for index in (0, 3))
    assert box is not None
    assert last is not None
    opened.page.mouse.move(box["x"] + 8, box["y"] + 8)
    opened.page.mouse.down()
    opened.page.mouse.move(last["x"] + 8, last["y"] + 8, steps=8)
    opened.page.mouse.up()
    opened.expect_python("view.off.heads", tuple(("encoder", 0, i) for i in range(4)))
    view.get_by_role("button", name="Undo").click()
    opened.expect_python("len(view.off)", 0)

    # Mean ablation, feed-forward units, and the other view, linked by shift-click.
    view.get_by_role("button", name="Mean").click()
    opened.expect_python("view.ablation", "mean")
    view.get_by_role("region", name="Feed-forward units").get_by_role("button").first.click()
    units = view.get_by_role("group", name="Units, the strongest first").get_by_role("button")
    units.first.click()
    strongest = of(opened, "int(abs(view._ablating.units('encoder', 0)).argmax())")
    opened.expect_python("view.off.units", (("encoder", 0, strongest),))
    head(view, "cross", 1, 2).click(modifiers=["Shift"])
    opened.expect_python("(attention.stage, attention.layer, attention.heads)", ("cross", 1, [2]))
    opened.set_theme("JupyterLab Dark")
    opened.picture("pruning-dark", view)


def test_the_attention_view_draws_what_the_pruned_model_looks_at(
    lab: JupyterServer, open_notebook: Open
) -> None:
    opened = open_notebook(lab, lab.write_notebook("switch.ipynb", CELLS))
    opened.run_all()
    view = shown_in(opened, 1)
    settle(view)
    view.get_by_role("button", name="Switch off").click()
    panel = view.get_by_role("region", name="Switch off")
    head(panel, "encoder", 0, 1).click()
    expect(said(panel, "With 1 head off")).to_have_text(without(opened, "{('encoder', 0): [1]}"))
    panel.get_by_role("button", name="pruned").click()
    expect(view).to_contain_text("attention of the model with 1 head off")
    opened.expect_python("attention.draws", "pruned")
    opened.python("attention.stage, attention.layer, attention.heads = 'encoder', 1, [0]")
    # A weight that is hovered is the pruned model's.
    token(view, "query", 3).hover()
    rows = "attention.effect.trace.attention('encoder', layer=1, head=0, rows=[3])[0]"
    strongest = of(opened, f"float({rows}.max())")
    expect(view.get_by_role("status").last).to_contain_text(number(strongest))
    opened.picture("pruning-panel", view)


def test_a_kernel_that_is_busy_or_gone_is_said(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, lab.write_notebook("silent.ipynb", CELLS[:1]), afresh=True)
    opened.run_all()
    view = pruning_in(opened)
    silence = view.get_by_role("alert").filter(has_text="No answer from Python yet")
    with opened.kernel_stopped():
        head(view, "cross", 1, 0).click()
        expect(view).to_contain_text("waiting for Python")
        expect(silence).to_be_visible(timeout=15_000)
        opened.picture("pruning-silent", view)
    # It goes on, and says what was asked meanwhile.
    expect(silence).to_be_hidden(timeout=30_000)
    expect(said(view, "With 1 head off")).to_be_visible()
    opened.kernel_process.kill()
    head(view, "cross", 1, 1).click()
    expect(silence).to_be_visible(timeout=15_000)


def test_the_lesson_runs_from_top_to_bottom(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, "notebooks/03_what_each_head_is_for.ipynb")
    opened.run_all(seconds=300)
    view = opened.page.get_by_role("region", name="jtviz pruning").first
    view.scroll_into_view_if_needed()
    expect(said(view, "With 8 heads off")).to_be_visible()
    opened.picture("03_what_each_head_is_for", view)


def test_importance_is_read_off_the_grid_and_the_curve_sets_its_mask(
    lab: JupyterServer, open_notebook: Open
) -> None:
    opened = open_notebook(lab, lab.write_notebook("importance.ipynb", IMPORTANCE))
    opened.run_all()
    view = opened.output(0).get_by_role("region", name="jtviz importance")
    view.scroll_into_view_if_needed()
    opened.picture("importance", opened.output(0))
    head(view, "encoder", 1, 2).hover()
    score = of(opened, "float(found.scores('exact')['encoder'][1, 2])")
    expect(view.get_by_role("status").first).to_contain_text(number(score))
    view.get_by_role("button", name="Gradient").click()
    opened.expect_python("box.grid.method", "gradient")
    head(view, "encoder", 1, 2).hover()
    score = of(opened, "float(found.scores('gradient')['encoder'][1, 2])")
    expect(view.get_by_role("status").first).to_contain_text(number(score))
    # A point that is clicked is the head that is pinned.
    opened.output(0).locator(".bqplot .dot").nth(3).click()
    opened.expect_python("box.grid.pointed", ["encoder", 0, 3])

    chart = opened.output(1).locator(".bqplot .plotarea_events, .bqplot svg").first
    chart.scroll_into_view_if_needed()
    grid = opened.output(1).get_by_role("region", name="jtviz importance")
    opened.picture("curve", opened.output(1))
    box = opened.output(1).locator(".bqplot .selector").first.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    opened.page.mouse.move(box["x"] + 4, y)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] / 2, y, steps=10)
    opened.page.mouse.up()
    expect(grid.get_by_role("button", pressed=True).first).to_be_visible()
    off = of(opened, "[tuple(one) for one in curve.grid.off]")
    assert 0 < len(off) <= 5
    wanted = of(opened, f"curve.curve.mask(curve.method, {len(off)} / 8).heads")
    assert sorted(off) == sorted(wanted)
    opened.picture("curve-brushed", opened.output(1))
