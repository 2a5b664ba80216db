"""Measure a page that lies in a file, or a view that is in a page already, in a real Chromium.

Required: nothing is fetched from outside: what a peer asks a CDN for comes from ``node_modules``. What does
not answer within `PATIENCE` is given up and said, never waited for.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Page, Route
from playwright.sync_api import TimeoutError as TookTooLong

from tests.browser.conftest import FLAGS
from tests.browser.find_browser import find_browser

from .peers import PATIENCE, SCRIPTS, SLOW, NotRunError, Tool

HERE = Path(__file__).parent
ASKED = "\n".join((HERE / name).read_text(encoding="utf-8") for name in ("page.js", "use.js"))
OPENINGS, OPENING_SECONDS = 5, 12.0

# Name of the figure: what is done, how often, and how long before each.
ACTS = {
    "idle frame, ms": ("idle", 12),
    "first hover, ms": ("hover", 1),
    "later hover, ms": ("hover", 12),
    "head toggle, ms": ("head", 12),
    "layer change, ms": ("layer", 11),
}

Figures = dict[str, float | str]


def measure(browser: Browser, tool: Tool, path: Path, *, walks: bool = False) -> Figures:
    """Return what one tool's page costs, also in a walk; words stand where there is no number."""
    figures: Figures = {}
    paints: list[float] = []
    while not paints or (len(paints) < OPENINGS and sum(paints) < OPENING_SECONDS * 1000):
        with opened(browser, path) as (page, sent):
            paints.append(first_paint(page))
            figures["bytes"] = path.stat().st_size + sum(sent.values())
            figures["first paint, ms"] = statistics.median(paints)
            if len(paints) == 1:
                figures |= weigh(page)
                if paints[0] < SLOW * 1000:
                    figures |= use(page, tool.key)
            elif len(paints) == 2 and walks:
                figures |= walk(page, tool.key)
    return figures


@contextmanager
def opened(browser: Browser, path: Path) -> Iterator[tuple[Page, dict[str, int]]]:
    """Open a file in a browser of its own, and tell the bytes of each script that it fetched."""
    sent: dict[str, int] = {}

    def serve(route: Route) -> None:
        file = SCRIPTS.get(route.request.url)
        if file is None:
            route.abort()
            return
        sent[route.request.url] = file.stat().st_size
        route.fulfill(path=file, content_type="text/javascript")

    # A page that hangs or takes all memory goes with its browser, and slows no other.
    own = browser.browser_type.launch(executable_path=find_browser(), args=FLAGS)
    try:
        context = own.new_context(viewport={"width": 1280, "height": 900}, device_scale_factor=2)
        context.add_init_script(ASKED)
        page = context.new_page()
        page.route(re.compile("^https://"), serve)
        page.goto(path.as_uri(), wait_until="commit", timeout=PATIENCE * 1000)
        yield page, sent
    finally:
        own.close()


def first_paint(page: Page) -> float:
    """Return the milliseconds from the start of the navigation until marks were on the screen."""
    painted: float | str = answer(page, "window.benchPaintedAt ?? window.benchError")
    if isinstance(painted, str):
        raise NotRunError(f"failed: {painted}")
    return painted


def weigh(page: Page) -> Figures:
    """Return the elements of a page that holds one view, and the heap of its scripts."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    metrics = session.send("Performance.getMetrics")["metrics"]
    heap = next(metric["value"] for metric in metrics if metric["name"] == "JSHeapUsedSize")
    return {"DOM elements": page.evaluate("() => [...bench.everything()].length"), "JS heap, MB": heap / 1e6}


def use(page: Page, key: str) -> Figures:
    """Return the medians of what a reader does; nothing comes after what was not answered."""
    figures: Figures = {}
    frames = 0
    for name, (act, rounds) in ACTS.items():
        # Later hovers start elsewhere than the first.
        event = (
            "(i) => tool.hover(i + 1)"
            if name.startswith("later")
            else f"benchUse.{act}"
            if act == "idle"
            else f"tool.{act}"
        )
        surface = "() => null" if act == "idle" else "tool.surface"
        options = f"{{ rounds: {rounds}, surface: {surface} }}"
        try:
            times = run(page, f"const tool = benchUse.{key}; return bench.time({event}, {options});")
        except NotRunError as error:
            return {**figures, name: str(error)}
        figures[name] = statistics.median(t["took"] for t in times) if times else "n/a"
        frames = max([frames, *(t["frames"] for t in times)])
    return {**figures, "frames": frames}


def walk(page: Page, key: str) -> Figures:
    """Return what handlers take in a walk through everything, and the longest task in it."""
    found: Mapping[str, Any] = run(page, f"return bench.longestTask(benchUse.{key});")
    times = found["times"]
    back = times["layer"][11:]  # every layer has been here
    return {
        "handler of a hover, ms": max(t["handler"] for t in times["hover"]),
        "handler of a layer change, ms": max(t["handler"] for t in back),
        "longest task, ms": found["longest"],
    }


def run(page: Page, code: str) -> Any:
    """Run the body of an asynchronous function in the page and return its answer."""
    page.evaluate(
        f"""() => {{
          window.benchAnswer = undefined;
          (async () => {{ {code} }})().then(
            (value) => {{ window.benchAnswer = {{ value }}; }},
            (error) => {{ window.benchAnswer = {{ error: String(error) }}; }},
          );
        }}"""
    )
    got = answer(page, "window.benchAnswer")
    assert "error" not in got, got["error"]
    return got["value"]


def answer(page: Page, expression: str) -> Any:
    """Wait until an expression has a value, and return it."""
    try:
        return page.wait_for_function(f"() => {expression}", timeout=PATIENCE * 1000).json_value()
    except TookTooLong:
        raise NotRunError(f"over {PATIENCE:.0f} s") from None
    except Error as error:
        if "crash" in str(error).lower():
            raise NotRunError("crashed") from None
        raise
