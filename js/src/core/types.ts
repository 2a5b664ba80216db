// What the kernel tells a view before it asks for any number, and the words used for it everywhere.
// Twin: jtviz/views/describe.py.

import type { AnyModel } from "@anywidget/types";
import type { SwitchingTraits } from "../pruning/types";
import type { Settings } from "./settings";

export type Role = "query" | "key";
export const ROLES: readonly Role[] = ["query", "key"];
export type Mode = "links" | "matrix" | "text";
export type Pins = { query: number | null; key: number | null };
/** Indices of marked tokens, by side. */
export type Marks = Record<string, number[]>;
/** First token, and the one after the last. */
export type Span = [number, number];

export interface Stage {
  name: string;
  label: string;
  /** The side, "encoder" or "decoder", that queries (and keys) come from. */
  query: string;
  key: string;
  /** Number of heads of each layer, and how many of them share a key head. */
  heads: number[];
  groups: number[];
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
  /** Positions of special tokens, and of those that a space, or nothing at all, stands before. */
  special: number[];
  gap: number[];
  /** First token of each word; null where every token is one. */
  words: number[] | null;
  /** Names of words that are not their tokens in a row. */
  names: Record<string, string>;
  /** Positions of what the model wrote itself, and the probability of each token. */
  generated?: number[];
  probability?: (number | null)[];
}

export interface Meta {
  stages: Stage[];
  sides: Record<string, Side>;
  /** Named parts of each side: name, first token, the one after the last. */
  spans: Record<string, [string, number, number][]>;
  /** Name, plain words, and why it cannot be had (or nothing). */
  weightings: [string, string, string][];
  /** The token that each decoder row predicts. */
  predicts: string[] | null;
  whole_limit: number;
  /** Whether the model is there, so that parts of it can be switched off. */
  can_prune?: boolean;
}

/** Traits of the Selection, and of a view where a front end cannot reach the Selection. */
export interface Choices {
  stage: string;
  layer: number;
  heads: number[];
  pinned: Pins;
  marked: Marks;
}

export interface AttentionTraits extends Choices, Settings, SwitchingTraits {
  selection: string;
  meta: Meta;
  snapshot: Record<string, { shape: number[]; dtype: string; unit: number; data: DataView }>;
}

export type Model<T extends object> = Pick<
  AnyModel<T & Record<string, unknown>>,
  "get" | "set" | "on" | "off" | "save_changes" | "send"
>;
