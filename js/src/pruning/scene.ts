// What a view of a pruned model is drawn from.

import { computed, type ReadonlySignal, type Signal } from "@preact/signals-core";
import type { Ramp } from "../core/colour";
import type { Selection } from "../core/selection";
import type { Answer } from "./answer";
import { type Mask, nameOf, sizeOf } from "./mask";
import type { Ablation, Head, Outcome } from "./types";

export interface Scene {
  mask: Mask;
  answer: Answer;
  ablation: Signal<Ablation>;
  outcome: ReadonlySignal<Outcome | null>;
  busy: ReadonlySignal<string>;
  ramp: ReadonlySignal<Ramp>;
  /** How a stage is called. */
  labelOf: (stage: string) => string;
  /** Show a head in the attention views. */
  look: (head: Head) => void;
}

/** How far the attention of heads moved, where that is of what is off now. */
export function movedOf({
  outcome,
  answer,
  mask,
}: Pick<Scene, "outcome" | "answer" | "mask">): ReadonlySignal<ReadonlyMap<string, number>> {
  return computed(() => {
    const isShown = !(answer.isStale.value || mask.isIntact.value) && sizeOf(mask.settled.value) > 0;
    const moved = isShown ? (outcome.value?.moved ?? []) : [];
    return new Map(moved.map(([stage, layer, head, far]) => [nameOf([stage, layer, head]), far]));
  });
}

/** The head that the linked views show alone. */
export function markedIn(selection: Selection): ReadonlySignal<Head | null> {
  return computed(() => {
    const [head, ...others] = selection.heads.value;
    if (head === undefined || others.length > 0) return null;
    return [selection.stage.value, selection.layer.value, head];
  });
}
