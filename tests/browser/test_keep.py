"""What was kept works without a kernel and without a network: the saved page, and the frozen view."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import FrameLocator, Locator, Page, expect

from .conftest import Open
from .jupyter import JupyterServer

if TYPE_CHECKING:
    from jtviz.views import AttentionView

SENTENCE = "Where is the nearest station?"
FROZEN = [
    "import jtviz",
    f"view = jtviz.show_attention(jtviz.demo.translator(), {SENTENCE!r}, stage='cross', layer=1)",
    "view.freeze()",
]


@pytest.fixture
def view() -> Iterator[AttentionView]:
    # Imported here: the other browser tests need no PyTorch in this process.
    import jtviz

    made = jtviz.show_attention(jtviz.demo.translator(), SENTENCE, stage="encoder", layer=0)
    made.heads = [0, 1, 2, 3]
    yield made
    made.close()


@pytest.fixture
def offline(page: Page) -> Page:
    """Cut the page's network: whatever it asks for but its own file is refused, and fails the test."""
    page.context.set_offline(offline=True)
    page.route(
        "**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort()
    )
    return page


def region(of: Page | FrameLocator) -> Locator:
    return of.get_by_role("region", name="jtviz attention")


def token(shown: Locator, side: str, index: int) -> Locator:
    return shown.locator(f'[data-side="{side}"][data-index="{index}"]')


def status_of(shown: Locator) -> Locator:
    # Panels have status lines of their own.
    return shown.get_by_role("status").filter(has_text="· layer")


def strongest(view: AttentionView, stage: str, layer: int, heads: list[int], query: int) -> str:
    """Return what the status line says of a query, from PyTorch."""
    row = view.trace.attention(stage, layer=layer, head=heads, rows=query).mean(0)
    keys = view.trace.tokens[view.trace.key_side(stage)]
    return f"looks most at {keys[int(row.argmax())]} {float(row.max()):.3f}"


def test_a_saved_page_shows_every_layer_and_head_without_a_network(
    view: AttentionView, offline: Page, tmp_path: Path
) -> None:
    view.save(tmp_path / "page.html")
    offline.goto((tmp_path / "page.html").as_uri())
    shown = region(offline)
    status, layer = status_of(shown), shown.get_by_role("slider", name="Layer")
    expect(offline).to_have_title(f"{SENTENCE} · attention")

    token(shown, "query", 3).hover()
    expect(status).to_contain_text(strongest(view, "encoder", 0, [0, 1, 2, 3], 3))
    layer.focus()
    layer.press("ArrowRight")
    expect(layer).to_have_attribute("aria-valuenow", "1")
    token(shown, "query", 4).hover()
    expect(status).to_contain_text(strongest(view, "encoder", 1, [0, 1, 2, 3], 4))
    shown.get_by_role("button", name="Head 2").dblclick()
    token(shown, "query", 3).hover()
    expect(status).to_contain_text(strongest(view, "encoder", 1, [2], 3))
    shown.get_by_role("tab", name="Cross").click()
    token(shown, "query", 3).hover()
    expect(status).to_contain_text(strongest(view, "cross", 1, [2], 3))
    expect(shown.get_by_role("alert")).to_be_hidden()
    expect(offline.get_by_text("all 6 layers of 3 stages")).to_be_visible()


def test_a_saved_page_follows_its_readers_colours(view: AttentionView, offline: Page, tmp_path: Path) -> None:
    view.save(tmp_path / "page.html")
    seen = {}
    for scheme in ("light", "dark"):
        offline.emulate_media(color_scheme=scheme)
        offline.goto((tmp_path / "page.html").as_uri())
        expect(region(offline)).to_be_visible()
        seen[scheme] = [
            offline.evaluate("() => getComputedStyle(document.documentElement).backgroundColor"),
            region(offline).evaluate("(node) => getComputedStyle(node).backgroundColor"),
        ]
    assert seen["light"][0] == seen["light"][1] == "rgb(255, 255, 255)"
    assert seen["dark"][0] == seen["dark"][1] != seen["light"][0]


def test_a_frozen_view_lives_on_in_a_saved_notebook(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, lab.write_notebook("frozen.ipynb", FROZEN), afresh=True)
    opened.run_all()
    opened.save()
    lab.end_kernels()
    opened.page.goto(lab.address("frozen.ipynb"))
    frame = opened.page.frame_locator('iframe[title="jtviz attention"]')
    opened.page.locator('iframe[title="jtviz attention"]').scroll_into_view_if_needed()
    token(region(frame), "query", 3).hover()
    expect(status_of(region(frame))).to_contain_text("looks most at station 0.690")


def test_an_untrusted_notebook_shows_the_picture(lab: JupyterServer, open_notebook: Open) -> None:
    import jtviz

    path = lab.root / lab.write_notebook("given.ipynb", ["view.freeze()"])
    view = jtviz.show_attention(jtviz.demo.translator(), SENTENCE, stage="cross", layer=1)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    bundle = view.freeze()._repr_mimebundle_()
    output = {"output_type": "execute_result", "execution_count": 1, "data": bundle, "metadata": {}}
    notebook["cells"][0] |= {"outputs": [output], "execution_count": 1}
    path.write_text(json.dumps(notebook), encoding="utf-8")
    opened = open_notebook(lab, "given.ipynb", afresh=True)
    picture = opened.output(0).locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("(node) => node.naturalWidth") > 300
    expect(opened.output(0).locator("iframe")).to_have_count(0)
