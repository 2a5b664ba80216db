// What the three ways of drawing have in common.

import type { ReadonlySignal, Signal } from "@preact/signals-core";
import { computed } from "@preact/signals-core";
import { type Rgb, ramp } from "../core/colour";
import { Patterns } from "../core/patterns";
import type { Selection } from "../core/selection";
import type { Theme } from "../core/theme";
import type { Tiles } from "../core/tiles";
import type { Side } from "../core/types";
import { rowLabels } from "../core/words";

/** What a picture is drawn from. Reading a signal in it means being drawn again when it changes. */
export interface Scene {
  selection: Selection;
  tiles: Tiles;
  theme: ReadonlySignal<Theme>;
  rows: Signal<"read" | "predicted">;
  /** The view's root: what is measured is measured in its font. */
  root: HTMLElement;
  /** Width that the picture may take, in CSS pixels. */
  width: ReadonlySignal<number>;
  patterns: ReadonlySignal<Patterns>;
  /** From the background to full: of the head shown, or neutral for several. */
  ramp: ReadonlySignal<Rgb[]>;
  /** What the colours and rows of the picture mean, in words; `max` is what the full colour stands for. */
  legend: Signal<{ words: string; max: number | null }>;
}

/** A way of drawing: its node, and the end of its life by the signal given when it was made. */
export type Picture = (scene: Scene, abort: AbortSignal) => HTMLElement;

export function makeScene(parts: Omit<Scene, "patterns" | "ramp">): Scene {
  const { selection, tiles, theme } = parts;
  return {
    ...parts,
    patterns: computed(() => {
      tiles.version.value;
      return new Patterns(tiles, selection.current.value, selection.layer.value);
    }),
    ramp: computed(() => {
      const heads = selection.heads.value;
      const { background, dark } = theme.value;
      return ramp(background, heads.length === 1 ? (heads[0] ?? null) : null, dark);
    }),
  };
}

const EMPTY: Side = { text: [], special: [], gap: [] };

/** The two sides of the stage shown and how their tokens are labelled. */
export function sidesOf(scene: Scene): { query: Side; key: Side; rows: string[] } {
  const { meta } = scene.selection;
  const stage = scene.selection.current.value;
  return {
    query: meta.sides[stage.query] ?? EMPTY,
    key: meta.sides[stage.key] ?? EMPTY,
    rows: rowLabels(meta, stage, scene.rows.value),
  };
}

/** Say below the picture what it shows; `max` is the weight that the full colour stands for. */
export function explain(scene: Scene, words: string, max: number | null): void {
  const old = scene.legend.peek();
  if (old.words !== words || old.max !== max) scene.legend.value = { words, max };
}
