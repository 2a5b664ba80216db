// What the kernel tells an attribution view. Twin: jtviz/views/attribution.py.

import type { Choices, Span, Meta as TraceMeta } from "../core/types";

/** One number of the output, and what it is attributed to. */
export interface Part {
  /** What is explained: a class, a token, the start of an answer. */
  name: string;
  /** The number in words, with its scale. */
  words: string;
  value: number;
  /** Of the target, whatever the scale; null where it is no choice among several. */
  probability: number | null;
  /** The decoder row that predicts it. */
  row: number | null;
  method: string;
  /** What an absent token is, and the number for that; null where the method has none. */
  baseline: string | null;
  baseline_value: number | null;
  n_steps: number | null;
  /** What the scores sum to less what they should, and as a share; null where nothing is promised. */
  delta: number | null;
  relative_delta: number | null;
  is_complete: boolean;
  is_signed: boolean;
  notes: string[];
  /** Layers of each side, 0 where scores are not by layer. */
  layers: number[];
}

/** What was found when tokens were taken away. */
export interface Trusted {
  doubtful: boolean;
  /** Whether the text is long enough to tell. */
  told?: boolean;
  verdict: string;
  sentences: string[];
  /** Each row has its name first. */
  tables: {
    title: string;
    columns: string[];
    rows: [string, ...(number | null)[]][];
    /** Decimals; as everywhere if null. */
    digits: number | null;
  }[];
  /** Whether other methods and baselines were asked, too. */
  compared: boolean;
}

export interface AttributionMeta extends TraceMeta {
  /** Name, label, plain words, and whether a baseline is used. */
  methods: [string, string, string, boolean][];
  baselines: string[];
  /** What was asked, in words. */
  title: string;
  /** Whether the model is there to be asked again. */
  can_check: boolean;
}

export interface AttributionTraits extends Choices {
  selection: string;
  meta: AttributionMeta;
  parts: Part[];
  /** Float32, part by part: each side's scores, layer by layer where there are layers. */
  scores: DataView;
  part: number;
  span: Span | null;
  explained_layer: number;
  unit: "token" | "word";
  mode: "text" | "matrix";
  annotate: boolean;
  method: string;
  baseline: string;
  /** What is being computed, and how far it is; empty when nothing is. */
  busy: string;
  share: number;
  problem: string;
  /** By the number of the part. */
  trusted: Record<string, Trusted>;
}
