// What the kernel tells a view before it asks for any number, and the words used for it everywhere.

import type { AnyModel } from "@anywidget/types";

export type Role = "query" | "key";
export type Mode = "links" | "matrix" | "text";
export type Pins = { query: number | null; key: number | null };

export interface Stage {
  name: string;
  label: string;
  /** The side, "encoder" or "decoder", that queries (and keys) come from. */
  query: string;
  key: string;
  /** Number of heads of each layer. */
  heads: number[];
  checks: Check[];
}

/** The truth check of one layer. */
export interface Check {
  /** Largest difference from the model's own output; null where there was none to compare with. */
  difference: number | null;
  tolerance: number;
  /** Smallest and largest sum of a row. */
  sums: [number, number];
}

export interface Side {
  text: string[];
  special: boolean[];
  /** Whether a space, or nothing at all, stands before the token in the sentence. */
  gap: boolean[];
}

export interface Meta {
  stages: Stage[];
  sides: Record<string, Side>;
  /** The token that each decoder row predicts. */
  predicts: string[] | null;
  whole_limit: number;
}

/** Traits of the Selection, and of a view where a front end cannot reach the Selection. */
export interface Choices {
  stage: string;
  layer: number;
  heads: number[];
  pinned: Pins;
}

export interface AttentionTraits extends Choices {
  selection: string;
  meta: Meta;
  mode: Mode;
  row_labels: "read" | "predicted";
}

export type Model<T extends object> = Pick<
  AnyModel<T & Record<string, unknown>>,
  "get" | "set" | "on" | "off" | "save_changes" | "send"
>;
