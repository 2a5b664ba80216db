"""Measure the live view of jtviz in JupyterLab: what crosses the websocket, and the time to its picture."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import torch
from playwright.sync_api import Page, WebSocket

from tests.browser.conftest import Open
from tests.browser.jupyter import JupyterServer

from .opened_page import ASKED, Figures, run, use
from .peers import HEADS, LAYERS, PATIENCE, WIDTH, names, pattern

# Each run shows a trace of its own, of which the page has no numbers yet.
CELL = "jtviz.show_attention(traces.pop())"
RUNS = 5
ARRAYS = """
import torch, jtviz, jtviz.views
pattern, tokens = torch.load({path!r})
traces = [jtviz.from_arrays(pattern, tokens, stage="decoder") for _ in range({runs})]
"""
QKV = """
import torch, jtviz, jtviz.views
query, key = torch.load({path!r})
traces = [jtviz.Trace.from_qkv(query, key, causal=True) for _ in range({runs})]
"""

# From the cell's run until the new view has marks; the view of the run before goes meanwhile.
PAINT = """
const before = benchUse.jtviz.root();
const start = performance.now();
const ran = window.jupyterapp.commands.execute("notebook:run-all-cells");
const end = await bench.painted(() => {
  const root = benchUse.jtviz.root();
  return root !== null && root !== before && bench.hasMarks(root);
});
await ran;
return end - start;
"""


class Wire:
    """Bytes of the kernel's websockets, each way, since the last `take`."""

    def __init__(self, page: Page) -> None:
        self.received = self.sent = 0
        page.on("websocket", self._listen)

    def take(self) -> tuple[int, int]:
        taken = self.received, self.sent
        self.received = self.sent = 0
        return taken

    def _listen(self, socket: WebSocket) -> None:
        if re.search(r"/api/kernels/.*/channels", socket.url):
            socket.on("framereceived", self._receive)
            socket.on("framesent", self._send)

    def _receive(self, payload: str | bytes) -> None:
        self.received += _size(payload)

    def _send(self, payload: str | bytes) -> None:
        self.sent += _size(payload)


def measure_live(page: Page, open_notebook: Open, lab: JupyterServer, length: int, folder: Path) -> Figures:
    """Return what the view of the same attention as the peers' costs in JupyterLab."""
    path = folder / f"{length}.pt"
    torch.save((pattern(length), names(length)), path)
    figures = _paint(page, open_notebook, lab, f"live-{length}", ARRAYS.format(path=str(path), runs=RUNS))
    figures["DOM elements"] = page.evaluate("() => [...bench.everything(benchUse.jtviz.root())].length")
    return figures | use(page, "jtviz")


def measure_long(page: Page, open_notebook: Open, lab: JupyterServer, length: int, folder: Path) -> Figures:
    """Return the first paint of a trace of queries and keys, of which no pattern is there yet."""
    path = folder / f"qkv-{length}.pt"
    generator = torch.Generator().manual_seed(length)
    torch.save(torch.randn(2, LAYERS, HEADS, length, WIDTH, generator=generator), path)
    return _paint(page, open_notebook, lab, f"long-{length}", QKV.format(path=str(path), runs=RUNS))


def _paint(page: Page, open_notebook: Open, lab: JupyterServer, name: str, prepare: str) -> Figures:
    page.add_init_script(ASKED)
    wire = Wire(page)
    opened = open_notebook(lab, lab.write_notebook(f"{name}.ipynb", [CELL]))
    opened.python(prepare, seconds=PATIENCE)
    paints, crossed = [], []
    for _ in range(RUNS):
        opened.wait_until_idle()
        wire.take()
        paints.append(run(page, PAINT))
        crossed.append(wire.take())
    page.evaluate("() => { benchUse.jtviz.root().host.scrollIntoView(); }")
    opened.wait_until_idle()
    received, sent = (statistics.median(sizes) for sizes in zip(*crossed, strict=True))
    return {
        "bytes": received,
        "bytes sent to the kernel": sent,
        "first paint, ms": statistics.median(paints[1:]),
        "very first paint, ms": paints[0],
    }


def _size(payload: str | bytes) -> int:
    return len(payload if isinstance(payload, bytes) else payload.encode())
