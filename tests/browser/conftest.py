"""Fixtures of the browser tests: a Chromium, and a JupyterLab and a Notebook 7 to open in it.

Required: a test sees only its own kernels and its own notebooks; a failing one leaves a picture and what
the browser said in ``tests/browser/out/``; and a page that asks for anything outside the Jupyter
server fails its test, because jtviz must work in a room with no internet.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    expect,
    sync_playwright,
)

from .find_browser import ADVICE, find_browser
from .jupyter import Application, JupyterServer, start_server
from .opened import OUT, SIZE, OpenNotebook, clear

FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
FAILED = pytest.StashKey[bool]()
expect.set_options(timeout=15_000)  # beside another test, on a busy machine

Open = Callable[..., OpenNotebook]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the browser that every test opens its own page in."""
    path = find_browser()
    if path is None:
        pytest.fail(ADVICE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[JupyterServer]:
    """Start JupyterLab over a copy of the notebooks."""
    yield from _serve("lab", tmp_path_factory, repository)


@pytest.fixture(scope="session")
def notebook_server(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[JupyterServer]:
    """Start Notebook 7 over a copy of the notebooks."""
    yield from _serve("notebook", tmp_path_factory, repository)


@pytest.fixture
def lab(lab_server: JupyterServer) -> Iterator[JupyterServer]:
    """Lend JupyterLab to one test, and end the kernels it started."""
    yield lab_server
    lab_server.end_kernels()


@pytest.fixture
def notebook(notebook_server: JupyterServer) -> Iterator[JupyterServer]:
    """Lend Notebook 7 to one test, and end the kernels it started."""
    yield notebook_server
    notebook_server.end_kernels()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Make a browser profile with nothing in it."""
    context = _profile(browser)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Open a page that is watched: see the module's docstring."""
    page = context.new_page()
    with _watched(page, request.node):
        yield page


class Desk:
    """JupyterLab in a page that is lent from test to test: to load it costs more than most tests do."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._page: Page | None = None

    @contextmanager
    def lent(self, test: pytest.Item) -> Iterator[Page]:
        """Lend the page to one test, and clear it away; a test that failed, or left a mess, leaves none."""
        page = self._page = self._page or _profile(self._browser).new_page()
        is_clear = False
        try:
            with _watched(page, test):
                yield page
                if not test.stash.get(FAILED, False):
                    clear(page)
            is_clear = not test.stash.get(FAILED, False)
        finally:
            if not is_clear:
                self.close()

    def close(self) -> None:
        """Let the page go."""
        page, self._page = self._page, None
        if page is not None:
            page.context.close()


@pytest.fixture(scope="session")
def desk(browser: Browser) -> Iterator[Desk]:
    """Keep one JupyterLab open for the tests of this process."""
    desk = Desk(browser)
    yield desk
    desk.close()


@pytest.fixture
def open_notebook(desk: Desk, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open ``open_notebook(server, "path.ipynb")`` and wait for its kernel.

    A notebook of JupyterLab opens in the page that is lent from test to test, or with ``afresh=True`` in one
    of its own: where it matters that nothing was loaded before.
    """
    with ExitStack() as stack:
        lent: list[Page] = []

        def open_notebook(server: JupyterServer, path: str, *, afresh: bool = False) -> OpenNotebook:
            if afresh or server.application != "lab":
                return OpenNotebook(request.getfixturevalue("page"), server, path)
            if not lent:
                lent.append(stack.enter_context(desk.lent(request.node)))
            return OpenNotebook(lent[0], server, path)

        yield open_notebook


def _profile(browser: Browser) -> BrowserContext:
    """Make a browser profile with nothing in it; double density, so that pictures are sharp."""
    context = browser.new_context(
        viewport=SIZE, device_scale_factor=2, reduced_motion="reduce", locale="en-GB"
    )
    context.set_default_timeout(15_000)
    return context


@contextmanager
def _watched(page: Page, test: pytest.Item) -> Iterator[None]:
    said: list[str] = []
    outside: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            said.append(f"{message.type}: {message.text}")

    def catch(error: Error) -> None:
        said.append(f"uncaught: {error}")

    def see(asked: Request) -> None:
        if not re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|file:|data:|blob:|about:", asked.url):
            outside.append(asked.url)

    page.on("console", hear)
    page.on("pageerror", catch)
    page.on("request", see)
    yield
    page.remove_listener("console", hear)
    page.remove_listener("pageerror", catch)
    page.remove_listener("request", see)
    if test.stash.get(FAILED, False):
        OUT.mkdir(exist_ok=True)
        name = re.sub(r"[^\w-]+", "-", test.name).strip("-")
        page.screenshot(path=OUT / f"{name}.png")
        (OUT / f"{name}.log").write_text("\n".join(said), encoding="utf-8")
        print(f"See tests/browser/out/{name}.png; the browser said:", *said[-20:], sep="\n  ")
    assert not outside, f"the page asked for something outside the Jupyter server: {outside}"


def _serve(
    application: Application, folders: pytest.TempPathFactory, repository: Path
) -> Iterator[JupyterServer]:
    server = start_server(application, folders.mktemp(application))
    try:
        if (repository / "notebooks").is_dir():
            shutil.copytree(repository / "notebooks", server.root / "notebooks")
        yield server
    finally:
        server.stop()
