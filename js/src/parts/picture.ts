// What the three ways of drawing have in common.

import { computed, type ReadonlySignal, type Signal } from "@preact/signals-core";
import { type Ramp, rampOf } from "../core/colour";
import type { Selection } from "../core/selection";
import type { SettingSignals } from "../core/settings";
import { chosenNow, type Member, Shown } from "../core/shown";
import type { Theme } from "../core/theme";
import type { Tiles } from "../core/tiles";
import type { AttentionTraits, Model, Pins } from "../core/types";

/** Where a search leads: tokens of one side. */
export interface Found {
  side: string;
  start: number;
  stop: number;
}

/** What a picture is drawn from. Reading a signal in it means being drawn again when it changes. */
export interface Scene {
  model: Model<AttentionTraits>;
  selection: Selection;
  settings: SettingSignals;
  tiles: Tiles;
  theme: ReadonlySignal<Theme>;
  /** The view's root: what is measured is measured in its font. */
  root: HTMLElement;
  /** Width that the picture may take, in CSS pixels. */
  width: Signal<number>;
  shown: ReadonlySignal<Shown>;
  /** From the background to full: of the head shown, or neutral for several. */
  ramp: ReadonlySignal<Ramp>;
  /** What the colours and rows of the picture mean, in words; `max` is what the full colour stands for. */
  legend: Signal<{ words: string; max: number | null }>;
  /** Tokens to bring into sight. */
  target: Signal<Pins>;
  found: Signal<Found | null>;
}

/** A way of drawing: its node, and the end of its life by the signal given when it was made. */
export type Picture = (scene: Scene, abort: AbortSignal) => HTMLElement;

export function makeScene(parts: Omit<Scene, "shown" | "ramp">): Scene {
  const { selection, settings, tiles, theme } = parts;
  const shown = computed(() => {
    tiles.version.value;
    const place = { layer: selection.layer.value, heads: selection.heads.value };
    return new Shown(tiles, selection.current.value, place, chosenNow(settings));
  });
  return {
    ...parts,
    shown,
    ramp: computed(() => {
      const { background, dark } = theme.value;
      const { members, place } = shown.value;
      const [only] = members.length === 1 ? members : [];
      return rampOf(background, only ? hueOf(only, place.layer) : null, dark);
    }),
  };
}

/** The colour that a head has: of its own number in the layer shown, of another where it is from elsewhere. */
export const hueOf = ({ layer, head }: Member, own: number): number =>
  layer === own ? head : head + 3 + ((layer + 1) % 5);

/** Label of each row: the token read there or, on request, the token predicted there. */
export function rowLabels(scene: Scene): readonly string[] {
  const { query, stage } = scene.shown.value;
  const { predicts } = scene.selection.meta;
  const { row_labels, unit } = scene.settings;
  if (row_labels.value === "read" || unit.value === "word" || stage.query !== "decoder" || !predicts) {
    return query.labels;
  }
  return predicts;
}

/** The hovered and pinned tokens, where they are on the axes shown. */
export function placed(scene: Scene, pins: Pins): Pins {
  const { query, key } = scene.shown.value;
  return {
    query: pins.query === null ? null : query.at(pins.query),
    key: pins.key === null ? null : key.at(pins.key),
  };
}

/** Say below the picture what it shows; `max` is the weight that the full colour stands for. */
export function explain(scene: Scene, words: string, max: number | null): void {
  const old = scene.legend.peek();
  if (old.words !== words || old.max !== max) scene.legend.value = { words, max };
}
