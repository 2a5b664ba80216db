// What the panels of the view of layers are drawn from: whose stream, which layer of it, and who answers.

import { computed, type ReadonlySignal } from "@preact/signals-core";
import type { Ramp } from "../core/colour";
import type { Selection } from "../core/selection";
import type { Theme } from "../core/theme";
import { marksOn } from "../core/token";
import type { Model } from "../core/types";
import type { Questions } from "./questions";
import type { LayersMeta, LayersTraits } from "./types";

export interface Scene {
  meta: LayersMeta;
  selection: Selection;
  theme: ReadonlySignal<Theme>;
  ramp: ReadonlySignal<Ramp>;
  /** Pixels of room. */
  width: ReadonlySignal<number>;
  /** Whose residual stream: "encoder" or "decoder". */
  side: ReadonlySignal<string>;
  /** As in `Trace.hidden`, and how many of them there are. */
  layer: ReadonlySignal<number>;
  depth: ReadonlySignal<number>;
  toLayer(layer: number): void;
  questions: Questions;
  traits: Model<LayersTraits>;
}

/** What a tab shows while it is open. */
export type Panel = (scene: Scene, abort: AbortSignal) => HTMLElement;

/** A layer of the stream, as it is called everywhere. */
export const layerName = (layer: number): string =>
  layer === 0 ? "what enters layer 0" : `after layer ${layer - 1}`;

/** The text of a side, token by token. */
export const tokensOf = ({ meta }: Scene, side: string): readonly string[] => meta.sides[side]?.text ?? [];

/** Every token is a place of its own. */
const EACH = { at: (index: number): number => index };

/** The marked tokens of the side that is shown. */
export function marksOf({ selection, side }: Scene): () => ReadonlySet<number> {
  const marks = computed(() => marksOn(selection, side.value, EACH));
  return () => marks.value;
}
