// What the kernel tells a view in which heads and feed-forward units are switched off.
// Twins: jtviz/views/pruning.py and jtviz/views/importance.py.

import type { Choices, Stage, Meta as TraceMeta } from "../core/types";

export type Head = [stage: string, layer: number, head: number];
/** One input of the last linear layer of a feed-forward block. */
export type Unit = [side: string, layer: number, unit: number];

/** What is switched off. */
export interface Off {
  heads: Head[];
  units: Unit[];
}

/** Layers by heads of each stage; null where it is not known. */
export type HeadScores = Record<string, (number | null)[][]>;

export type Ablation = "zero" | "mean";

/** What the model says, intact or pruned. */
export interface Said {
  value: number;
  text: string;
  pieces: ["same" | "changed" | "gone" | "new", string][];
  top: [string, number][];
}

/** Text that was written, classes, or what comes next. */
export type OutputKind = "text" | "classes" | "next";

export interface Outcome {
  /** What it was computed for. */
  state: Off;
  ablation: Ablation;
  kind: OutputKind;
  score_words: string;
  intact: Said;
  pruned: Said;
  /** In nats; null where the model gives no probabilities. */
  kl: number | null;
  kl_words: string;
  /** Of each token of the output; empty where there is one only. */
  rows: [string, number][];
  /** Total variation, 0 to 1, of the heads whose attention moved most, strongest first. */
  moved: [...Head, number][];
  notes: string[];
  seconds: number;
  /** Names the pruned trace, where attention can be drawn from it. */
  version?: number;
}

/** What parts do alone and together. */
export interface Interaction {
  state: Off;
  words: string;
  alone: [string, number][];
  sum: number;
  joint: number;
  /** Two parts, what they do together, and how much of it neither does alone. */
  pairs: [string, string, number, number][];
}

/** An explanation of the intact and of the pruned model. */
export interface Explained {
  state: Off;
  words: string;
  /** Side, tokens, scores of each. */
  sides: [string, string[], number[], number[]][];
  correlation: number | null;
}

/** A trait that is empty until something was computed. */
export type Later<T> = T | Record<string, never>;

export const given = <T extends object>(value: Later<T> | undefined): T | null =>
  value && Object.keys(value).length > 0 ? (value as T) : null;

export interface PruningMeta extends TraceMeta {
  title: string;
  /** Feed-forward units of each layer. */
  units: Record<string, number[]>;
  /** What each way of switching off does. */
  words: Record<Ablation, string>;
}

/** What every view has in which parts are switched off. */
export interface MaskTraits {
  history: Off[];
  at: number;
}

export interface PruningTraits extends Choices, MaskTraits {
  selection: string;
  meta: PruningMeta;
  ablation: Ablation;
  colouring: string;
  /** Name, label, plain words. */
  colourings: [string, string, string][];
  scores: Later<HeadScores>;
  scores_words: string;
  outcome: Later<Outcome>;
  interaction: Later<Interaction>;
  explained: Later<Explained>;
  /** What is being computed, and how far it is; empty when nothing is. */
  busy: string;
  share: number;
  problem: string;
}

/** What an attention view has more where the model is there to be pruned. Twin: jtviz/views/attention.py. */
export interface SwitchingTraits extends MaskTraits {
  ablation: Ablation;
  outcome: Later<Outcome>;
  /** Whose attention is drawn. */
  draws: "intact" | "pruned";
  busy_pruning: string;
  pruning_problem: string;
}

export interface ImportanceMeta {
  title: string;
  stages: Pick<Stage, "name" | "label" | "heads" | "groups">[];
  /** Number of examples. */
  n: number;
  /** What a score is a difference of, in words. */
  metric: string;
}

export interface Method {
  name: string;
  label: string;
  words: string;
  source: string;
  scores: HeadScores;
  /** Standard errors. */
  errors: HeadScores | null;
}

export interface ImportanceTraits {
  meta: ImportanceMeta;
  methods: Method[];
  method: string;
  off: Head[];
  /** Rank correlation of each method with each. */
  agreement: { names: string[]; values: number[][] };
  pointed: Head | null;
  notes: string[];
  /** The strongest of each layer: unit, score, standard error. */
  units: Record<string, [number, number, number | null][][]> | null;
}
