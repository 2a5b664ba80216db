// The lens: numbers as they come from the kernel, shades, and the table under the keyboard.

import { signal } from "@preact/signals-core";
import { expect, test } from "vitest";
import { rampOf } from "../src/core/colour";
import { makePage } from "../src/core/page";
import { Selection } from "../src/core/selection";
import { chance, columnsOf, measured, mostOf, pathOf, shadeOf } from "../src/layers/lens-rows";
import { type Place, sightOf, table } from "../src/layers/lens-table";
import type { Scene } from "../src/layers/scene";
import { choices, META } from "./fakes";

const abort = new AbortController().signal;
const view = (data: Float32Array | Int32Array): DataView => new DataView(data.buffer);

/** Two layers, two positions from the first on, two tokens each. */
const answer = {
  question: { op: "lens", first: 0, last: 2 },
  reply: {
    side: "decoder",
    first: 0,
    rows: 2,
    layers: 2,
    top: 2,
    vocabulary: 100,
    words: { "1": "<b>x</b>", "2": "茶", "3": "tea" },
  },
  buffers: [
    view(Int32Array.from([1, 2, 2, 3, 2, 1, 3, 2])),
    view(Int32Array.from([2, 3])),
    view(Int32Array.from([2, 10, 1, 1])),
    view(Float32Array.from([0.5, 0.25, 0.75, 0.125, 0.5, 0.25, 0.75, 0.125])),
    view(Float32Array.from([1, 2, 3, 4])),
    view(Float32Array.from([5, 6, 0, 0])),
    view(Float32Array.from([0.25, 0.125, 0.5, 0.75])),
  ],
};

test("numbers are put with the layer and position that they are of", () => {
  const columns = columnsOf(answer);
  expect([...columns.keys()]).toEqual([0, 1]);
  const column = columns.get(1);
  expect(column?.answer).toEqual({ id: 3, word: "tea" });
  expect(column?.cells[0]).toEqual({
    tokens: [
      { id: 2, word: "茶", probability: 0.75 },
      { id: 3, word: "tea", probability: 0.125 },
    ],
    entropy: 2,
    divergence: 6,
    rank: 10,
    answerProbability: 0.125,
  });
  const path = pathOf({
    question: { op: "lens_path" },
    reply: { row: 1, tokens: [3], words: ["tea"] },
    buffers: [view(Float32Array.from([0.125, 0.75])), view(Int32Array.from([10, 1]))],
  });
  expect([[...path.probability], [...path.rank]]).toEqual([
    [0.125, 0.75],
    [10, 1],
  ]);
});

test("zero is the background, and of ranks the first is the deepest", () => {
  const cells = [...columnsOf(answer).values()].flatMap((column) => column.cells);
  expect(
    ["probability", "entropy", "divergence", "rank"].map((by) => mostOf(by as "rank", cells, 100)),
  ).toEqual([1, 4, 6, 100]);
  expect([0, 2, 4].map((value) => shadeOf(value, "entropy", 4))).toEqual([0, 0.5, 1]);
  expect([1, 10, 100].map((rank) => Number(shadeOf(rank, "rank", 100).toFixed(6)))).toEqual([1, 0.5, 0]);
  expect(cells.map((cell) => measured(cell, "probability"))).toEqual([0.5, 0.5, 0.75, 0.75]);
  expect([chance(3.7e-10), chance(0), chance(0.97)]).toEqual(["< 0.001 %", "0 %", "97 %"]);
});

test("as many columns are in sight as fit, and no more than there are", () => {
  const [start, width] = [signal(0), signal(400)];
  const sight = sightOf(start, width, 50);
  expect(sight.value).toEqual([0, 5]);
  start.value = 48;
  expect(sight.value).toEqual([45, 50]);
  width.value = 40;
  expect(sight.value).toEqual([48, 49]);
});

test("one stop of the keyboard walks the table; words are text; a row's name shows the layer", () => {
  const selection = new Selection(META, choices() as never, makePage(), abort);
  selection.toStage("decoder");
  const moved: number[] = [];
  const scene = {
    meta: META,
    selection,
    ramp: signal(rampOf([255, 255, 255], null, false)),
    width: signal(600),
    side: signal("decoder"),
    layer: signal(1),
    toLayer: (layer: number) => moved.push(layer),
  } as unknown as Scene;
  const picked: Place[] = [];
  const start = signal(0);
  const node = table(
    {
      scene,
      side: "decoder",
      depth: 2,
      columns: signal(columnsOf(answer)),
      colour: signal("probability" as const),
      most: signal(1),
      sight: sightOf(start, scene.width, 2),
      start,
      at: signal(null),
      pick: (place) => picked.push(place),
    },
    abort,
  );
  document.body.append(node);
  const grid = node.querySelector<HTMLElement>("[role=grid]");
  const cells = [...node.querySelectorAll("[role=gridcell]")];
  // The last layer on top.
  expect(cells.map((cell) => cell.textContent)).toEqual(["茶", "tea", "<b>x</b>", "茶"]);
  expect(cells.map((cell) => cell.classList.contains("agrees"))).toEqual([true, true, false, false]);
  expect(node.querySelector("b")).toBeNull();
  expect([...node.querySelectorAll("[tabindex='0']")]).toEqual([grid]);
  const press = (key: string) => grid?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown"]) press(key);
  expect(grid?.getAttribute("aria-activedescendant")).toBe("lens-0-1");
  press("Enter");
  expect(picked).toEqual([{ layer: 0, row: 1 }]);
  node.querySelector<HTMLElement>("[aria-label='Show what enters layer 0']")?.click();
  expect(moved).toEqual([0]);
});
