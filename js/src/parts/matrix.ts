// The heat map of the heads shown (their mean, where there are several): queries down, keys across.

import { computed } from "@preact/signals-core";
import { css, type Rgb, shade } from "../core/colour";
import { h, onceAFrame, prepare, watch } from "../core/dom";
import type { Patterns } from "../core/patterns";
import { headsInWords } from "../core/words";
import { explain, type Picture, type Scene, sidesOf } from "./picture";
import { fillTokens } from "./tokens";

const LARGEST = 30;
const TALLEST = 640;
/** A label needs this much room: where cells are smaller, only some have theirs, and those in focus. */
const LABEL = 12;
const LONGEST_LABEL = 112;
const TITLE = 20;

interface Grid {
  /** CSS pixels of one token and of the labels. */
  cell: number;
  left: number;
  top: number;
  level: number;
  /** Every how many tokens there is room for a label. */
  step: number;
}

export const matrix: Picture = (scene, abort) => {
  const canvas = h("canvas", { role: "img" });
  const queries = h("div", { class: "labels queries", role: "group" });
  const keys = h("div", { class: "labels keys", role: "group" });
  const titleKey = h("div", { class: "axis key", "aria-hidden": "true" }, "key");
  const titleQuery = h("div", { class: "axis query", "aria-hidden": "true" }, "query");
  const plot = h("div", { class: "plot" }, titleKey, titleQuery, keys, queries, canvas);
  const labels = fillTokens(scene, { query: queries, key: keys }, abort);
  const measure = measureIn(scene.root, canvas);
  const layout = computed(() => {
    const sides = sidesOf(scene);
    return layOut(scene.width.value, sides.rows, sides.key.text, measure);
  });
  watch(abort, () => {
    const { cell, left, top } = layout.value;
    const { query, key } = labels.value;
    plot.style.setProperty("--cell", `${cell}px`);
    plot.style.setProperty("--left", `${left}px`);
    plot.style.setProperty("--top", `${top}px`);
    plot.style.setProperty("--width", `${cell * key.length}px`);
    plot.style.setProperty("--height", `${cell * query.length}px`);
  });
  watch(abort, () => {
    const { step } = layout.value;
    const [pinned, hovered] = [scene.selection.pinned.value, scene.selection.hovered.value];
    place(labels.value.query, step, [hovered.query, pinned.query]);
    place(labels.value.key, step, [hovered.key, pinned.key]);
  });

  let painted: Painted | null = null;
  const again = onceAFrame(() => {
    if (!abort.aborted) painted = drawCells(scene, canvas, layout.peek(), painted);
  });
  watch(abort, () => {
    layout.value;
    scene.theme.value;
    scene.patterns.value;
    scene.selection.heads.value;
    scene.selection.focus.value;
    scene.selection.pinned.value;
    again();
  });

  const at = (event: MouseEvent): { query: number; key: number } => {
    const box = canvas.getBoundingClientRect();
    const { queries: rows, keys: columns } = scene.patterns.peek();
    const inside = (value: number, count: number): number =>
      Math.max(0, Math.min(count - 1, Math.floor(value)));
    return {
      query: inside(((event.clientY - box.top) / box.height) * rows, rows),
      key: inside(((event.clientX - box.left) / box.width) * columns, columns),
    };
  };
  canvas.addEventListener("pointermove", (event) => scene.selection.hover(at(event)), { signal: abort });
  canvas.addEventListener("pointerleave", () => scene.selection.hover({ query: null, key: null }), {
    signal: abort,
  });
  canvas.addEventListener(
    "click",
    (event) => {
      const cell = at(event);
      const { query, key } = scene.selection.pinned.peek();
      const isPinned = cell.query === query && cell.key === key;
      scene.selection.choose({ pinned: isPinned ? { query: null, key: null } : cell });
    },
    { signal: abort },
  );
  return h("div", { class: "matrix" }, plot);
};

/** Fit the grid to the width: square cells, as large as legible. */
function layOut(width: number, rows: readonly string[], columns: readonly string[], measure: Measure): Grid {
  const left = TITLE + Math.min(LONGEST_LABEL, longest(rows, measure) + 12);
  const top = TITLE + Math.min(LONGEST_LABEL, longest(columns, measure) + 12);
  const room = Math.max(1, width - left);
  const fit = Math.min(LARGEST, room / Math.max(1, columns.length), TALLEST / Math.max(1, rows.length));
  const cell = fit >= 2 ? Math.floor(fit) : fit;
  const level = Math.max(0, Math.ceil(Math.log2(1 / (cell * (globalThis.devicePixelRatio || 1)))));
  return { cell, left, top, level, step: cell >= LABEL - 2 ? 1 : Math.ceil(LABEL / cell) };
}

/** Show every `step`-th label and those in focus, which push aside what they would cover. */
function place(labels: readonly HTMLElement[], step: number, focus: readonly (number | null)[]): void {
  for (const [i, label] of labels.entries()) {
    const isFocused = focus.includes(i);
    const isCovered = step > 1 && focus.some((at) => at !== null && Math.abs(at - i) < step);
    // Hidden, a label would lose the keyboard's focus to the page.
    const isHeld = label.matches(":focus");
    label.hidden = !(isFocused || isHeld) && (i % step !== 0 || isCovered);
    label.style.setProperty("--at", String(i));
  }
}

type Measure = (label: string) => number;

function longest(labels: readonly string[], measure: Measure): number {
  return labels.reduce((most, label) => Math.max(most, measure(label)), 0);
}

/** Width of a label in the font that labels are set in. */
function measureIn(node: HTMLElement, canvas: HTMLCanvasElement): Measure {
  const context = canvas.getContext("2d");
  return (label) => {
    if (!context) return label.length * 8;
    context.font = `12px ${getComputedStyle(node).fontFamily}`;
    return Math.ceil(context.measureText(label).width);
  };
}

/** Weights as a picture of one pixel a cell, and what it was made of. */
interface Painted {
  of: readonly [Patterns, readonly number[], readonly Rgb[], number];
  pixels: OffscreenCanvas;
  max: number;
}

/** Draw the cells and what is in focus; hovering redraws only the latter, over the `last` pixels. */
function drawCells(scene: Scene, canvas: HTMLCanvasElement, grid: Grid, last: Painted | null): Painted {
  const patterns = scene.patterns.peek();
  const heads = scene.selection.heads.peek();
  const [width, height] = [grid.cell * patterns.keys, grid.cell * patterns.queries];
  const context = prepare(canvas, width, height);
  const level = patterns.isWhole ? 0 : grid.level;
  const of = [patterns, heads, scene.ramp.peek(), level] as const;
  const painted = last && of.every((part, i) => part === last.of[i]) ? last : paint(of);
  context.imageSmoothingEnabled = painted.pixels.width > width;
  context.drawImage(painted.pixels, 0, 0, width, height);
  outline(scene, context, grid.cell, width, height);
  const pooled = level > 0 ? `, pooled ${2 ** level} × ${2 ** level}, max` : "";
  const words = `attention weight, ${headsInWords(heads)}; each row is one query${pooled}`;
  canvas.setAttribute(
    "aria-label",
    `Heat map of ${words}: ${patterns.queries} queries by ${patterns.keys} keys`,
  );
  explain(scene, words, painted.max);
  return painted;
}

/** Paint the weights; the full colour stands for the largest. */
function paint(of: Painted["of"]): Painted {
  const [patterns, heads, colours, level] = of;
  const { width, height, at } = patterns.picture(heads, level);
  const weights = new Float32Array(width * height);
  let max = 0;
  if (heads.length > 0) {
    for (let row = 0, i = 0; row < height; row++) {
      for (let column = 0; column < width; column++, i++) {
        const weight = at(row, column) ?? 0;
        weights[i] = weight;
        if (weight > max) max = weight;
      }
    }
  }
  const image = new ImageData(width, height);
  for (let i = 0; i < weights.length; i++) {
    const [r, g, b] = shade(colours, weights[i] ?? 0, max);
    image.data[4 * i] = r;
    image.data[4 * i + 1] = g;
    image.data[4 * i + 2] = b;
    image.data[4 * i + 3] = 255;
  }
  const pixels = new OffscreenCanvas(width, height);
  pixels.getContext("2d")?.putImageData(image, 0, 0);
  return { of, pixels, max };
}

/** Mark the row and the column in focus, and the pinned ones more strongly. */
function outline(
  scene: Scene,
  context: CanvasRenderingContext2D,
  cell: number,
  width: number,
  height: number,
): void {
  const { ink } = scene.theme.peek();
  const { pinned, hovered } = scene.selection;
  context.strokeStyle = css(ink);
  context.lineWidth = 1;
  for (const [pins, alpha] of [
    [pinned.peek(), 0.9],
    [hovered.peek(), 0.55],
  ] as const) {
    context.globalAlpha = alpha;
    const size = Math.max(cell, 3);
    if (pins.query !== null) context.strokeRect(0.5, pins.query * cell + 0.5, width - 1, size - 1);
    if (pins.key !== null) context.strokeRect(pins.key * cell + 0.5, 0.5, size - 1, height - 1);
  }
  context.globalAlpha = 1;
}
