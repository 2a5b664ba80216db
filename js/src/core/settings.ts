// What the reader chose in this view, beside what all views share. Twin: jtviz/views/settings.py.

import type { Signal } from "@preact/signals-core";
import { synced } from "./synced";
import type { Mode, Model, Span } from "./types";

export interface Settings {
  mode: Mode;
  row_labels: "read" | "predicted";
  weighting: string;
  combine: "mean" | "max" | "sum";
  /** Heads of other layers shown too: layer and head. */
  also: [number, number][];
  unit: "token" | "word";
  hide: string[];
  hide_special: boolean;
  hide_first: boolean;
  renormalise: boolean;
  query_span: Span | null;
  key_span: Span | null;
  threshold: number;
  top_k: number;
  top_mass: number;
  scale: "linear" | "sqrt" | "log" | "rank";
  per: "picture" | "row";
  pool: "max" | "mean";
  show_mask: boolean;
  annotate: boolean;
  panels: string[];
}

export type SettingSignals = { readonly [K in keyof Settings]: Signal<Settings[K]> };

const NAMES: readonly (keyof Settings)[] = [
  "mode",
  "row_labels",
  "weighting",
  "combine",
  "also",
  "unit",
  "hide",
  "hide_special",
  "hide_first",
  "renormalise",
  "query_span",
  "key_span",
  "threshold",
  "top_k",
  "top_mass",
  "scale",
  "per",
  "pool",
  "show_mask",
  "annotate",
  "panels",
];

/** Each setting as a signal, in step with its trait both ways. */
export function settingsOf(model: Model<Settings>, abort: AbortSignal): SettingSignals {
  const signals = NAMES.map((name) => [name, synced(model, name, abort)]);
  return Object.fromEntries(signals) as unknown as SettingSignals;
}

/** Weightings that are followed through all layers and so have no heads. */
export const isThrough = (weighting: string): boolean => /^(rollout|relevance)$/.test(weighting);
