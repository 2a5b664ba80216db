// Curves from queries to keys: one a head and pair of tokens, its opacity the weight.
// Required: a frame stays short however many curves there are: the strongest come first, the rest in the
// frames that follow.

import { css, headColour } from "../core/colour";
import { prepare } from "../core/dom";
import type { Patterns } from "../core/patterns";
import type { Pins } from "../core/types";

/** Most curves drawn of what is in view; where there are more, the strongest. */
export const MOST = 3000;
/** Curves drawn in one frame. */
const SLICE = 150;
/** Opacity is drawn in this many steps, so that a frame needs few strokes. */
const STEPS = 128;
/** The least weight drawn. */
export const FAINTEST = 1 / STEPS;

interface Curve {
  head: number;
  query: number;
  key: number;
  weight: number;
}

/** Curves, strongest first, and how many were left out. */
interface Curves {
  curves: Curve[];
  left: number;
}

/** The curves of the token or of the pair in focus. */
export function strongestInFocus(patterns: Patterns, heads: readonly number[], { query, key }: Pins): Curves {
  const curves: Curve[] = [];
  if (query !== null) {
    patterns.row(query, heads)?.forEach((row, i) => {
      row.forEach((weight, k) => {
        if (key === null || key === k) curves.push({ head: heads[i] ?? 0, query, key: k, weight });
      });
    });
  } else if (key !== null) {
    patterns.column(key, heads)?.forEach((column, i) => {
      column.forEach((weight, q) => {
        curves.push({ head: heads[i] ?? 0, query: q, key, weight });
      });
    });
  }
  return strongest(curves);
}

/** The curves that leave the rows in view. */
export function strongestInView(
  patterns: Patterns,
  heads: readonly number[],
  first: number,
  last: number,
): Curves {
  const rows: { query: number; weights: Float32Array[] }[] = [];
  for (let query = first; query < Math.min(last, patterns.queries); query++) {
    const weights = patterns.sketch(query, heads);
    if (weights) rows.push({ query, weights });
  }
  const { least, left } = cutOff(rows.flatMap((row) => row.weights));
  const curves: Curve[] = [];
  for (const { query, weights } of rows) {
    for (const [i, row] of weights.entries()) {
      for (let key = 0; key < row.length; key++) {
        const weight = row[key] ?? 0;
        if (weight >= least) curves.push({ head: heads[i] ?? 0, query, key, weight });
      }
    }
  }
  return { ...strongest(curves), left };
}

/** The least weight drawn so that no more than `MOST` are, found by counting, without a sort. */
export function cutOff(rows: readonly Float32Array[]): { least: number; left: number } {
  const bins = 4096;
  const counts = new Uint32Array(bins + 1);
  for (const row of rows) {
    for (const weight of row) {
      if (weight >= FAINTEST) {
        const bin = Math.floor(Math.min(1, weight) * bins);
        counts[bin] = (counts[bin] ?? 0) + 1;
      }
    }
  }
  let bin = bins;
  let kept = 0;
  while (bin >= 0 && kept + (counts[bin] ?? 0) <= MOST) kept += counts[bin--] ?? 0;
  const all = counts.reduce((sum, count) => sum + count, 0);
  return { least: Math.max(FAINTEST, (bin + 1) / bins), left: all - kept };
}

function strongest(all: readonly Curve[]): Curves {
  const curves = all.filter((curve) => curve.weight >= FAINTEST).sort((a, b) => b.weight - a.weight);
  return { curves: curves.slice(0, MOST), left: Math.max(0, curves.length - MOST) };
}

interface Place {
  width: number;
  height: number;
  /** Height of a token, and how far the tokens are scrolled. */
  row: number;
  top: number;
  thickness: number;
}

/** Clear the canvas and draw the curves over the next frames; returns what stops that. */
export function paintCurves(
  canvas: HTMLCanvasElement,
  curves: readonly Curve[],
  heads: readonly number[],
  dark: boolean,
  place: Place,
): () => void {
  const context = prepare(canvas, place.width, place.height);
  context.lineWidth = place.thickness;
  // Heads leave a token side by side, so that they differ by place as well as by colour.
  const spread = Math.min(3, (place.row - 10) / Math.max(1, heads.length));
  const shift = new Map(heads.map((head, i) => [head, (i - (heads.length - 1) / 2) * spread]));
  const y = (token: number, head: number): number =>
    (token + 0.5) * place.row - place.top + (shift.get(head) ?? 0);
  let done = 0;
  let frame = 0;
  const slice = (): void => {
    const paths = new Map<number, Path2D>();
    for (const { head, query, key, weight } of curves.slice(done, done + SLICE)) {
      const name = head * 2 * STEPS + Math.round(Math.min(1, weight) * STEPS);
      const path = paths.get(name) ?? new Path2D();
      paths.set(name, path);
      const [from, to] = [y(query, head), y(key, head)];
      path.moveTo(0, from);
      path.bezierCurveTo(place.width * 0.45, from, place.width * 0.55, to, place.width, to);
    }
    for (const [name, path] of paths) {
      context.globalAlpha = (name % (2 * STEPS)) / STEPS;
      context.strokeStyle = css(headColour(Math.floor(name / (2 * STEPS)), dark));
      context.stroke(path);
    }
    done += SLICE;
    if (done < curves.length) frame = requestAnimationFrame(slice);
  };
  slice();
  return () => cancelAnimationFrame(frame);
}
