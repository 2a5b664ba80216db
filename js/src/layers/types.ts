// What the kernel tells the view of what each layer knows. Twins: jtviz/views/layers.py and
// jtviz/views/layer_panels/.

import type { Choices, Meta as TraceMeta } from "../core/types";

export type Tab = "features" | "trajectories" | "similarity" | "lens" | "neurons" | "direct";

export interface LayersMeta extends TraceMeta {
  /** Name, label, and why it cannot be had (or nothing). */
  tabs: [Tab, string, string][];
  /** Layers of each side's residual stream: its blocks, and what enters the first. */
  depth: Record<string, number>;
  /** And how many dimensions. */
  width: Record<string, number>;
}

export interface LayersTraits
  extends Choices,
    FeaturesTraits,
    TrajectoriesTraits,
    SimilarityTraits,
    LensTraits,
    NeuronsTraits,
    DirectTraits {
  selection: string;
  meta: LayersMeta;
  tab: Tab;
  /** As in `Trace.hidden`: 0 is what enters the first block. */
  hidden_layer: number;
  /** What is being computed, and how far it is; empty when nothing is. */
  busy: string;
  share: number | null;
}

export interface FeaturesTraits {
  /** How dimensions are ordered. */
  order: "variance" | "clusters" | "model";
}

export interface TrajectoriesTraits {
  /** How paths are laid out. */
  projection: "pca" | "umap";
  /** Which two principal components are drawn. */
  plane: "1 × 2" | "1 × 3" | "2 × 3";
  /** What the axes have room for. */
  extent: "paths" | "layer";
  /** Whether dragging in the chart marks tokens; else a click pins one. */
  marking: boolean;
}

export interface SimilarityTraits {
  /** Tokens of a layer, a token across layers, or layers. */
  compared: "tokens" | "itself" | "layers";
  /** Whether the mean vector of a layer is subtracted before its tokens are compared. */
  centred: boolean;
}

export interface TunedAbout {
  /** Another one has another number. */
  number: number;
  /** How many rows it was trained on, and whether the text that is looked at is among them. */
  rows: number;
  seen: boolean;
  /** The divergence of each layer but the last, in nats. */
  before: number[];
  after: number[];
}

export interface LensTraits {
  /** Through what layers are looked. */
  through: "logit" | "tuned";
  /** What cells are coloured by. */
  lens_colour: "probability" | "entropy" | "divergence" | "rank";
  /** The tuned lens that is there; empty when none is. */
  tuned_about: TunedAbout | Record<string, never>;
  /** Whether one is being trained, and why it could not be. */
  training: boolean;
  training_problem: string;
}

export interface NeuronsTraits {
  /** Single units, or patterns that they make together. */
  neurons: "units" | "patterns";
  /** The unit that is looked at; null where it is the strongest of the token in focus. */
  unit: number | null;
  /** How many patterns activations are factorised into. */
  components: number;
}

export interface DirectTraits {
  /** Whether the heads of a layer are taken together. */
  detail: "layer" | "head";
  /** The token or class that is taken apart, and the one that is subtracted; null is what the row predicts. */
  answer: string | null;
  against: string | null;
}
