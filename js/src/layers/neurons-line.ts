// How much of a pattern is in each token, as bars along the text; pointing at one points at its token.

import { css, headColour } from "../core/colour";
import { h, onceAFrame, prepare, set, watch } from "../core/dom";
import { hoverToken, pinToken, tokenOn } from "../core/token";
import { number } from "../core/words";
import { type Scene, tokensOf } from "./scene";

const HEIGHT = 20;

export function sparkline(
  scene: Scene,
  weights: Float32Array,
  pattern: number,
  abort: AbortSignal,
): HTMLElement {
  const { selection, side, theme } = scene;
  const canvas = h("canvas", { role: "img" });
  const node = h("span", { class: "along" }, canvas);
  const most = weights.reduce((best, weight, i) => (weight > (weights[best] ?? 0) ? i : best), 0);
  const label = tokensOf(scene, side.peek())[most] ?? "";
  set(
    canvas,
    "aria-label",
    `Pattern ${pattern} along the text, most at ${label}: ${number(weights[most] ?? 0)}`,
  );
  const draw = onceAFrame(() => {
    const width = node.clientWidth;
    if (abort.aborted || width === 0) return;
    const context = prepare(canvas, width, HEIGHT);
    const step = width / weights.length;
    const { dark, ink } = theme.peek();
    for (const pins of [selection.pinned.peek(), selection.hovered.peek()]) {
      const at = tokenOn(selection, pins, side.peek(), "query");
      if (at === null) continue;
      context.globalAlpha = 0.16;
      context.fillStyle = css(ink);
      context.fillRect(at * step, 0, Math.max(1, step), HEIGHT);
    }
    context.globalAlpha = 1;
    context.fillStyle = css(headColour(pattern, dark));
    weights.forEach((weight, i) => {
      const tall = weight * (HEIGHT - 1);
      context.fillRect(i * step, HEIGHT - tall, Math.max(0.5, step - (step > 3 ? 1 : 0)), tall);
    });
  });
  watch(abort, () => {
    theme.value;
    selection.pinned.value;
    selection.hovered.value;
    draw();
  });
  const size = new ResizeObserver(draw);
  size.observe(node);
  abort.addEventListener("abort", () => size.disconnect(), { once: true });
  const of = (event: MouseEvent) => {
    const box = canvas.getBoundingClientRect();
    const share = (event.clientX - box.left) / Math.max(1, box.width);
    const index = Math.max(0, Math.min(weights.length - 1, Math.floor(share * weights.length)));
    return { side: side.peek(), index };
  };
  const options = { signal: abort };
  canvas.addEventListener("pointermove", (event) => hoverToken(selection, of(event), "query"), options);
  canvas.addEventListener("pointerleave", () => hoverToken(selection, null), options);
  canvas.addEventListener("click", (event) => pinToken(selection, of(event), "query"), options);
  return node;
}
