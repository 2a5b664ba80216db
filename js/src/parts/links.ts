// Query tokens on the left, key tokens on the right, one curve a head and pair; its opacity is the weight.

import { css, headColour } from "../core/colour";
import { h, onceAFrame, prepare, watch } from "../core/dom";
import type { Patterns } from "../core/patterns";
import type { Role } from "../core/types";
import { type Picture, type Scene, sidesOf } from "./picture";
import { applyShading, type Shading, shadingOf } from "./shading";
import { tokenButtons } from "./tokens";

const ROW = 24;
const TALLEST = 528;
/** Opacity is drawn in this many steps, so that a frame needs few strokes. */
const STEPS = 128;
const FAINTEST = 1 / STEPS;
/** Most curves drawn at once; above, the strongest are kept and the legend says so. */
const MOST = 6000;

const UNSHADED: Shading = { weights: { query: undefined, key: undefined }, max: 0, words: "" };

interface Curve {
  head: number;
  query: number;
  key: number;
  weight: number;
}

export const links: Picture = (scene, abort) => {
  const queries = h("div", { class: "column queries", role: "group" });
  const keys = h("div", { class: "column keys", role: "group" });
  const canvas = h("canvas", { "aria-hidden": "true" });
  const middle = h("div", { class: "middle" }, h("div", { class: "pane" }, canvas));
  const scroller = h("div", { class: "scroller" });
  const titles = [
    h("span", { class: "title query" }, "query"),
    h("span", { class: "title arrow" }, "looks at →"),
    h("span", { class: "title" }, "key"),
  ];
  scroller.append(...titles, queries, middle, keys);
  let buttons: Record<Role, HTMLElement[]> = { query: [], key: [] };
  let inner = new AbortController();
  watch(abort, () => {
    const sides = sidesOf(scene);
    const stage = scene.selection.current.value;
    inner.abort();
    inner = new AbortController();
    const { selection } = scene;
    buttons = {
      query: tokenButtons(selection, "query", sides.query, sides.rows, inner.signal),
      key: tokenButtons(selection, "key", sides.key, sides.key.text, inner.signal),
    };
    queries.replaceChildren(...buttons.query);
    keys.replaceChildren(...buttons.key);
    queries.setAttribute("aria-label", `Query tokens, ${stage.query}`);
    keys.setAttribute("aria-label", `Key tokens, ${stage.key}`);
    const height = Math.max(sides.rows.length, sides.key.text.length) * ROW;
    scroller.style.setProperty("--rows", `${height}px`);
    scroller.style.maxHeight = `${TALLEST + ROW}px`;
    scroller.classList.toggle("scrolls", height > TALLEST);
  });
  abort.addEventListener("abort", () => inner.abort(), { once: true });

  const draw = (): void => {
    const width = middle.clientWidth;
    const height = Math.min(TALLEST, Number.parseFloat(scroller.style.getPropertyValue("--rows")));
    const { query, key } = scene.selection.focus.peek();
    const shading = query === null && key === null ? UNSHADED : shadingOf(scene);
    applyShading(scene, buttons, shading);
    if (width > 0) drawCurves(scene, canvas, width, height, scroller.scrollTop);
  };
  const again = onceAFrame(() => !abort.aborted && draw());
  scroller.addEventListener("scroll", again, { signal: abort, passive: true });
  watch(abort, () => {
    scene.width.value;
    scene.rows.value;
    scene.theme.value;
    scene.patterns.value;
    scene.selection.heads.value;
    scene.selection.focus.value;
    again();
  });
  return h("div", { class: "links" }, scroller);
};

function drawCurves(
  scene: Scene,
  canvas: HTMLCanvasElement,
  width: number,
  height: number,
  top: number,
): void {
  const context = prepare(canvas, width, height);
  const patterns = scene.patterns.peek();
  const heads = scene.selection.heads.peek();
  const { dark } = scene.theme.peek();
  const { query, key } = scene.selection.focus.peek();
  const isFocused = query !== null || key !== null;
  const { curves, left } = isFocused
    ? inFocus(patterns, heads, query, key)
    : visible(patterns, heads, Math.floor(top / ROW), Math.ceil((top + height) / ROW));
  context.lineWidth = isFocused ? 3 : 1.5;
  const spread = Math.min(3, (ROW - 10) / Math.max(1, heads.length));
  const shift = new Map(heads.map((head, i) => [head, (i - (heads.length - 1) / 2) * spread]));
  const y = (token: number, head: number): number => token * ROW + ROW / 2 - top + (shift.get(head) ?? 0);
  const paths = new Map<number, Path2D>();
  for (const { head, query: q, key: k, weight } of curves) {
    const name = head * 2 * STEPS + Math.round(Math.min(1, weight) * STEPS);
    const path = paths.get(name) ?? new Path2D();
    paths.set(name, path);
    const [from, to] = [y(q, head), y(k, head)];
    path.moveTo(0, from);
    path.bezierCurveTo(width * 0.45, from, width * 0.55, to, width, to);
  }
  for (const [name, path] of paths) {
    context.globalAlpha = (name % (2 * STEPS)) / STEPS;
    context.strokeStyle = css(headColour(Math.floor(name / (2 * STEPS)), dark));
    context.stroke(path);
  }
  const some = left > 0 ? `; the ${MOST.toLocaleString("en")} strongest in view are drawn` : "";
  // Of about one length, so that pointing at a token does not change the height of the view.
  const words = isFocused
    ? "opacity is the attention weight of a head; tokens are shaded by the mean of the heads"
    : `one curve a head and pair of tokens; opacity is the attention weight${some}`;
  if (scene.legend.peek().words !== words) scene.legend.value = { words, max: null };
}

/** The curves of the token or pair in focus. */
function inFocus(
  patterns: Patterns,
  heads: readonly number[],
  query: number | null,
  key: number | null,
): { curves: Curve[]; left: number } {
  const curves: Curve[] = [];
  if (query !== null) {
    patterns.row(query, heads)?.forEach((row, i) => {
      row.forEach((weight, k) => {
        if (weight >= FAINTEST && (key === null || key === k)) {
          curves.push({ head: heads[i] ?? 0, query, key: k, weight });
        }
      });
    });
  } else if (key !== null) {
    patterns.column(key, heads)?.forEach((column, i) => {
      column.forEach((weight, q) => {
        if (weight >= FAINTEST) curves.push({ head: heads[i] ?? 0, query: q, key, weight });
      });
    });
  }
  return { curves, left: 0 };
}

/** All curves that touch the rows in view, or the strongest of them. */
function visible(
  patterns: Patterns,
  heads: readonly number[],
  first: number,
  last: number,
): { curves: Curve[]; left: number } {
  const curves: Curve[] = [];
  for (let q = first; q < Math.min(last, patterns.queries); q++) {
    patterns.sketch(q, heads)?.forEach((row, i) => {
      for (let k = 0; k < row.length; k++) {
        const weight = row[k] ?? 0;
        if (weight >= FAINTEST) curves.push({ head: heads[i] ?? 0, query: q, key: k, weight });
      }
    });
  }
  if (curves.length <= MOST) return { curves, left: 0 };
  const weights = Float32Array.from(curves, (curve) => curve.weight).sort();
  const least = weights[weights.length - MOST] ?? 0;
  return { curves: curves.filter((curve) => curve.weight >= least), left: curves.length - MOST };
}
