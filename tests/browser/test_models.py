"""The lesson on the embedded models as a reader has it: cards, charts, and a view of each model."""

from __future__ import annotations

from playwright.sync_api import expect

from .conftest import Open
from .jupyter import JupyterServer
from .test_attention import settle, view_in

LESSON = "notebooks/00_models.ipynb"


def test_a_reader_meets_the_three_models(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, LESSON)
    opened.run_all()
    sources = opened.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON()
             .cells.map((cell) => [].concat(cell.source).join(""))"""
    )
    cells = {kind: [i for i, source in enumerate(sources) if kind in source] for kind in ("card(", "show_")}
    charts = [i for i in cells["card("] if ".chart()" in sources[i]]
    assert (len(cells["card("]), len(charts), len(cells["show_"])) == (6, 3, 3)
    for theme in ("Light", "Dark"):
        opened.set_theme(f"JupyterLab {theme}")
        for cell in cells["card("]:
            output = opened.output(cell)
            output.scroll_into_view_if_needed()
            if cell in charts:
                line = output.locator("svg path.line").first
                expect(line).to_be_attached()
                box = line.bounding_box()
                assert box is not None
                assert box["width"] > 300, "the curve is drawn across the chart"
            else:
                expect(output.get_by_role("table")).to_contain_text("train it again")
                expect(output.get_by_role("listitem").first).to_be_visible()
            opened.picture(f"models-{theme.lower()}-{cell}", output)
        for cell in cells["show_"]:
            view = view_in(opened, cell)
            view.scroll_into_view_if_needed()
            settle(view)
            layer = sources[cell].partition("layer=")[2][0]
            expect(view.get_by_role("status")).to_contain_text(f"· layer {layer} ·")
            opened.picture(f"models-{theme.lower()}-{cell}", view)
