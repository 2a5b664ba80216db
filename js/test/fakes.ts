// A model as anywidget hands it over, without a kernel: what is set is kept, what is sent is recorded.

import type { Check, Meta, Stage } from "../src/core/types";

type Listener = (...args: never[]) => void;

export class FakeModel {
  saved = 0;
  sent: { id: string; op: string; keys: Record<string, unknown>[] }[] = [];
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(public state: Record<string, unknown>) {}

  get(name: string): never {
    return this.state[name] as never;
  }

  set(name: string, value: unknown): void {
    if (JSON.stringify(this.state[name]) === JSON.stringify(value)) return;
    this.state[name] = value;
    this.emit(`change:${name}`);
  }

  on(name: string, listener: Listener): void {
    this.#listeners.set(name, (this.#listeners.get(name) ?? new Set()).add(listener));
  }

  off(): void {
    this.#listeners.clear();
  }

  save_changes(): void {
    this.saved++;
  }

  send(message: FakeModel["sent"][number]): void {
    this.sent.push(message);
  }

  emit(name: string, ...args: unknown[]): void {
    for (const listener of this.#listeners.get(name) ?? []) listener(...(args as never[]));
  }
}

function stage(name: string, label: string, [query, key]: [string, string], heads: number[]): Stage {
  const checks = heads.map((): Check => ({ difference: 3e-7, tolerance: 1e-4, sums: [1, 1] }));
  return { name, label, query, key, heads, checks };
}

export const META: Meta = {
  stages: [
    stage("encoder", "Encoder", ["encoder", "encoder"], [4, 4, 4]),
    stage("decoder", "Decoder", ["decoder", "decoder"], [4, 2]),
    stage("cross", "Cross", ["decoder", "encoder"], [4, 4]),
  ],
  sides: {
    encoder: { text: ["tea", "<b>x</b>", "</s>"], special: [false, false, true], gap: [true, true, false] },
    decoder: { text: ["<s>", "茶"], special: [true, false], gap: [true, false] },
  },
  predicts: ["茶", "</s>"],
  whole_limit: 2 ** 18,
};

export const choices = (): FakeModel =>
  new FakeModel({ stage: "encoder", layer: 0, heads: [0, 1, 2, 3], pinned: { query: null, key: null } });

/** Let queued microtasks and one animation frame pass. */
export const frame = (): Promise<void> => new Promise((done) => setTimeout(done, 40));
