"""How fluid the attention view is, on random attention, which has the most to draw.

Run with ``make bench``. Times are medians in milliseconds from an event to the end of the frame that
shows it, beside the time of a frame in which nothing happens, from the same run.
"""

from __future__ import annotations

import json

import pytest

from tests.bench.frames import FRAMES
from tests.browser.conftest import Open
from tests.browser.jupyter import JupyterServer

MODEL = """
import torch, jtviz
torch.manual_seed(0)
layer = torch.nn.TransformerEncoderLayer(d_model=192, nhead=12, dim_feedforward=256, batch_first=True)
model = torch.nn.TransformerEncoder(layer, num_layers=12).eval()
names = [f"tok{{i}}" for i in range({tokens})]
jtviz.show_attention(
    model, inputs={{"src": torch.randn(1, {tokens}, 192)}}, tokens={{"encoder": names}}, mode="{mode}"
)
"""

MEASURE = (
    "async (root) => {"
    + FRAMES
    + """
  const slider = root.querySelector("[role=slider]");
  const key = (name) => slider.dispatchEvent(
    new KeyboardEvent("keydown", { key: name, bubbles: true, composed: true }));
  const tokens = [...root.querySelectorAll("[data-side=query]:not([hidden])")];
  const over = (token) => token.dispatchEvent(
    new PointerEvent("pointerover", { bubbles: true, composed: true }));
  const head = root.querySelector("[data-head='3']");
  return {
    "idle frame": await time(() => {}, 11, 0),
    "layer": await time((i) => key(i < 6 ? "ArrowRight" : "ArrowLeft"), 11, 400),
    "hover": await time((i) => over(tokens[i % tokens.length]), 21, 0),
    "head": await time(() => head.click(), 10, 100),
    "longest task": Math.max(0, ...long),
    "DOM nodes": root.querySelectorAll("*").length,
  };
}"""
)


@pytest.mark.parametrize("mode", ["links", "matrix", "text"])
@pytest.mark.parametrize("tokens", [16, 128, 500])
def test_fluidity_of_12_layers_of_12_heads(
    lab: JupyterServer, open_notebook: Open, tokens: int, mode: str
) -> None:
    source = MODEL.format(tokens=tokens, mode=mode)
    opened = open_notebook(lab, lab.write_notebook(f"bench-{tokens}-{mode}.ipynb", [source]))
    opened.run_all()
    view = opened.output(0).get_by_role("region", name="jtviz attention")
    view.scroll_into_view_if_needed()
    opened.page.wait_for_timeout(2000)
    figures = view.evaluate(MEASURE)
    print(f"\n{tokens:>4} tokens, {mode}:", json.dumps({k: round(v, 1) for k, v in figures.items()}))
