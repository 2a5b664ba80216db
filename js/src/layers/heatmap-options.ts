// What a panel says of its heat map: names, a question, and what to do.

import type { Part } from "./looking";
import type { Question } from "./questions";

export interface Lines {
  count(): number;
  label(index: number): string;
  /** What is pointed at, here or in another view, and what is pinned. */
  hovered(): number | null;
  pinned(): number | null;
  /** Labels are of a text: of tokens that are too close together their places are given. */
  isText?: boolean;
  /** Those that are marked, in whichever view. */
  marked?(): ReadonlySet<number>;
}

/** A cell as it is read. */
export interface Reading {
  row: number;
  /** None where a row's label is pointed at. */
  column: number | null;
  /** None while it is on its way. */
  value: number | null;
  /** "largest of 2 × 3" where the number is of a cell that stands for several, else empty. */
  among: string;
}

export interface HeatmapOptions {
  /** What it is, what is down and what across. */
  name(): string;
  rows: Lines;
  /** `turned`: labels are words, and stand on their side. */
  columns: Lines & { turned?: boolean };
  /** What to ask for a part of the matrix, and with `exact` for a row as float32; null asks nothing. */
  question(part: Part & { exact?: true }): Question | null;
  /** The value that the full colour stands for; null while it is not known. */
  limit(): number | null;
  /** What colours are, in words. */
  legend(): string;
  /** Without negative values: the legend begins at zero. */
  isPositive?: boolean;
  /** Columns with a mark above, and cells with a ring, `[row, column]`. */
  marks?(): { columns: readonly number[]; cells: readonly (readonly [number, number])[] };
  /** As wide as high. */
  isSquare?: boolean;
  /** With the numbers in cells that have room for them. */
  isWritten?: boolean;
  /** What is called a row and a column, for the words below: "token", "dimension". */
  kinds: readonly [string, string];
  say(reading: Reading): string;
  /** What the status line says when nothing is pointed at. */
  hint: string;
  hover(row: number | null, column: number | null): void;
  click(row: number, column: number | null): void;
}
