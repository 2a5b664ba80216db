"""The lesson *Attention, step by step* as a reader has it: each number is where the lesson says."""

from __future__ import annotations

from playwright.sync_api import expect

from .conftest import Open
from .jupyter import JupyterServer
from .test_attention import index_of, settle, token, view_in

LESSON = "notebooks/01b_attention_step_by_step.ipynb"


def test_a_reader_finds_each_number_in_the_view(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, LESSON)
    opened.run_all()
    sources = opened.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON()
             .cells.map((cell) => [].concat(cell.source).join(""))"""
    )
    shown = next(i for i, source in enumerate(sources) if "show_attention(" in source)
    view = view_in(opened, shown)
    view.scroll_into_view_if_needed()
    settle(view)
    status = view.get_by_role("status")
    expect(status).to_have_text("Encoder · layer 1 · head 0 · reading tea · looks at drink 0.850")
    opened.picture("lesson-view", view)

    token(view, "query", 0).focus()
    opened.page.keyboard.press("Escape")
    opened.page.keyboard.press("ArrowDown")
    expect(status).to_contain_text("head 1")

    for tab, head, reads, words in (
        ("Decoder", 1, "喝", "reading 喝, predicting 茶 · looks most at 喝 0.909"),
        ("Cross", 0, "喝", "reading 喝, predicting 茶 · looks most at tea 0.939"),
        ("Cross", 3, "喜", "reading 喜, predicting 欢 · looks most at </s> 0.996"),
    ):
        view.get_by_role("tab", name=tab).click()
        if f"· head {head} ·" not in (status.text_content() or ""):
            view.get_by_role("button", name=f"Head {head}").dblclick()
        settle(view)
        token(view, "query", index_of(view, "query", reads)).hover()
        expect(status).to_have_text(f"{tab} · layer 1 · head {head} · {words}")
        opened.picture(f"lesson-{tab.lower()}-{head}", view)

    opened.picture("lesson-where", opened.cell(shown + 1))
    index = next(i for i, source in enumerate(sources) if 'check("score"' in source)
    first = opened.output(index)
    expect(first).to_contain_text("Not answered yet. Replace None with one number")
    for theme in ("Dark", "Light"):
        opened.set_theme(f"JupyterLab {theme}")
        opened.picture(f"lesson-{theme.lower()}", view)
        first.scroll_into_view_if_needed()
        opened.picture(f"lesson-{theme.lower()}-exercise", opened.cell(index))
