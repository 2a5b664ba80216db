import { describe, expect, test } from "vitest";
import { axisOf } from "../src/core/axis";
import { centre, inside, levelOf, sight, tilesIn, whole, zoom } from "../src/core/grid";
import { half } from "../src/core/half";
import { refine, sift } from "../src/core/refine";
import { count, shadeOf, tableOf } from "../src/core/scale";
import { stateOf } from "../src/panels/keep";
import { find } from "../src/panels/search";
import { choices, sceneOf } from "./fakes";

const PLAIN = { hidden: null, renormalise: false, keyPlace: null, keyCount: 3, topK: 0, topMass: 1 };
const rounded = (row: Float32Array): number[] => [...row].map((weight) => Number(weight.toFixed(4)));

describe("refining", () => {
  const rows = Float32Array.from([0.5, 0.3, 0.2, 0.1, 0.1, 0.8]);
  const shape = { heads: 1, rows: 2, keys: 3 };

  test("nothing to do is nothing done", () => {
    expect(refine(rows, shape, null, PLAIN)).toBe(rows);
  });

  test("words are summed as keys and averaged as queries", () => {
    const how = { ...PLAIN, keyPlace: Int32Array.of(0, 0, 1), keyCount: 2 };
    expect(rounded(refine(rows, shape, Int32Array.of(0, 0), how))).toEqual([0.5, 0.5]);
  });

  test("the rest of a row sums to one, also where all of it is hidden", () => {
    const how = { ...PLAIN, hidden: Uint8Array.of(0, 0, 1), renormalise: true };
    expect(rounded(refine(rows, shape, null, how))).toEqual([0.625, 0.375, 0, 0.5, 0.5, 0]);
    const none = { ...how, hidden: Uint8Array.of(1, 1, 1) };
    expect(rounded(refine(rows, shape, null, none))).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test.each([
    [2, 1, [0.5, -0.3, 0, 0, 0]],
    [3, 1, [0.5, -0.3, 0.1, 0, 0]], // of equal ones the first
    [0, 0.5, [0.5, 0, 0, 0, 0]],
    [0, 0.51, [0.5, -0.3, 0, 0, 0]],
    [0, 1, [0.5, -0.3, 0.1, 0.1, 0]],
    [1, 0.9, [0.5, 0, 0, 0, 0]],
  ])("the %d strongest and %d of the mass are kept", (topK, topMass, kept) => {
    const row = Float32Array.from([0.5, -0.3, 0.1, 0.1, 0]);
    sift(row, topK, topMass);
    expect(rounded(row)).toEqual(kept);
  });
});

describe("scales", () => {
  test.each(["linear", "sqrt", "log", "rank"] as const)(
    "%s goes from nothing to full, and only up",
    (kind) => {
      const table = tableOf(kind, count([0.1, 0.2, 0.2, 0.9, 1], 1, 1));
      expect([shadeOf(table, 0, 1), shadeOf(table, 1, 1)]).toEqual([0, 255]);
      expect(table.every((shade, i) => i === 0 || shade >= (table[i - 1] ?? 0))).toBe(true);
    },
  );

  test("ranks are shares of the weights that are no larger", () => {
    const table = tableOf("rank", count([0.1, 0.2, 0.2, 0.9], 1, 1));
    expect(shadeOf(table, 0.2, 1)).toBe(Math.round((255 * 3) / 4));
  });

  test("a thousandth is seen on the logarithmic scale, and not on the linear one", () => {
    expect(shadeOf(tableOf("log"), 0.001, 1)).toBeGreaterThan(20);
    expect(shadeOf(tableOf("linear"), 0.001, 1)).toBe(0);
  });
});

describe("the window on the matrix", () => {
  const grid = { columns: 1000, rows: 500, width: 500, height: 250, least: 0.5, most: 30 };

  test("the cell under the pointer stays there", () => {
    const before = { x: 100, y: 50, cell: 2 };
    const after = zoom(grid, before, 4, 120, 60);
    expect(after.x + 120 / after.cell).toBeCloseTo(before.x + 120 / before.cell, 6);
    expect(after.y + 60 / after.cell).toBeCloseTo(before.y + 60 / before.cell, 6);
    expect(zoom(grid, before, 1000, 0, 0).cell).toBe(30);
  });

  test("never leaves the matrix", () => {
    expect(inside(grid, { x: -5, y: 1e6, cell: 5 })).toEqual({ x: 0, y: 450, cell: 5 });
    expect(inside(grid, { x: 7, y: 7, cell: 0.1 })).toEqual(whole(grid));
  });

  test("a token that is looked for comes into sight, large enough to read", () => {
    const found = centre(grid, whole(grid), 400, 900);
    const { rows, columns } = sight(grid, found);
    expect(found.cell).toBe(12);
    expect(rows[0] < 400 && 400 < rows[1] && columns[0] < 900 && 900 < columns[1]).toBe(true);
  });

  test("is covered by tiles of a level", () => {
    expect(levelOf(0.5)).toBe(1);
    expect(levelOf(3)).toBe(0);
    expect([...tilesIn(grid, whole(grid), 1)]).toEqual([
      { row: 0, column: 0 },
      { row: 0, column: 1 },
    ]);
  });
});

test("numbers of 16 bits are read as IEEE 754 says", () => {
  const bits = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x0000);
  expect([...half(bits)]).toEqual([1, -2, 2 ** -24, 65504, Number.POSITIVE_INFINITY, 0]);
});

const SIDE = { text: ["The", "book", "shop", "is"], special: [], gap: [1, 3], words: [0, 1, 3], names: {} };

test("an axis of words knows its tokens", () => {
  const axis = axisOf(SIDE, "word");
  expect(axis.labels).toEqual(["The", "bookshop", "is"]);
  expect([axis.at(2), axis.first(1), axis.first(3), axis.size]).toEqual([1, 1, 4, 3]);
  expect([...axis.gap]).toEqual([1, 2]);
  expect(axisOf(SIDE, "token").labels).toBe(SIDE.text);
});

test("a phrase is found over the tokens that it is made of", () => {
  expect(find(SIDE, "bookshop IS", "encoder")).toEqual([{ side: "encoder", start: 1, stop: 4 }]);
  expect(find(SIDE, "o", "encoder")).toEqual([
    { side: "encoder", start: 1, stop: 2 },
    { side: "encoder", start: 2, stop: 3 },
  ]);
  expect(find(SIDE, "cat", "encoder")).toEqual([]);
});

test("the state is copied as Python writes it", () => {
  const text = stateOf(sceneOf(choices(), new AbortController().signal));
  expect(text).toContain('"pinned": {"query": None, "key": None}');
  expect(text).toContain('"renormalise": False');
  expect(text).toContain('"show_mask": True');
  expect(text).toContain('"heads": [0, 1, 2, 3]');
});
