// How weights become colours. Required: zero stays the background; changing the scale fetches nothing.

import type { Settings } from "./settings";

/** Steps between zero and the largest weight. */
const STEPS = 4096;

/** From a share of the largest weight, 0 to 1, to one of 256 shades. */
export type Table = Uint8Array;

const tables = new Map<string, Table>();

/** The shades of a scale; ranks depend on the weights that are shown. */
export function tableOf(kind: Settings["scale"], counts?: Uint32Array): Table {
  if (kind === "rank" && counts) return ranks(counts);
  let table = tables.get(kind);
  if (!table) {
    table = Uint8Array.from({ length: STEPS + 1 }, (_, i) => {
      const x = i / STEPS;
      if (kind === "sqrt") return Math.round(255 * Math.sqrt(x));
      // Three decades: a thousandth of the largest weight is just seen.
      return Math.round(255 * (kind === "log" ? Math.log1p(999 * x) / Math.log(1000) : x));
    });
    tables.set(kind, table);
  }
  return table;
}

export const stepOf = (weight: number, max: number): number =>
  max > 0 ? Math.min(STEPS, Math.round((Math.abs(weight) / max) * STEPS)) : 0;

/** Shade of a weight, 0 to 255. */
export const shadeOf = (table: Table, weight: number, max: number): number => table[stepOf(weight, max)] ?? 0;

/** Count how many weights are at each step; those at zero do not count. */
export function count(
  weights: Iterable<number>,
  unit: number,
  max: number,
  into: Uint32Array = new Uint32Array(STEPS + 1),
): Uint32Array {
  for (const weight of weights) {
    const step = stepOf(weight * unit, max);
    if (step > 0) into[step] = (into[step] ?? 0) + 1;
  }
  return into;
}

function ranks(counts: Uint32Array): Table {
  const all = counts.reduce((sum, n) => sum + n, 0);
  let below = 0;
  return Uint8Array.from(counts, (n, i) => {
    below += n;
    return i === 0 || all === 0 ? 0 : Math.round((255 * below) / all);
  });
}
