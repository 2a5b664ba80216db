// Below a heat map: what its colours stand for, and which part of it is in sight.

import { css } from "../core/colour";
import { h, watch } from "../core/dom";
import { number, thousands } from "../core/words";
import type { Block, Range } from "./cells";
import type { HeatmapOptions } from "./heatmap-options";
import { inSight, isZoomed, type Plot, type Sight } from "./looking";
import type { Scene } from "./scene";

/** Which part is in sight, and how many numbers a cell stands for. */
export function sighted(
  { rows, columns, kinds }: HeatmapOptions,
  plot: Plot,
  windows: Sight,
  block?: Block,
): string {
  const seen = inSight(plot, windows);
  const counts = [rows.count(), columns.count()] as const;
  const range = ([from, to]: Range, count: number, kind: string): string =>
    from === 0 && to === count
      ? `${count === 1 ? "" : "all "}${thousands(count)} ${kind}${count === 1 ? "" : "s"}`
      : `${kind}s ${thousands(from)} to ${thousands(to - 1)} of ${thousands(count)}`;
  const places = ([from, to]: Range): string => `${thousands(from)} to ${thousands(to - 1)}`;
  const both = (kind: string): string =>
    isZoomed(plot, windows)
      ? `${kind}s ${places(seen.rows)} down and ${places(seen.columns)} across, of ${thousands(counts[0])}`
      : `${counts[0] === 1 ? "" : "all "}${counts.map(thousands).join(" × ")} ${kind}s`;
  const ratio = Math.max(1, globalThis.devicePixelRatio || 1);
  const pools = ([windows.down.cell, windows.across.cell] as const).map((cell, i) => {
    const pool = block?.pool[i] ?? 1;
    return pool * Math.max(1, Math.ceil(1 / (cell * ratio * pool) - 1e-6));
  });
  const [down = 1, across = 1] = pools;
  const among = down * across > 1 ? ` · a pixel is the largest of ${down} × ${across}` : "";
  const part =
    kinds[0] === kinds[1]
      ? both(kinds[0])
      : `${range(seen.rows, counts[0], kinds[0])}, ${range(seen.columns, counts[1], kinds[1])}`;
  return `${part}${among}`;
}

/** What colours are, from the negative limit to the limit; what is in sight, and what is on its way. */
export function legend(
  options: HeatmapOptions,
  { ramp }: Scene,
  part: () => string,
  waiting: HTMLElement,
  abort: AbortSignal,
): HTMLElement {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  const [least, most, words, range] = [
    h("span"),
    h("span"),
    h("span", { class: "words" }),
    h("span", { class: "sighted" }),
  ];
  watch(abort, () => {
    const limit = options.limit();
    const { colours, negative } = ramp.value;
    const stops = Array.from({ length: 9 }, (_, i) => css(colours[Math.round((255 * i) / 8)] ?? [0, 0, 0]));
    const below = Array.from({ length: 9 }, (_, i) =>
      css(negative[Math.round((255 * (8 - i)) / 8)] ?? [0, 0, 0]),
    );
    bar.style.background = `linear-gradient(to right, ${[...(options.isPositive ? [] : below), ...stops].join(", ")})`;
    least.textContent = limit === null ? "" : options.isPositive ? "0" : number(-limit);
    most.textContent = limit === null ? "" : number(limit);
    words.textContent = options.legend();
  });
  watch(abort, () => {
    range.textContent = part();
  });
  const scale = h("span", { class: "scale" }, least, bar, most);
  return h("div", { class: "legend" }, scale, words, h("span", { class: "sight" }, range, waiting));
}
