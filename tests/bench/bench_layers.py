"""What opening the view of layers costs beyond the forward pass, and how fluid its heat map is.

Run with ``make bench``, or this file alone with ``.venv/bin/pytest tests/bench/bench_layers.py -s``. The text
has 512 tokens, the model GPT-2 small's shape (12 layers, width 768) with random weights.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import jtviz
from jtviz.views.layers import LayersPanels
from tests.bench.frames import FRAMES
from tests.browser.conftest import Open
from tests.browser.jupyter import JupyterServer

TOKENS, LAYERS, WIDTH = 512, 12, 768
SECONDS, BYTES = 0.3, 1_000_000
"""Of opening, beyond the forward pass, at most; sent until the first picture is complete, at most."""

MODEL = f"""
import torch, transformers, jtviz
torch.manual_seed(0)
config = transformers.GPT2Config(vocab_size=2000, bos_token_id=0, eos_token_id=0)
model = transformers.GPT2LMHeadModel(config).eval()
ids = torch.randint(0, 2000, (1, {TOKENS}))
view = jtviz.show_layers(model, inputs={{"input_ids": ids}})
view
"""

MEASURE = (
    "async (root) => {"
    + FRAMES
    + """
  const slider = root.querySelector("[role=slider]");
  const key = (name) => slider.dispatchEvent(
    new KeyboardEvent("keydown", { key: name, bubbles: true, composed: true }));
  const canvas = root.querySelector("canvas.heatmap");
  const box = canvas.getBoundingClientRect();
  const move = (i) => canvas.dispatchEvent(new PointerEvent("pointermove", {
    clientX: box.left + 120 + (37 * i) % 600, clientY: box.top + 60 + (53 * i) % 300, bubbles: true }));
  const press = (name) => root.querySelector(`[aria-label="${name}"]`).click();
  return {
    "idle frame": await time(() => {}, 11, 0),
    "layer, new": await time(() => key("ArrowRight"), 11, 600),
    "layer, seen": await time(() => key("ArrowLeft"), 11, 100),
    "hover": await time(move, 31, 0),
    "zoom": await time((i) => press(i % 2 ? "Zoom out" : "Zoom in"), 10, 100),
    "longest task": Math.max(0, ...long),
    "DOM nodes": root.querySelectorAll("*").length,
  };
}"""
)


def traced() -> jtviz.Trace:
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=2000, bos_token_id=0, eos_token_id=0)
    model: Any = transformers.GPT2LMHeadModel(config)
    return jtviz.hook(model.eval()).trace(inputs={"input_ids": torch.randint(0, 2000, (1, TOKENS))})


def first_picture(trace: jtviz.Trace) -> tuple[LayersPanels, float, float, int]:
    """Open the view and answer what its page asks first: the view, seconds of both, bytes of the answer."""
    started = time.perf_counter()
    panels = jtviz.show_layers(trace=trace).panels
    opened = time.perf_counter()
    question = {"op": "features", "side": "decoder", "layer": 1, "order": "variance"}
    part = {"rows": [0, TOKENS], "columns": [0, WIDTH], "most": [TOKENS, WIDTH]}
    said, buffers = panels._answer_features(question | part)
    done = time.perf_counter()
    return panels, opened - started, done - opened, len(json.dumps(said)) + sum(map(len, buffers))


def test_opening_512_tokens_of_12_layers_beyond_the_forward_pass() -> None:
    trace = traced()
    _, *first, _ = first_picture(trace)
    runs = [first_picture(trace) for _ in range(7)]
    opening, answer = (statistics.median(run[i] for run in runs) for i in (1, 2))
    panels, *_, answered = runs[-1]
    bundle = (Path(jtviz.__file__).parent / "static" / "layers.js").stat().st_size
    state = {name: value for name, value in panels.get_state().items() if name != "_esm"}
    sent = bundle + len(repr(state)) + answered
    print(
        f"\n{TOKENS} tokens, {LAYERS} layers, width {WIDTH}: show_layers {1000 * opening:.0f} ms, first "
        f"answer {1000 * answer:.0f} ms (the very first {1000 * first[0]:.0f} and {1000 * first[1]:.0f} ms, "
        f"with imports); together at most {1000 * SECONDS:.0f}: "
        f"{'reached' if opening + answer <= SECONDS else 'not reached'}; sent until the first picture "
        f"{sent / 1000:.0f} KB (bundle {bundle / 1000:.0f}, state {len(repr(state)) / 1000:.0f}, answer "
        f"{answered / 1000:.0f})"
    )
    assert sent < BYTES


def test_fluidity_of_the_heat_map(lab: JupyterServer, open_notebook: Open) -> None:
    opened = open_notebook(lab, lab.write_notebook("bench-layers.ipynb", [MODEL]))
    opened.run_all()
    view = opened.output(0).get_by_role("region", name="jtviz layers")
    view.scroll_into_view_if_needed()
    # What blocks add is measured first.
    opened.expect_python("view.panels.measured", ("decoder",), seconds=60)
    opened.page.wait_for_timeout(1000)
    figures = view.evaluate(MEASURE)
    print(f"\n{TOKENS} tokens, features:", json.dumps({k: round(v, 1) for k, v in figures.items()}))
