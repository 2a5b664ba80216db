// From the model's weights to those shown: hide, renormalise, sum into words, keep the strongest.
// Twin: jtviz/views/shown.py (the same order and rules).

/** What is done to weights, all heads alike. */
export interface Refining {
  /** 1 where a token is left out as key; null where none is. */
  hidden: Uint8Array | null;
  renormalise: boolean;
  /** The word of each key token; null for tokens. */
  keyPlace: Int32Array | null;
  keyCount: number;
  topK: number;
  topMass: number;
}

/**
 * Refine rows of weights.
 *
 * @param weights `[heads, rows, keys]`
 * @param words of each row its word, from 0 on; null where each row stays one
 * @returns `[heads, words or rows, keyCount]`
 */
export function refine(
  weights: Float32Array,
  shape: { heads: number; rows: number; keys: number },
  words: Int32Array | null,
  how: Refining,
): Float32Array {
  const { heads, rows, keys } = shape;
  const { hidden, renormalise, keyPlace, keyCount } = how;
  const isSifted = how.topK > 0 || how.topMass < 1;
  if (!(hidden || renormalise || keyPlace || words || isSifted)) return weights;
  const height = words ? (words[rows - 1] ?? 0) + 1 : rows;
  const out = new Float32Array(heads * height * keyCount);
  const pieces = new Float32Array(height);
  for (let row = 0; row < rows; row++) add(pieces, words?.[row] ?? row, 1);
  for (let head = 0, from = 0; head < heads; head++) {
    for (let row = 0; row < rows; row++, from += keys) {
      let share = 1;
      if (renormalise) {
        let kept = 0;
        for (let key = 0; key < keys; key++) if (!hidden?.[key]) kept += weights[from + key] ?? 0;
        share = kept > 0 ? 1 / kept : 0;
      }
      const line = words?.[row] ?? row;
      share /= pieces[line] ?? 1;
      const to = (head * height + line) * keyCount;
      for (let key = 0; key < keys; key++) {
        if (!hidden?.[key]) add(out, to + (keyPlace?.[key] ?? key), (weights[from + key] ?? 0) * share);
      }
    }
  }
  if (isSifted) {
    for (let at = 0; at < out.length; at += keyCount) {
      sift(out.subarray(at, at + keyCount), how.topK, how.topMass);
    }
  }
  return out;
}

/** Keep the strongest weights of a row, in place; of equal ones the first. */
export function sift(row: Float32Array, topK: number, topMass: number): void {
  const sorted = row.map(Math.abs).sort();
  let least = 0;
  let kept = 0;
  let total = 0;
  for (const size of sorted) total += size;
  // Rounding must not ask for one more.
  const wanted = topMass < 1 ? topMass * total * (1 - 1e-6) : Number.POSITIVE_INFINITY;
  let sum = 0;
  while (kept < sorted.length && (topK === 0 || kept < topK) && sum < wanted) {
    kept++;
    least = sorted[sorted.length - kept] ?? 0;
    sum += least;
  }
  let above = 0;
  for (const size of sorted) if (size > least) above++;
  let ties = kept - above;
  for (let i = 0; i < row.length; i++) {
    const size = Math.abs(row[i] ?? 0);
    if (size < least || kept === 0 || (size === least && ties-- <= 0)) row[i] = 0;
  }
}

function add(to: Float32Array, at: number, weight: number): void {
  to[at] = (to[at] ?? 0) + weight;
}
