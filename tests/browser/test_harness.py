"""The harness itself, on a widget of a few lines: when these fail, look here before at a view."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import Open
from .jupyter import JupyterServer

WIDGET = '''
import anywidget, traitlets

class Counter(anywidget.AnyWidget):
    value = traitlets.Int(0).tag(sync=True)
    _esm = """
    export default {
      render({ model, el }) {
        const button = document.createElement("button");
        button.ariaLabel = "Count";
        const show = () => { button.textContent = `count is ${model.get("value")}`; };
        button.onclick = () => { model.set("value", model.get("value") + 1); model.save_changes(); };
        model.on("change:value", show);
        show();
        el.append(button);
      },
    };
    """

counter = Counter()
counter
'''


@pytest.mark.parametrize("application", ["lab", "notebook"])
def test_a_click_reaches_the_page_at_once_and_python_when_its_kernel_runs_again(
    application: str, request: pytest.FixtureRequest, open_notebook: Open
) -> None:
    server = request.getfixturevalue(application)
    opened = open_notebook(server, server.write_notebook("counter.ipynb", [WIDGET, "print('last cell')"]))
    opened.run_all()
    expect(opened.output(1)).to_contain_text("last cell")

    button = opened.output(0).get_by_role("button", name="Count")
    button.click()
    expect(button).to_have_text("count is 1")
    with opened.kernel_stopped():
        button.click()
        expect(button).to_have_text("count is 2")
    opened.expect_python("counter.value", 2)

    for theme, light in (("JupyterLab Dark", "false"), ("JupyterLab Light", "true")):
        opened.set_theme(theme)
        expect(opened.page.locator("body")).to_have_attribute("data-jp-theme-light", light)


def test_a_cell_that_fails_is_named_with_its_error(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, lab.write_notebook("broken.ipynb", ["fine = 1", "1 / 0", "never = 1"]))
    with pytest.raises(AssertionError, match=r"(?s)Code cell 1 of broken.ipynb failed.*ZeroDivisionError"):
        opened.run_all()
