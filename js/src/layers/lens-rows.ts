// What the layers predict, as it comes from the kernel: positions that were asked for once stay.
// Required: numbers are those of the kernel, bit for bit; what another lens sees is never mixed in.

import { percent } from "../core/words";
import type { Answer } from "./questions";

export interface LensReply {
  side: string;
  first: number;
  rows: number;
  layers: number;
  top: number;
  /** How many tokens a rank is a place among. */
  vocabulary: number;
  words: Record<string, string>;
}

export type Measure = "probability" | "entropy" | "divergence" | "rank";

/** What one layer predicts in one position. */
export interface Cell {
  /** Likeliest first. */
  tokens: { id: number; word: string; probability: number }[];
  entropy: number;
  divergence: number;
  /** Of the token that the model finds likeliest. */
  rank: number;
  answerProbability: number;
}

export interface Column {
  /** By layer, from what enters the first block. */
  cells: Cell[];
  answer: { id: number; word: string };
}

const floats = (view: DataView | undefined): Float32Array =>
  view
    ? new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength))
    : new Float32Array();
const integers = (view: DataView | undefined): Int32Array =>
  view
    ? new Int32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength))
    : new Int32Array();

/** Read an answer: its columns by position. */
export function columnsOf({ reply, buffers }: Answer<LensReply>): Map<number, Column> {
  const { first, rows, layers, top, words } = reply;
  const [ids, answers, ranks] = buffers.slice(0, 3).map(integers);
  const [probability, entropy, divergence, chance] = buffers.slice(3).map(floats);
  const word = (id: number): string => words[String(id)] ?? `<${id}>`;
  const found = new Map<number, Column>();
  for (let row = 0; row < rows; row++) {
    const cells = Array.from({ length: layers }, (_, layer): Cell => {
      const at = layer * rows + row;
      return {
        tokens: Array.from({ length: top }, (__, place) => {
          const id = ids?.[at * top + place] ?? 0;
          return { id, word: word(id), probability: probability?.[at * top + place] ?? 0 };
        }),
        entropy: entropy?.[at] ?? 0,
        divergence: divergence?.[at] ?? 0,
        rank: ranks?.[at] ?? 1,
        answerProbability: chance?.[at] ?? 0,
      };
    });
    const id = answers?.[row] ?? 0;
    found.set(first + row, { cells, answer: { id, word: word(id) } });
  }
  return found;
}

/** A path of tokens through the layers, `[layers, tokens]` each. */
export interface Path {
  row: number;
  tokens: number[];
  words: string[];
  probability: Float32Array;
  rank: Int32Array;
}

export const pathOf = ({ reply, buffers }: Answer<Pick<Path, "row" | "tokens" | "words">>): Path => ({
  ...reply,
  probability: floats(buffers[0]),
  rank: integers(buffers[1]),
});

/** The number that a cell is coloured by. */
export const measured = (cell: Cell, by: Measure): number =>
  by === "probability" ? (cell.tokens[0]?.probability ?? 0) : cell[by];

/** A shade, 0 to 1: zero is the background; of ranks the first is the deepest, by their logarithm. */
export function shadeOf(value: number, by: Measure, most: number): number {
  if (by === "rank") return most > 1 ? 1 - Math.log(Math.max(1, value)) / Math.log(most) : 1;
  return most > 0 ? Math.max(0, Math.min(1, value / most)) : 0;
}

export const MEASURES: readonly (readonly [Measure, string])[] = [
  ["probability", "probability of the likeliest token"],
  ["entropy", "entropy"],
  ["divergence", "KL divergence from the last layer"],
  ["rank", "rank of the model’s answer"],
];

/** What the ends of the scale are. */
export function mostOf(by: Measure, cells: Iterable<Cell>, vocabulary: number): number {
  if (by === "probability") return 1;
  if (by === "rank") return vocabulary;
  let most = 0;
  for (const cell of cells) most = Math.max(most, cell[by]);
  return most;
}

/** A probability as it is written here: what is next to nothing without its powers of ten. */
export const chance = (share: number): string => (share > 0 && share < 1e-5 ? "< 0.001 %" : percent(share));
