// Whose feed-forward units are shown, and the numbers that the kernel sends of them.

import { computed, type ReadonlySignal } from "@preact/signals-core";
import { tokenOn } from "../core/token";
import { type Scene, tokensOf } from "./scene";

/** A side, and a block of it: units belong to blocks, and what enters the first has none before it. */
export interface Place {
  side: string;
  layer: number;
}

export const placeOf = ({ side, layer }: Scene): ReadonlySignal<Place> =>
  computed(() => ({ side: side.value, layer: Math.max(layer.value, 1) - 1 }));

/** Whether an answer is about what is shown now. */
export const isOf = (asked: Record<string, unknown>, { side, layer }: Place): boolean =>
  asked["side"] === side && asked["layer"] === layer;

/** The token in focus: the one that is pinned, or the last that is text. */
export const focusOf = (scene: Scene): ReadonlySignal<number> =>
  computed(() => {
    const { selection, side, meta } = scene;
    const pinned = tokenOn(selection, selection.pinned.value, side.value, "query");
    if (pinned !== null) return pinned;
    const special = new Set(meta.sides[side.value]?.special);
    const last = Math.max(0, tokensOf(scene, side.value).length - 1);
    for (let index = last; index > 0; index--) if (!special.has(index)) return index;
    return last;
  });

/** Float32 as it comes in a message, at any byte. */
export const floats = (view: DataView | undefined): Float32Array =>
  view
    ? new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) as ArrayBuffer)
    : new Float32Array();

/** The largest magnitude. */
export const largest = (numbers: Iterable<number>): number => {
  let most = 0;
  for (const number of numbers) most = Math.max(most, Math.abs(number));
  return most;
};
