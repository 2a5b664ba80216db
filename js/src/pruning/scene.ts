// What a view of a pruned model is drawn from.

import type { ReadonlySignal, Signal } from "@preact/signals-core";
import type { Ramp } from "../core/colour";
import type { Answer } from "./answer";
import type { Mask } from "./mask";
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
