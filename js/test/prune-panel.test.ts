import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makePage } from "../src/core/page";
import { type Key, type Tile, Tiles } from "../src/core/tiles";
import { prune, prunedDrawn } from "../src/panels/prune";
import { NOTHING } from "../src/pruning/mask";
import type { Off } from "../src/pruning/types";
import { choices, FakeModel, frame, META, sceneOf } from "./fakes";

const state: Off = { heads: [["encoder", 0, 1]], units: [] };
const said = { value: 0.5, text: "tea", pieces: [], top: [] };
const outcome = {
  state,
  ablation: "zero",
  kind: "text",
  score_words: "probability of tea",
  intact: said,
  pruned: said,
  kl: 0,
  kl_words: "",
  rows: [],
  moved: [],
  notes: [],
  seconds: 0,
  version: 7,
};
const key: Key = { kind: "whole", stage: "encoder", layer: 0, weighting: "raw" };
const tile: Tile = { shape: [1], data: Float32Array.of(1), unit: 1, info: {} };

let gone: AbortController;
let model: FakeModel;
beforeEach(() => {
  gone = new AbortController();
  model = new FakeModel({
    ...choices().state,
    history: [NOTHING, state],
    at: 1,
    ablation: "zero",
    outcome,
    draws: "intact",
    busy_pruning: "",
    pruning_problem: "",
  });
});
afterEach(() => gone.abort());

describe("attention of a pruned model", () => {
  test("is asked for by its version; that of the model as it is keeps its name", async () => {
    const page = makePage();
    const tiles = new Tiles(META, model as never, page, gone.signal);
    const words = prunedDrawn(model, { ...META, can_prune: true }, tiles, gone.signal);
    page.tiles.set(JSON.stringify(key), tile);
    expect([tiles.get(key), words.hidden]).toEqual([tile, true]);
    model.set("draws", "pruned");
    expect([tiles.get(key), words.hidden]).toEqual([undefined, false]);
    expect(words.textContent).toBe("attention of the model with 1 head off");
    await frame();
    expect(model.sent.at(-1)?.keys).toEqual([{ ...key, version: 7 }]);
    page.tiles.set(JSON.stringify({ ...key, version: 7 }), { ...tile, unit: 2 });
    expect(tiles.get(key)?.unit).toBe(2);
    model.set("outcome", { ...outcome, version: 8 });
    expect(tiles.get(key)).toBe(undefined);
    model.set("draws", "intact");
    expect(tiles.get(key)).toBe(tile);
  });

  test("is that of the model as it is where nothing is off", async () => {
    const tiles = new Tiles(META, model as never, makePage(), gone.signal);
    model.set("draws", "pruned");
    prunedDrawn(model, { ...META, can_prune: true }, tiles, gone.signal);
    expect(tiles.drawn.value).toBe(7);
    model.set("at", 0);
    await Promise.resolve();
    expect(tiles.drawn.value).toBe(0);
  });

  test("is never drawn where there is no model to prune", () => {
    const tiles = new Tiles(META, model as never, makePage(), gone.signal);
    model.set("draws", "pruned");
    expect(prunedDrawn(model, META, tiles, gone.signal).hidden).toBe(true);
    expect(tiles.drawn.value).toBe(0);
  });
});

describe("the panel", () => {
  test("switches heads by the same history, and chooses whose attention is drawn", () => {
    const node = prune(sceneOf(model, gone.signal), gone.signal);
    const button = (label: string): HTMLButtonElement =>
      [...node.querySelectorAll("button")].find((b) =>
        (b.getAttribute("aria-label") ?? b.textContent)?.startsWith(label),
      ) as HTMLButtonElement;
    button("pruned").click();
    expect(model.state["draws"]).toBe("pruned");
    button("cross, layer 1, head 2").click();
    expect((model.state["history"] as Off[])[2]?.heads).toEqual([
      ["encoder", 0, 1],
      ["cross", 1, 2],
    ]);
    button("Undo").click();
    button("Undo").click();
    expect(model.state["at"]).toBe(0);
    expect(button("pruned").closest<HTMLElement>(".field")?.hidden).toBe(true);
  });
});
