"""jtviz beside BertViz and CircuitsVis, in one run, in a real Chromium, on the same attention.

Run with ``make bench``, or this file alone with ``.venv/bin/pytest tests/bench/bench_peers.py -s`` after it.
Times are medians in milliseconds: first paint from the start of a page's navigation (live: from the cell's
run) until marks are on the screen, all others from an event to the end of the frame that shows it. What the
tools take in Python is not part of it. Nothing is asserted: targets are reached or not, and said.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Open
from tests.browser.jupyter import JupyterServer

from .live import measure_live, measure_long
from .opened_page import Figures, measure
from .peers import AT, LENGTHS, LIVE, LONG, MODULES, SAVED_PAGE, TOOLS, NotRunError, Tool, names, pattern
from .tables import print_tables

MEASURED: dict[tuple[str, int], Figures | str] = {}


@pytest.fixture(scope="module", autouse=True)
def peers_are_there() -> None:
    for name in ("bertviz", "circuitsvis"):
        pytest.importorskip(name, reason="the peers are installed by `make bench`")
    if not MODULES.is_dir():
        pytest.skip("the scripts that peers need are installed by `make bench`")


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # BertViz's own
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # (as above)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.key)
def test_page(browser: Browser, tool: Tool, length: int, tmp_path: Path) -> None:
    path = tmp_path / f"{tool.key}.html"
    try:
        tool.write(pattern(length), names(length), path)
        walks = tool is SAVED_PAGE and length == AT
        MEASURED[tool.name, length] = measure(browser, tool, path, walks=walks)
    except NotRunError as error:
        MEASURED[tool.name, length] = str(error)
    finally:
        path.unlink(missing_ok=True)  # pytest keeps folders, and this may be large
    print(f"\n{tool.name}, {length} tokens: {MEASURED[tool.name, length]}")


@pytest.mark.parametrize("length", LENGTHS)
def test_live(page: Page, open_notebook: Open, lab: JupyterServer, length: int, tmp_path: Path) -> None:
    try:
        MEASURED[LIVE, length] = measure_live(page, open_notebook, lab, length, tmp_path)
    except NotRunError as error:
        MEASURED[LIVE, length] = str(error)
    print(f"\n{LIVE}, {length} tokens: {MEASURED[LIVE, length]}")


@pytest.mark.parametrize("length", [AT, LONG])
def test_long(page: Page, open_notebook: Open, lab: JupyterServer, length: int, tmp_path: Path) -> None:
    name = f"{LIVE}, queries and keys"
    MEASURED[name, length] = measure_long(page, open_notebook, lab, length, tmp_path)
    print(f"\n{name}, {length} tokens: {MEASURED[name, length]}")


def test_tables() -> None:
    print_tables(MEASURED)
