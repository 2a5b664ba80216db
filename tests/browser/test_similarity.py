"""How alike tokens and layers are, in JupyterLab: a number that is pointed at is Python's."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Position, expect

from .conftest import Open
from .jupyter import JupyterServer
from .opened import OpenNotebook
from .test_explorer import number, shown_in, token, value_of

SENTENCE = "We went to the market with our friends."
CELLS = [
    f"""
import jtviz
translator = jtviz.demo.translator()
view = jtviz.show_layers(translator, {SENTENCE!r}, tab="similarity", stage="encoder")
view
""",
    f"attention = jtviz.show_attention(translator, {SENTENCE!r})\nattention",
    """
import pandas as pd
from jtviz.analysis import cka, read
from jtviz.demo import triage
notes = triage.notes(30, seed=3)
frame = pd.DataFrame({"text": [n.text for n in notes], "label": [triage.LABELS[n.label] for n in notes]})
probes = jtviz.probe(jtviz.demo.classifier(), frame, progress=False)
probes
""",
    "aligned = cka(read(jtviz.demo.classifier(), frame, progress=False))\naligned",
]


def layers_in(opened: OpenNotebook, cell: int = 0) -> Locator:
    view = opened.output(cell).get_by_role("region", name="jtviz layers")
    view.scroll_into_view_if_needed()
    return view


def place(canvas: Locator, x: float, y: float) -> Position:
    """Return a place of a picture, given as shares of its width and height."""
    box = canvas.bounding_box()
    assert box is not None
    return {"x": x * box["width"], "y": y * box["height"]}


def test_similarities_are_pythons_and_a_token_that_is_clicked_is_pinned_everywhere(
    lab: JupyterServer, open_notebook: Open
) -> None:
    opened = open_notebook(lab, lab.write_notebook("similarity.ipynb", CELLS))
    opened.run_all()
    view = layers_in(opened)
    status = view.get_by_role("status")
    canvas = view.get_by_role("img", name=re.compile("^Cosine similarity after layer"))
    canvas.hover(position=place(canvas, 0.9, 0.5))
    expect(status).to_have_text(re.compile(r"^\d+ \S+ and \d+ \S+ · cosine similarity −?[\d.]+$"))
    said = re.match(r"(\d+) \S+ and (\d+) \S+ · cosine similarity (.+)", status.inner_text())
    assert said is not None
    row, column = int(said[1]), int(said[2])
    assert row != column
    expect(status).to_contain_text(
        number(value_of(opened, f"float(view.panels.similarity.tokens[{row}, {column}])"))
    )
    opened.picture("similarity", view)

    # A click pins the row's token, here and in the view of another cell.
    canvas.click(position=place(canvas, 0.9, 0.5))
    opened.expect_python("attention.pinned", {"query": row, "key": None})
    order = value_of(opened, f"view.panels.similarity.tokens[{row}].argsort(descending=True).tolist()")
    most = next(index for index in order if index != row)
    near = view.get_by_role("group", name="Most alike")
    expect(near).to_contain_text(f"Most like {row} ")
    expect(near.get_by_role("button").first).to_have_attribute("data-token", str(most))
    expect(near.get_by_role("button")).to_have_count(5)
    token(shown_in(opened, 1), "query", row).scroll_into_view_if_needed()
    expect(token(shown_in(opened, 1), "query", row)).to_have_attribute("data-state", "pinned")

    # By keyboard; centred, in another layer.
    view = layers_in(opened)
    view.get_by_label("centred").check()
    opened.expect_python("view.panels.centred", True)
    view.get_by_role("slider", name="Layer").press("End")
    opened.expect_python("view.panels.hidden_layer", 2)
    canvas = view.get_by_role("img", name=re.compile("^Cosine similarity after layer 1"))
    canvas.hover(position=place(canvas, 0.5, 0.5))
    canvas.press("ArrowLeft")
    expect(status).to_have_text(re.compile(r"^(\d+) \S+ and (?!\1 )\d+ \S+ · cosine similarity"))
    said = re.match(r"(\d+) \S+ and (\d+) \S+", status.inner_text())
    assert said is not None
    row, column = int(said[1]), int(said[2])
    expect(status).to_contain_text(
        number(value_of(opened, f"float(view.panels.similarity.tokens[{row}, {column}])"))
    )

    # One token across layers, then layers; a row that is clicked is the layer shown.
    view.get_by_role("button", name="One token across layers").click()
    canvas = view.get_by_role("img", name=re.compile("^Cosine similarity of token"))
    canvas.press("ArrowUp")
    canvas.press("ArrowLeft")
    value = value_of(opened, "float(view.panels.similarity.layers[view.panels.pinned['query'], 1, 0])")
    expect(status).to_have_text(f"after layer 0 and before layer 0 · cosine similarity {number(value)}")
    view.get_by_role("button", name="Layers", exact=True).click()
    canvas = view.get_by_role("img", name=re.compile("^Linear CKA"))
    canvas.press("ArrowUp")
    canvas.press("ArrowLeft")
    value = value_of(opened, "float(view.panels.cka.values[1, 0])")
    expect(status).to_have_text(f"after layer 0 and before layer 0 · linear CKA {number(value)}")
    expect(view).to_contain_text("would have a CKA of")
    canvas.press("Enter")
    opened.expect_python("(view.panels.hidden_layer, attention.layer)", (1, 0))
    opened.picture("similarity-layers", view)

    # Results over data sets are charts, last in a cell.
    output = opened.output(2)
    output.scroll_into_view_if_needed()
    expect(output.locator(".bqplot .dot")).to_have_count(9)
    expect(output).to_contain_text("majority baseline")
    output.locator(".bqplot .dot").last.hover()
    accuracy = value_of(opened, "f'{probes.accuracy[2]:.1%}'")
    expect(opened.page.get_by_role("row", name=re.compile(f"2: accuracy {accuracy}"))).to_be_visible()
    opened.picture("probes", output)
    output = opened.output(3)
    output.scroll_into_view_if_needed()
    expect(output.locator(".bqplot .heatmapcell")).to_have_count(9)
    opened.picture("cka", output)
