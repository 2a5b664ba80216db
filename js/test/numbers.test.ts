import { describe, expect, test } from "vitest";
import { axisOf } from "../src/core/axis";
import { centre, inside, levelOf, sight, tilesIn, whole, zoom } from "../src/core/grid";
import { half } from "../src/core/half";
import { refine, sift } from "../src/core/refine";
import { count, shadeOf, tableOf } from "../src/core/scale";
import { stateOf } from "../src/panels/keep";
import { find } from "../src/panels/search";
import { digits } from "../src/parts/figures";
import { choices, sceneOf } from "./fakes";

const PLAIN = { hidden: null, renormalise: false, keyPlace: null, keyCount: 3, topK: 0, topMass: 1 };
const rounded = (row: Float32Array): number[] => [...row].map((weight) => Number(weight.toFixed(4)));

// The same table as in tests/unit/test_keep.py: a figure has the digits of the view.
test("a weight in a cell has two decimals, and nought has none", () => {
  const said = [0, 0.004, 0.07, -0.306, 0.994, 0.996, 1, 9.94, 12.3].map(digits);
  expect(said).toEqual(["", "", ".07", "−.31", ".99", "1.0", "1.0", "9.9", "12"]);
});

describe("refining", () => {
  const rows = Float32Array.from([0.5, 0.3, 0.2, 0.1, 0.1, 0.8]);
  const shape = { heads: 1, rows: 2, keys: 3 };

  test("nothing to do is nothing done", () => {
    expect(refine(rows, shape, null, PLAIN)).toBe(rows);
  });

  test("what is hidden is gone, and nothing else changes", () => {
    const how = { ...PLAIN, hidden: Uint8Array.of(0, 0, 1) };
    expect(rounded(refine(rows, shape, null, how))).toEqual([0.5, 0.3, 0, 0.1, 0.1, 0]);
    expect(rounded(rows)).toEqual([0.5, 0.3, 0.2, 0.1, 0.1, 0.8]);
  });

  test("heads do not mix, and a word of one token is itself", () => {
    const two = Float32Array.from([0.5, 0.3, 0.2, 0.1, 0.1, 0.8, 0, 1, 0, 1, 0, 0]);
    const how = { ...PLAIN, keyPlace: Int32Array.of(0, 1, 1), keyCount: 2 };
    const kept = refine(two, { heads: 2, rows: 2, keys: 3 }, Int32Array.of(0, 1), how);
    expect(rounded(kept)).toEqual([0.5, 0.5, 0.1, 0.9, 0, 1, 1, 0]);
  });

  // As in jtviz/views/shown.py; in any other order the numbers are others.
  test("hides, then renormalises, then sums into words, then keeps the strongest", () => {
    const four = Float32Array.from([0.5, 0.2, 0.2, 0.1, 0.1, 0.1, 0.2, 0.6]);
    const how = {
      hidden: Uint8Array.of(1, 0, 0, 0),
      renormalise: true,
      keyPlace: Int32Array.of(0, 0, 1, 1),
      keyCount: 2,
      topK: 1,
      topMass: 1,
    };
    const kept = refine(four, { heads: 1, rows: 2, keys: 4 }, Int32Array.of(0, 0), how);
    expect(kept[0]).toBe(0);
    expect(kept[1]).toBeCloseTo((0.3 / 0.5 + 0.8 / 0.9) / 2, 6);
  });

  test.each([
    [0.4, [0, 0.4, 0, 0]],
    [0.6, [0.2, 0.4, 0, 0]],
    [0.61, [0.2, 0.4, 0.2, 0]],
    [0.8, [0.2, 0.4, 0.2, 0]],
  ])("of equal ones that reach %d of the mass only the first are kept", (topMass, kept) => {
    const row = Float32Array.from([0.2, 0.4, 0.2, 0.2]);
    sift(row, 0, topMass);
    expect(rounded(row)).toEqual(kept);
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

  test.each([
    ["linear", 0.25, 64],
    ["sqrt", 0.25, 128],
    ["log", 0.25, Math.round((255 * Math.log(1 + 999 / 4)) / Math.log(1000))],
  ] as const)("%s shows a quarter of the largest, of either sign, as it should", (kind, share, shade) => {
    expect(shadeOf(tableOf(kind), 0.4 * share, 0.4)).toBe(shade);
    expect(shadeOf(tableOf(kind), -0.4 * share, 0.4)).toBe(shade);
    expect(shadeOf(tableOf(kind), 0, 0)).toBe(0);
  });

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
    expect(zoom(grid, before, 1e-3, 500, 250)).toEqual(whole(grid));
  });

  test("never leaves the matrix", () => {
    expect(inside(grid, { x: -5, y: 1e6, cell: 5 })).toEqual({ x: 0, y: 450, cell: 5 });
    expect(inside(grid, { x: 7, y: 7, cell: 0.1 })).toEqual(whole(grid));
    expect(inside({ ...grid, rows: 10 }, { x: 7, y: 7, cell: 5 })).toEqual({ x: 7, y: 0, cell: 5 });
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
    expect([levelOf(1), levelOf(0.25), levelOf(0.24)]).toEqual([0, 2, 3]);
    const near = { x: 300.5, y: 100, cell: 2 };
    expect(sight(grid, near)).toEqual({ rows: [100, 225], columns: [300, 551] });
    expect([...tilesIn(grid, near, 0)]).toEqual([
      { row: 0, column: 1 },
      { row: 0, column: 2 },
    ]);
    expect([...tilesIn(grid, whole(grid), 1)]).toEqual([
      { row: 0, column: 0 },
      { row: 0, column: 1 },
    ]);
  });
});

test("numbers of 16 bits are read as IEEE 754 says", () => {
  const bits = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x0000);
  expect([...half(bits)]).toEqual([1, -2, 2 ** -24, 65504, Number.POSITIVE_INFINITY, 0]);
  const more = Uint16Array.of(0x8000, 0x03ff, 0x83ff, 0x0400, 0x3555, 0xfbff, 0xfc00, 0x7e00);
  expect([...half(more)]).toEqual([
    -0,
    1023 * 2 ** -24,
    -1023 * 2 ** -24,
    2 ** -14,
    0.333251953125,
    -65504,
    Number.NEGATIVE_INFINITY,
    Number.NaN,
  ]);
});

const SIDE = { text: ["The", "book", "shop", "is"], special: [], gap: [1, 3], words: [0, 1, 3], names: {} };

test("an axis of words knows its tokens", () => {
  const axis = axisOf(SIDE, "word");
  expect(axis.labels).toEqual(["The", "bookshop", "is"]);
  expect([axis.at(2), axis.first(1), axis.first(3), axis.size]).toEqual([1, 1, 4, 3]);
  expect([...axis.gap]).toEqual([1, 2]);
  expect([...(axis.place ?? [])]).toEqual([0, 1, 1, 2]);
  expect(axisOf(SIDE, "token").labels).toBe(SIDE.text);
  expect(axisOf(SIDE, "token").place).toBeNull();
  expect(axisOf(undefined, "word").size).toBe(0);
});

test("a word is special as its first token is, and has a name of its own where it has one", () => {
  const axis = axisOf({ ...SIDE, special: [1, 2], names: { "1": "shop of books" } }, "word");
  expect(axis.labels).toEqual(["The", "shop of books", "is"]);
  expect([...axis.special]).toEqual([1]);
});

test("a phrase is found over the tokens that it is made of", () => {
  expect(find(SIDE, "bookshop IS", "encoder")).toEqual([{ side: "encoder", start: 1, stop: 4 }]);
  expect(find(SIDE, "o", "encoder")).toEqual([
    { side: "encoder", start: 1, stop: 2 },
    { side: "encoder", start: 2, stop: 3 },
  ]);
  expect(find(SIDE, "cat", "encoder")).toEqual([]);
  expect(find(SIDE, "", "encoder")).toEqual([]);
  expect(find(SIDE, "thebook", "encoder")).toEqual([]);
  expect(find(SIDE, "okSh", "encoder")).toEqual([{ side: "encoder", start: 1, stop: 3 }]);
  expect(find(SIDE, "is", "encoder")).toEqual([{ side: "encoder", start: 3, stop: 4 }]);
});

test("a letter that grows when it becomes small moves no hit", () => {
  const side = { ...SIDE, text: ["x", "İ", "İstanbul", "y"], gap: [1, 2, 3], words: null };
  expect(find(side, "İ", "encoder").map(({ start, stop }) => [start, stop])).toEqual([
    [1, 2],
    [2, 3],
  ]);
  expect(find(side, "x İ", "encoder")).toEqual([{ side: "encoder", start: 0, stop: 2 }]);
  expect(find(side, "y", "encoder")).toEqual([{ side: "encoder", start: 3, stop: 4 }]);
});

test("the state is copied as Python writes it", () => {
  const model = choices();
  Object.assign(model.state, { also: [[1, 2]], hide: ['"', "\n"], top_mass: 0.9, key_span: [0, 2] });
  const text = stateOf(sceneOf(model, new AbortController().signal));
  expect(text).toContain('"also": [[1, 2]]');
  expect(text).toContain('"hide": ["\\"", "\\n"]');
  expect(text).toContain('"query_span": None, "key_span": [0, 2]');
  expect(text).toContain('"top_mass": 0.9');
  expect(text).not.toMatch(/null|true|false|undefined/);
  expect(text).toContain('"pinned": {"query": None, "key": None}');
  expect(text).toContain('"renormalise": False');
  expect(text).toContain('"show_mask": True');
  expect(text).toContain('"heads": [0, 1, 2, 3]');
});
