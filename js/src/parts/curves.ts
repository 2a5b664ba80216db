// Curves from queries to keys: one a head and pair of tokens, its opacity the weight.
// Required: a frame stays short however many curves there are: the strongest come first, the rest in the
// frames that follow.

import { css, headColour } from "../core/colour";
import { prepare } from "../core/dom";
import type { Shown } from "../core/shown";
import type { Pins } from "../core/types";

/** Most curves drawn of what is in view; where there are more, the strongest. */
export const MOST = 3000;
/** Curves drawn in one frame. */
const SLICE = 150;
/** Opacity is drawn in this many steps, so that a frame needs few strokes. */
const STEPS = 128;
/** The least part of the full weight that is drawn. */
export const FAINTEST = 1 / STEPS;

export interface Curve {
  /** Which of the patterns shown. */
  member: number;
  query: number;
  key: number;
  weight: number;
}

/** Curves, strongest first, and how many were left out. */
interface Curves {
  curves: Curve[];
  left: number;
}

/** Keys in sight: from, up to. */
export type Range = readonly [number, number];

/** The curves of the token or of the pair in focus. */
export function strongestInFocus(shown: Shown, { query, key }: Pins, least: number): Curves {
  const curves: Curve[] = [];
  if (query !== null) {
    shown.rows(query)?.forEach((row, member) => {
      row.forEach((weight, k) => {
        if (key === null || key === k) curves.push({ member, query, key: k, weight });
      });
    });
  } else if (key !== null) {
    shown.columns(key)?.forEach((column, member) => {
      column.forEach((weight, q) => {
        curves.push({ member, query: q, key, weight });
      });
    });
  }
  return strongest(curves, least);
}

/** The curves from the queries in sight to the keys in sight. */
export function strongestInView(shown: Shown, queries: Range, keys: Range, least: number): Curves {
  const rows: { query: number; weights: Float32Array[] }[] = [];
  for (let query = queries[0]; query < queries[1]; query++) {
    const weights = shown.sketch(query, keys[0], keys[1]);
    if (weights) rows.push({ query, weights });
  }
  const cut = cutOff(
    rows.flatMap((row) => row.weights),
    least,
  );
  const curves: Curve[] = [];
  for (const { query, weights } of rows) {
    for (const [member, row] of weights.entries()) {
      for (let k = 0; k < row.length; k++) {
        const weight = row[k] ?? 0;
        if (Math.abs(weight) >= cut.least) curves.push({ member, query, key: keys[0] + k, weight });
      }
    }
  }
  return { ...strongest(curves, least), left: cut.left };
}

/** The least weight drawn so that no more than `MOST` are, found by counting, without a sort. */
export function cutOff(rows: readonly Float32Array[], faintest: number): { least: number; left: number } {
  const bins = 4096;
  const counts = new Uint32Array(bins + 1);
  let max = 0;
  for (const row of rows) for (const weight of row) max = Math.max(max, Math.abs(weight));
  for (const row of rows) {
    for (const weight of row) {
      const size = Math.abs(weight);
      if (size >= faintest && size > 0) {
        const bin = Math.floor((size / max) * bins);
        counts[bin] = (counts[bin] ?? 0) + 1;
      }
    }
  }
  let bin = bins;
  let kept = 0;
  while (bin >= 0 && kept + (counts[bin] ?? 0) <= MOST) kept += counts[bin--] ?? 0;
  const all = counts.reduce((sum, count) => sum + count, 0);
  return { least: Math.max(faintest, ((bin + 1) / bins) * max, Number.MIN_VALUE), left: all - kept };
}

function strongest(all: readonly Curve[], least: number): Curves {
  const size = ({ weight }: Curve): number => Math.abs(weight);
  const curves = all
    .filter((curve) => size(curve) >= least && size(curve) > 0)
    .sort((a, b) => size(b) - size(a));
  return { curves: curves.slice(0, MOST), left: Math.max(0, curves.length - MOST) };
}

interface Place {
  width: number;
  height: number;
  /** Height of a token, how far the tokens are scrolled, and the keys shifted against the queries. */
  row: number;
  top: number;
  shift: number;
  thickness: number;
}

/** Clear the canvas and draw the curves over the next frames; returns what stops that. */
export function paintCurves(
  canvas: HTMLCanvasElement,
  curves: readonly Curve[],
  /** Colour of each of the patterns shown. */
  hues: readonly number[],
  dark: boolean,
  opacity: (curve: Curve) => number,
  place: Place,
): () => void {
  const context = prepare(canvas, place.width, place.height);
  context.lineWidth = place.thickness;
  // Heads leave a token side by side, so that they differ by place as well as by colour.
  const spread = Math.min(3, (place.row - 10) / Math.max(1, hues.length));
  const y = (token: number, member: number): number =>
    (token + 0.5) * place.row - place.top + (member - (hues.length - 1) / 2) * spread;
  let done = 0;
  let frame = 0;
  const slice = (): void => {
    const paths = new Map<number, Path2D>();
    for (const curve of curves.slice(done, done + SLICE)) {
      const { member, query, key, weight } = curve;
      const step = Math.round(Math.min(1, opacity(curve)) * STEPS);
      const name = (member * 2 + (weight < 0 ? 1 : 0)) * 2 * STEPS + step;
      const path = paths.get(name) ?? new Path2D();
      paths.set(name, path);
      const [from, to] = [y(query, member), y(key + place.shift, member)];
      path.moveTo(0, from);
      path.bezierCurveTo(place.width * 0.45, from, place.width * 0.55, to, place.width, to);
    }
    for (const [name, path] of paths) {
      const which = Math.floor(name / (2 * STEPS));
      context.globalAlpha = (name % (2 * STEPS)) / STEPS;
      context.strokeStyle = css(headColour(hues[which >> 1] ?? 0, dark));
      // What is negative is dashed.
      context.setLineDash(which & 1 ? [4, 4] : []);
      context.stroke(path);
    }
    done += SLICE;
    if (done < curves.length) frame = requestAnimationFrame(slice);
  };
  slice();
  return () => cancelAnimationFrame(frame);
}
