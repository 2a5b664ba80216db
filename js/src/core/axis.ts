// The queries or the keys as they are shown: tokens, or words of several.

import type { Side } from "./types";

export interface Axis {
  /** As they are called. */
  labels: readonly string[];
  size: number;
  /** How many tokens they are. */
  tokens: number;
  /** First token of one, and after the last how many tokens there are. */
  first(index: number): number;
  /** Where a token is. */
  at(token: number): number;
  /** The word of each token, null for tokens. */
  place: Int32Array | null;
  special: ReadonlySet<number>;
  gap: ReadonlySet<number>;
}

const NONE: Side = { text: [], special: [], gap: [], words: null, names: {} };
const made = new WeakMap<Side, Partial<Record<"token" | "word", Axis>>>();

export function axisOf(side: Side | undefined, unit: "token" | "word"): Axis {
  const known = made.get(side ?? NONE) ?? {};
  made.set(side ?? NONE, known);
  known[unit] ??= make(side ?? NONE, unit);
  return known[unit];
}

function make({ text, special, gap, words, names }: Side, unit: "token" | "word"): Axis {
  const tokens = text.length;
  const flags = { special: new Set(special), gap: new Set(gap) };
  if (unit === "token" || !words) {
    const own = (index: number): number => index;
    return { labels: text, size: tokens, tokens, first: own, at: own, place: null, ...flags };
  }
  const place = new Int32Array(tokens);
  words.forEach((start, word) => {
    place.fill(word, start, words[word + 1] ?? tokens);
  });
  const start = (word: number): number => words[word] ?? tokens;
  const of = (some: Set<number>): Set<number> =>
    new Set(words.flatMap((first, word) => (some.has(first) ? [word] : [])));
  return {
    labels: words.map((first, word) => names[word] ?? text.slice(first, start(word + 1)).join("")),
    size: words.length,
    tokens,
    first: start,
    at: (token) => place[token] ?? 0,
    place,
    special: of(flags.special),
    gap: of(flags.gap),
  };
}
