// What views of one trace share inside a page without the kernel: the hovered token and the numbers
// fetched so far. Every widget brings its own copy of this module, so what is shared is plain data.

import type { Tile } from "./tiles";
import type { Pins } from "./types";

export const NOTHING: Pins = { query: null, key: null };

/** A value with listeners; deliberately not a signal, which works only inside one copy of a module. */
class Shared<T> {
  readonly #listeners = new Set<(value: T) => void>();
  constructor(public value: T) {}

  set(value: T): void {
    this.value = value;
    for (const listener of [...this.#listeners]) listener(value);
  }

  subscribe(listener: (value: T) => void, signal: AbortSignal): void {
    this.#listeners.add(listener);
    signal.addEventListener("abort", () => this.#listeners.delete(listener), { once: true });
  }
}

export interface Page {
  hovered: Shared<Pins>;
  /** Tiles by key; see tiles.ts. */
  tiles: Map<string, Tile>;
  arrived: Shared<string[]>;
}

export const makePage = (): Page => ({
  hovered: new Shared(NOTHING),
  tiles: new Map(),
  arrived: new Shared<string[]>([]),
});
