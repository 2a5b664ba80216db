// One weight taken apart: query and key of a pair, multiplied dimension by dimension (the "neuron view").

import { css, rampOf } from "../core/colour";
import { h, onceAFrame, prepare, watch } from "../core/dom";
import { isThrough } from "../core/settings";
import type { Tile } from "../core/tiles";
import { number } from "../core/words";
import type { Scene } from "../parts/picture";

const STRIP = 18;
const BARS = 72;
const LABEL = 64;

export function products(scene: Scene, abort: AbortSignal): HTMLElement {
  const { selection, tiles } = scene;
  const canvas = h("canvas", { role: "img" });
  const sums = h("p", { class: "sum" });
  const line = h("div", { class: "caption", "aria-live": "polite", "aria-label": "Dimension" });
  const node = h("section", { class: "panel", "aria-label": "Query times key" }, sums, canvas, line);
  let now: Tile | undefined;
  const pair = () => {
    const { query, key } = selection.focus.value;
    const [head] = selection.heads.value;
    if (
      query === null ||
      key === null ||
      selection.heads.value.length !== 1 ||
      isThrough(scene.settings.weighting.value)
    )
      return null;
    return { stage: selection.stage.value, layer: selection.layer.value, head: head ?? 0, query, key };
  };
  const draw = (): void => {
    if (abort.aborted || !now) return;
    const [query, key, product] = partsOf(now);
    const width = Math.max(LABEL + 1, scene.width.peek());
    const height = 2 * STRIP + BARS + 12;
    const context = prepare(canvas, width, height);
    const { background, ink, dark } = scene.theme.peek();
    const ramp = rampOf(background, 0, dark);
    const step = (width - LABEL) / query.length;
    context.font = `12px ${getComputedStyle(scene.root).fontFamily}`;
    context.fillStyle = css(ink);
    context.fillText("query", 0, STRIP - 5);
    context.fillText("key", 0, 2 * STRIP - 1);
    context.fillText("product", 0, 2 * STRIP + BARS / 2 + 8);
    for (const [i, values] of [query, key].entries()) {
      const most = largest(values);
      for (const [d, value] of values.entries()) {
        const shade = Math.round((255 * Math.abs(value)) / (most || 1));
        context.fillStyle = css((value < 0 ? ramp.negative : ramp.colours)[shade] ?? background);
        context.fillRect(LABEL + d * step, i * (STRIP + 4), Math.max(1, step - (step > 4 ? 1 : 0)), STRIP);
      }
    }
    const most = largest(product);
    const zero = 2 * STRIP + 12 + BARS / 2;
    for (const [d, value] of product.entries()) {
      context.fillStyle = css((value < 0 ? ramp.negative : ramp.colours)[200] ?? ink);
      const size = (Math.abs(value) / (most || 1)) * (BARS / 2);
      context.fillRect(
        LABEL + d * step,
        value < 0 ? zero : zero - size,
        Math.max(1, step - (step > 4 ? 1 : 0)),
        size,
      );
    }
    context.fillStyle = css(ink);
    context.globalAlpha = 0.4;
    context.fillRect(LABEL, zero, width - LABEL, 1);
    context.globalAlpha = 1;
  };
  const again = onceAFrame(draw);
  watch(abort, () => {
    tiles.version.value;
    scene.width.value;
    scene.theme.value;
    const key = pair();
    const asked = key && ({ kind: "products", ...key } as const);
    now = asked ? tiles.fetch(asked) : undefined;
    const failure = asked && !now ? tiles.failure(asked) : undefined;
    canvas.hidden = !now;
    line.textContent = "";
    if (!now) {
      sums.textContent =
        failure ??
        (key
          ? tiles.delay
          : "Pin a query and a key, and choose one head: their product is taken apart here.");
      return;
    }
    const [, , product] = partsOf(now);
    const { scale, added, lse, weight } = now.info as Record<string, number | null>;
    const sum = product.reduce((a, b) => a + b, 0);
    const [s, l, w] = [scale ?? 1, lse ?? 0, weight ?? 0];
    const masked =
      added === null
        ? " + mask (cannot look)"
        : added
          ? ` ${added < 0 ? "−" : "+"} ${number(Math.abs(added))} (mask or position)`
          : "";
    const score = added === null ? "−∞" : number(sum * s + (added ?? 0));
    sums.textContent =
      `Σ query × key over ${product.length} dimensions = ${number(sum)}; × scale ${number(s)}${masked} = score ${score}; ` +
      `softmax: e^(score − ${number(l)}) = ${number(w)}`;
    canvas.setAttribute(
      "aria-label",
      `Query, key and their product in ${product.length} dimensions; ${sums.textContent}`,
    );
    again();
  });
  canvas.addEventListener(
    "pointermove",
    (event) => {
      if (!now) return;
      const parts = partsOf(now);
      const box = canvas.getBoundingClientRect();
      const d = Math.floor(((event.clientX - box.left - LABEL) / (box.width - LABEL)) * parts[0].length);
      if (d >= 0)
        line.textContent = `dimension ${d}: ${number(parts[0][d] ?? 0)} × ${number(parts[1][d] ?? 0)} = ${number(parts[2][d] ?? 0)}`;
    },
    { signal: abort },
  );
  return node;
}

/** Query, key and product. */
function partsOf({ data, shape }: Tile): [number[], number[], number[]] {
  const size = shape[1] ?? 0;
  const [query, key] = [[...data.subarray(0, size)], [...data.subarray(size)]];
  return [query, key, query.map((value, i) => value * (key[i] ?? 0))];
}

const largest = (values: readonly number[]): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
