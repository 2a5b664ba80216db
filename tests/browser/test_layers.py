"""What each layer knows, in JupyterLab: the numbers that the page says are Python's."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, expect

from .conftest import Open
from .jupyter import JupyterServer
from .opened import OpenNotebook
from .test_explorer import number, value_of

SENTENCE = "I like to drink tea with my friends."
CELLS = [
    f"""
import jtviz
translator = jtviz.demo.translator()
view = jtviz.show_layers(translator, {SENTENCE!r}, hidden_layer=1, stage="encoder")
panels = view.panels
view
""",
    "attention = jtviz.show_attention(trace=view.trace)\nattention",
]


def layers_in(opened: OpenNotebook, cell: int = 0) -> Locator:
    view = opened.output(cell).get_by_role("region", name="jtviz layers")
    view.scroll_into_view_if_needed()
    return view


def cell_at(view: Locator, row: int, column: int, shape: tuple[int, int]) -> Any:
    """Return where in the canvas a cell is; the plot ends at its right and lower edge."""
    box: Any = view.locator("canvas.heatmap").bounding_box()
    wide, high = (
        box["width"] // shape[1],
        18,
    )  # labels have less room than that each column had one pixel more
    left, top = box["width"] - 1 - wide * shape[1], box["height"] - 1 - high * shape[0]
    return {"x": left + wide * (column + 0.5), "y": top + high * (row + 0.5)}


def stream(opened: OpenNotebook, side: str, layer: int, token: int, column: int) -> tuple[int, float]:
    """Return the dimension in a column, and its number."""
    dimension = value_of(opened, f"int(panels.dimensions[{column}])")
    value = value_of(opened, f"float(view.trace.hidden({side!r})[{layer}, {token}, {dimension}])")
    return dimension, value


def test_features_read_point_pin_and_order_as_python_does(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, lab.write_notebook("layers.ipynb", CELLS))
    opened.run_all()
    view = layers_in(opened)
    canvas, status = view.locator("canvas.heatmap"), view.get_by_role("status").first
    expect(canvas).to_have_attribute("aria-label", re.compile("after layer 0, encoder.*: 10 by 192;"))
    limit = value_of(opened, "panels.full_colour(1)")
    expect(view.locator(".legend")).to_contain_text(number(limit))

    # A cell that is hovered says the stream's number; a click pins its token, in the other view too.
    at = cell_at(view, 2, 40, (10, 192))
    canvas.hover(position=at)
    dimension, value = stream(opened, "encoder", 1, 2, 40)
    expect(status).to_have_text(f"token 2 to · dimension {dimension} · {number(value)}")
    canvas.click(position=at)
    opened.expect_python("attention.pinned['query']", 2)

    # By keyboard: one row down, ten columns on.
    canvas.press("ArrowDown")
    canvas.press("Shift+ArrowRight")
    dimension, value = stream(opened, "encoder", 1, 3, 50)
    expect(status).to_have_text(f"token 3 drink · dimension {dimension} · {number(value)}")
    canvas.press("Enter")
    opened.expect_python("attention.pinned['query']", 3)
    opened.picture("layers-features", view)

    # Flags have the values of Python, and bring their dimension into sight.
    worst = value_of(opened, "[(o.dimension, o.value, o.tokens) for o in panels.features.flags(1)[1]][:1]")[0]
    flag = view.get_by_role("group", name="What stands out").get_by_role("button").first
    many = f"{worst[2]} token{'s' if worst[2] > 1 else ''}"
    expect(flag).to_have_text(f"{worst[0]}: {number(worst[1])} ({many})")
    flag.click()
    expect(view.locator(".sighted")).to_contain_text("dimensions 0 to")
    expect(status).to_contain_text(f"dimension {worst[0]} ·")
    view.get_by_role("button", name="Show everything").click()
    expect(view.locator(".sighted")).to_contain_text("all 192 dimensions")

    # Another layer, order, scale and side.
    view.get_by_role("slider", name="Layer").press("ArrowRight")
    opened.expect_python("(panels.hidden_layer, attention.layer)", (2, 1))
    view.get_by_role("combobox", name="Dimensions").select_option("model")
    opened.expect_python("panels.order", "model")
    canvas.hover(position=cell_at(view, 4, 17, (10, 192)))
    value = value_of(opened, "float(view.trace.hidden('encoder')[2, 4, 17])")
    expect(status).to_have_text(f"token 4 tea · dimension 17 · {number(value)}")
    view.get_by_label("same scale in all layers").check()
    expect(view.locator(".legend")).to_contain_text(number(value_of(opened, "panels.full_colour()")))
    view.get_by_role("button", name="Decoder").click()
    expect(canvas).to_have_attribute("aria-label", re.compile("decoder: tokens down"))

    # The lengths below: what blocks add comes after the picture, and a layer can be chosen there.
    opened.expect_python("sorted(panels.measured)", ["decoder", "encoder"])
    output = opened.output(0)
    expect(output).to_contain_text("cross attention adds")
    expect(output).to_contain_text("Every block adds just these parts")
    output.locator(".bqplot .dot").first.click()
    opened.expect_python("panels.hidden_layer", 0)
    expect(canvas).to_have_attribute("aria-label", re.compile("what enters layer 0, decoder"))
    opened.set_theme("JupyterLab Dark")
    opened.picture("layers-features-dark", output)


def test_the_lesson_runs_from_top_to_bottom(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, "notebooks/04_how_meaning_is_built.ipynb")
    opened.run_all(seconds=300)
    view = opened.page.get_by_role("region", name="jtviz layers").first
    view.scroll_into_view_if_needed()
    expect(view.get_by_role("tab", name="Features")).to_have_attribute("aria-selected", "true")
    opened.picture("04_how_meaning_is_built", view)
