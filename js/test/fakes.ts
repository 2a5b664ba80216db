// A model as anywidget hands it over, without a kernel: what is set is kept, what is sent is recorded.

import { signal } from "@preact/signals-core";
import { makePage, type Page } from "../src/core/page";
import { Selection } from "../src/core/selection";
import { type Settings, settingsOf } from "../src/core/settings";
import { Shown } from "../src/core/shown";
import { type Key, type Tile, Tiles } from "../src/core/tiles";
import type { Check, Meta, Stage } from "../src/core/types";
import { makeScene, type Scene } from "../src/parts/picture";

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
  return { name, label, query, key, heads, groups: heads.map(() => 1), checks };
}

export const META: Meta = {
  stages: [
    stage("encoder", "Encoder", ["encoder", "encoder"], [4, 4, 4]),
    stage("decoder", "Decoder", ["decoder", "decoder"], [4, 2]),
    stage("cross", "Cross", ["decoder", "encoder"], [4, 4]),
  ],
  sides: {
    encoder: { text: ["tea", "<b>x</b>", "</s>"], special: [2], gap: [1], words: null, names: {} },
    decoder: { text: ["<s>", "茶"], special: [0], gap: [1], words: null, names: {} },
  },
  spans: {},
  weightings: [["raw", "how much a query looks at a key", ""]],
  predicts: ["茶", "</s>"],
  whole_limit: 2 ** 18,
};

export const SETTINGS: Settings = {
  mode: "links",
  row_labels: "read",
  weighting: "raw",
  combine: "mean",
  also: [],
  unit: "token",
  hide: [],
  hide_special: false,
  hide_first: false,
  renormalise: false,
  query_span: null,
  key_span: null,
  threshold: 0,
  top_k: 0,
  top_mass: 1,
  scale: "linear",
  per: "picture",
  pool: "max",
  show_mask: true,
  annotate: false,
  panels: [],
};

export const choices = (): FakeModel =>
  new FakeModel({
    stage: "encoder",
    layer: 0,
    heads: [0, 1, 2, 3],
    pinned: { query: null, key: null },
    marked: {},
    ...SETTINGS,
  });

/** A whole layer as it lies in the page. */
export function put(page: Page, stage: string, layer: number, shape: number[], data: Float32Array): void {
  const key: Key = { kind: "whole", stage, layer, weighting: "raw" };
  page.tiles.set(JSON.stringify(key), { shape, data, unit: 1, info: {} } satisfies Tile);
}

/** What is shown of one layer, under some settings. */
export function shownOf(
  tiles: Tiles,
  name: string,
  layer: number,
  heads: number[],
  chosen: Partial<Settings> = {},
): Shown {
  const stage = tiles.meta.stages.find((other) => other.name === name);
  if (!stage) throw new Error(`the fake has no stage ${name}`);
  return new Shown(tiles, stage, { layer, heads }, { ...SETTINGS, ...chosen });
}

/** A scene without a picture. */
export function sceneOf(model: FakeModel, abort: AbortSignal): Scene {
  const page = makePage();
  return makeScene({
    model: model as never,
    root: document.createElement("div"),
    selection: new Selection(META, model as never, page, abort),
    settings: settingsOf(model as never, abort),
    tiles: new Tiles(META, model as never, page, abort),
    theme: signal({ background: [255, 255, 255], ink: [0, 0, 0], dark: false }),
    width: signal(600),
    legend: signal({ words: "", max: null }),
    target: signal({ query: null, key: null }),
    found: signal(null),
  });
}

/** Let queued microtasks and one animation frame pass. */
export const frame = (): Promise<void> => new Promise((done) => setTimeout(done, 40));
