"""A notebook opened in a browser, and what a reader does with it: run it, look, change the theme.

What belongs to Jupyter rather than to jtviz (run all cells, collapse a side bar) goes through the
commands behind Jupyter's own menus, so that a test breaks when jtviz does and not when a menu moves.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Locator, Page, ViewportSize

from .jupyter import JupyterServer

OUT = Path(__file__).parent / "out"
RUN_SECONDS = 180
SIZE: ViewportSize = {"width": 1280, "height": 900}
LIGHT = "JupyterLab Light"

# The notebook in front, as Jupyter's own model has it: true also for what is scrolled out of sight.
PANEL = "window.jupyterapp.shell.currentWidget"
READY = """() => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  return Boolean(panel?.content?.model) && panel.context?.sessionContext?.session?.kernel?.status === "idle";
}"""
CODE_CELLS = f"() => {PANEL}.content.model.sharedModel.toJSON().cells.filter((c) => c.cell_type === 'code')"


class OpenNotebook:
    """One notebook in one page. ``outside`` lists requests that left this machine's Jupyter server."""

    def __init__(self, page: Page, server: JupyterServer, path: str) -> None:
        self.page = page
        self.server = server
        self.path = path
        if page.url.startswith(f"{server.url}/lab/"):
            clear(page)
            self.command("docmanager:open", {"path": path})
        else:
            page.goto(server.address(path))
        page.wait_for_function(READY, timeout=90_000)
        if server.application == "lab":  # room for the notebook, also on a small screen
            page.evaluate("() => { window.jupyterapp.shell.collapseLeft(); }")
        self.dismiss_dialogs()

    def run_all(self, seconds: float = RUN_SECONDS) -> None:
        """Run every cell, wait until all are done, and fail with the traceback of the first error."""
        self.dismiss_dialogs()
        self.page.evaluate("""() => {
          window.jtvizRunning = true;
          const ran = window.jupyterapp.commands.execute("notebook:run-all-cells");
          ran.finally(() => { window.jtvizRunning = false; });
        }""")
        self.page.wait_for_function("() => !window.jtvizRunning", timeout=seconds * 1000)
        self.wait_until_idle()
        for number, cell in enumerate(self.code_cells()):
            for output in cell["outputs"]:
                if output["output_type"] == "error":
                    trace = _without_colours("\n".join(output["traceback"]))
                    raise AssertionError(f"Code cell {number} of {self.path} failed:\n{trace}")
            assert cell["execution_count"] or not cell["source"], (
                f"code cell {number} of {self.path} never ran"
            )

    def wait_until_idle(self, seconds: float = 30) -> None:
        """Wait until the kernel has nothing more to do."""
        self.page.wait_for_function(
            f"() => {PANEL}.context.sessionContext.session.kernel.status === 'idle'", timeout=seconds * 1000
        )

    def code_cells(self) -> list[dict[str, Any]]:
        """Return the code cells as a saved notebook would have them, outputs included."""
        cells: list[dict[str, Any]] = self.page.evaluate(CODE_CELLS)
        return cells

    def cell(self, index: int) -> Locator:
        """Return cell ``index`` (code and text cells counted together), in document order."""
        return self.page.locator(f'.jp-Notebook-cell[data-windowed-list-index="{index}"]')

    def output(self, index: int) -> Locator:
        """Return what cell ``index`` has drawn below it."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def python(self, code: str, seconds: float = 60) -> str:
        """Run code in the notebook's kernel, as a cell would, and return what it printed."""
        result: dict[str, Any] = self.page.evaluate(
            f"""async ([code, limit]) => {{
              const kernel = {PANEL}.context.sessionContext.session.kernel;
              const future = kernel.requestExecute({{ code, store_history: false }});
              let printed = "", error = null;
              future.onIOPub = ({{ header, content }}) => {{
                if (header.msg_type === "stream") printed += content.text;
                if (header.msg_type === "error") error = content.traceback.join("\\n");
              }};
              const late = new Promise((_, reject) => {{
                setTimeout(() => reject(new Error("the kernel did not answer in time")), limit);
              }});
              await Promise.race([future.done, late]);
              return {{ printed, error }};
            }}""",
            [code, seconds * 1000],
        )
        if result["error"]:
            raise AssertionError(_without_colours(result["error"]))
        return str(result["printed"])

    def expect_python(self, expression: str, value: object, seconds: float = 20) -> None:
        """Wait until an expression in the kernel has a value (compared by ``repr``).

        Waiting is right: while the kernel is busy, a widget's model keeps its newest state back, so
        that a question asked later can arrive first.
        """
        until = time.monotonic() + seconds
        while (found := self.python(f"print(repr({expression}))").strip()) != repr(value):
            assert time.monotonic() < until, f"{expression} is {found} in Python, not {value!r}"
            time.sleep(0.1)

    def set_theme(self, name: str) -> None:
        """Change to ``"JupyterLab Light"`` or ``"JupyterLab Dark"`` and wait until it shows."""
        change_theme(self.page, name)

    @property
    def kernel_process(self) -> psutil.Process:
        """The operating system's process of this notebook's kernel."""
        kernel = self.page.evaluate(f"() => {PANEL}.context.sessionContext.session.kernel.id")
        return self.server.kernel_process(kernel)

    @contextmanager
    def kernel_stopped(self) -> Iterator[psutil.Process]:
        """Stop the kernel's process (SIGSTOP): what moves inside this block is the browser's doing."""
        process = self.kernel_process
        process.suspend()
        try:
            _wait_until_stopped(process)
            yield process
            assert process.status() == psutil.STATUS_STOPPED, "something woke the kernel"
        finally:
            process.resume()

    def dismiss_dialogs(self) -> None:
        """Accept a dialog that stands in the way (choose a kernel, read the news), if there is one."""
        for _ in range(3):
            dialog = self.page.locator(".jp-Dialog .jp-mod-accept")
            if dialog.count() == 0:
                return
            dialog.first.click()
            self.page.wait_for_timeout(200)

    def command(self, name: str, arguments: dict[str, object] | None = None) -> None:
        """Carry out a Jupyter command, the way its menu entry does, and wait until it is done."""
        self.page.evaluate(
            "async ([name, with_]) => { await window.jupyterapp.commands.execute(name, with_); }",
            [name, arguments or {}],
        )

    def save(self) -> None:
        """Save the notebook, as Ctrl+S does."""
        self.command("docmanager:save")

    def picture(self, name: str, what: Locator | None = None) -> Path:
        """Save a screenshot of the page or of one element as ``out/NAME.png``."""
        OUT.mkdir(exist_ok=True)
        path = OUT / f"{name}.png"
        (what or self.page).screenshot(path=path)
        return path


def clear(page: Page) -> None:
    """Close all that JupyterLab shows, without a question, and give the page its usual size and colours."""
    page.evaluate(
        "() => { for (const shown of [...window.jupyterapp.shell.widgets('main')]) shown.dispose(); }"
    )
    page.set_viewport_size(SIZE)
    page.mouse.move(0, 0)
    change_theme(page, LIGHT)


def change_theme(page: Page, name: str) -> None:
    """Change to ``"JupyterLab Light"`` or ``"JupyterLab Dark"`` and wait until it shows."""
    if page.evaluate("() => document.body.dataset.jpThemeName") == name:
        return
    page.evaluate(
        "async (theme) => { await window.jupyterapp.commands.execute('apputils:change-theme', { theme }); }",
        name,
    )
    page.wait_for_function(
        """(name) => document.body.dataset.jpThemeName === name
          && document.querySelector("#jupyterlab-splash") === null""",
        arg=name,
    )


def _wait_until_stopped(process: psutil.Process, seconds: float = 10) -> None:
    # The signal is sent at once; each of the kernel's threads stops when it gets to run.
    until = time.monotonic() + seconds
    while process.status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < until, "the kernel did not stop"
        time.sleep(0.02)


def _without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
