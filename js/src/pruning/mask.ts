// What is switched off, with all that was before and after it.
// Required: a change is one step back, however many parts it touched; it reaches the kernel in one message.

import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals-core";
import type { Model } from "../core/types";
import type { Head, MaskTraits, Off, Unit } from "./types";

export const NOTHING: Off = { heads: [], units: [] };
export type Kind = keyof Off;
export type Part = Head | Unit;

/** Steps that can be undone, and parts that they may name together. */
const STEPS = 100;
const PARTS = 50_000;

export const nameOf = (part: Part): string => part.join("/");
export const sizeOf = ({ heads, units }: Off): number => heads.length + units.length;

/** The same name for the same parts, in whatever order they are named. */
export function keyOf({ heads, units }: Off): string {
  return JSON.stringify([heads.map(nameOf).sort(), units.map(nameOf).sort()]);
}

/** Switch some parts off, or on again. */
export function changed(off: Off, kind: Kind, parts: readonly Part[], isOff: boolean): Off {
  const names = new Set(parts.map(nameOf));
  const rest = (off[kind] as Part[]).filter((part) => !names.has(nameOf(part)));
  return { ...off, [kind]: isOff ? [...rest, ...parts] : rest };
}

/** "1 head and 3 units", or "nothing". */
export function countInWords({ heads, units }: Off): string {
  const some = (count: number, name: string): string[] =>
    count ? [`${count.toLocaleString("en")} ${name}${count === 1 ? "" : "s"}`] : [];
  return [...some(heads.length, "head"), ...some(units.length, "unit")].join(" and ") || "nothing";
}

/** Where the steps are kept. */
export interface Store {
  read(): [steps: Off[], at: number];
  write(steps: Off[], at: number): void;
  /** Call back after somebody else changed them. */
  listen(heard: () => void): void;
}

export function inTraits(model: Model<MaskTraits>): Store {
  return {
    read: () => [model.get("history") as Off[], model.get("at") as number],
    write: (steps, at) => {
      model.set("history", steps);
      model.set("at", at);
      model.save_changes();
    },
    listen: (heard) => {
      for (const name of ["history", "at"] as const) model.on(`change:${name}`, heard);
    },
  };
}

export class Mask {
  readonly steps: Signal<Off[]>;
  readonly at: Signal<number>;
  /** What a gesture has changed so far; null between gestures. */
  readonly #draft: Signal<Off | null> = signal(null);
  /** Whether the intact model is shown, for comparison; what is off stays so. */
  readonly isIntact: Signal<boolean> = signal(false);
  /** What is off, as the kernel knows it. */
  readonly settled: ReadonlySignal<Off>;
  /** What is off, as it is drawn. */
  readonly shown: ReadonlySignal<Off>;
  readonly #names: ReadonlySignal<Record<Kind, ReadonlySet<string>>>;

  constructor(
    private readonly store: Store,
    abort: AbortSignal,
  ) {
    const [steps, at] = store.read();
    this.steps = signal(steps);
    this.at = signal(at);
    this.settled = computed(() => this.steps.value[this.at.value] ?? NOTHING);
    this.shown = computed(() => (this.isIntact.value ? NOTHING : (this.#draft.value ?? this.settled.value)));
    this.#names = computed(() => {
      const { heads, units } = this.shown.value;
      return { heads: new Set(heads.map(nameOf)), units: new Set(units.map(nameOf)) };
    });
    let queued = false;
    // Both traits change together; reading them one event later never sees half of a change.
    store.listen(() => {
      if (queued) return;
      queued = true;
      queueMicrotask(() => {
        queued = false;
        if (!abort.aborted) this.#read();
      });
    });
  }

  isOff(kind: Kind, part: Part): boolean {
    return this.#names.value[kind].has(nameOf(part));
  }

  get canUndo(): boolean {
    return this.at.value > 0;
  }

  get canRedo(): boolean {
    return this.at.value < this.steps.value.length - 1;
  }

  /** Begin a gesture, or go on with it: drawn at once, told to nobody. */
  paint(kind: Kind, parts: readonly Part[], isOff: boolean): void {
    this.isIntact.value = false;
    this.#draft.value = changed(this.#draft.peek() ?? this.settled.peek(), kind, parts, isOff);
  }

  /** End the gesture: what it changed is one step. */
  commit(): void {
    const draft = this.#draft.peek();
    batch(() => {
      this.#draft.value = null;
      if (draft && keyOf(draft) !== keyOf(this.settled.peek())) this.#append(draft);
    });
  }

  drop(): void {
    this.#draft.value = null;
  }

  change(kind: Kind, parts: readonly Part[], isOff: boolean): void {
    this.paint(kind, parts, isOff);
    this.commit();
  }

  undo(): void {
    if (this.canUndo) this.#write(this.steps.peek(), this.at.peek() - 1);
  }

  redo(): void {
    if (this.canRedo) this.#write(this.steps.peek(), this.at.peek() + 1);
  }

  reset(): void {
    if (sizeOf(this.settled.peek()) > 0) this.#append(NOTHING);
  }

  #append(off: Off): void {
    const steps = [...this.steps.peek().slice(0, this.at.peek() + 1), off].slice(-STEPS);
    let parts = steps.reduce((sum, step) => sum + sizeOf(step), 0);
    while (parts > PARTS && steps.length > 2) parts -= sizeOf(steps.shift() ?? NOTHING);
    this.#write(steps, steps.length - 1);
  }

  #write(steps: Off[], at: number): void {
    batch(() => {
      this.#draft.value = null;
      this.isIntact.value = false;
      this.steps.value = steps;
      this.at.value = at;
    });
    this.store.write(steps, at);
  }

  #read(): void {
    const [steps, at] = this.store.read();
    batch(() => {
      this.steps.value = steps;
      this.at.value = at;
    });
  }
}
