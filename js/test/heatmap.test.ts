import { describe, expect, test, vi } from "vitest";
import { rampOf } from "../src/core/colour";
import { half } from "../src/core/half";
import { type Block, bitsOf, coloursOf, pooled, valueAt } from "../src/layers/cells";
import { makeDrawing } from "../src/layers/heatmap-drawing";
import { labelled, lay } from "../src/layers/heatmap-labels";
import { sighted } from "../src/layers/heatmap-legend";
import type { HeatmapOptions, Lines } from "../src/layers/heatmap-options";
import {
  around,
  canZoom,
  closer,
  everything,
  inSight,
  isZoomed,
  layOut,
  MOST,
  partOf,
  reach,
  within,
} from "../src/layers/looking";

/** The 16 bits of small numbers. */
const BITS: Record<string, number> = { 0: 0, 1: 0x3c00, "-1": 0xbc00, 2: 0x4000, "-3": 0xc200, 0.5: 0x3800 };
const bits = (...numbers: number[]): Uint16Array =>
  Uint16Array.from(numbers, (one) => BITS[String(one)] ?? Number.NaN);

describe("cells of a block", () => {
  const block: Block = { rows: [2, 4], columns: [10, 16], pool: [1, 2], shape: [2, 3], unit: 4 };

  test("are read by row and column of the matrix, in its unit", () => {
    const data = bits(0, 1, -1, 2, -3, 0.5);
    expect(valueAt(block, data, 2, 10)).toBe(0);
    expect(valueAt(block, data, 2, 13)).toBe(4);
    expect(valueAt(block, data, 3, 12)).toBe(-12);
    expect(valueAt(block, data, 3, 15)).toBe(2);
    for (const [row, column] of [
      [1, 10],
      [4, 10],
      [2, 9],
      [2, 16],
    ] as const) {
      expect(valueAt(block, data, row, column)).toBeNull();
    }
  });

  test("lie anywhere in a message", () => {
    const raw = new Uint8Array([9, 0x00, 0x3c, 0x00, 0xc2]);
    expect([...half(bitsOf(new DataView(raw.buffer, 1, 4)))]).toEqual([1, -3]);
  });

  test("that share a pixel are the one of largest magnitude, with its sign", () => {
    const cells = { shape: [2, 3] as [number, number], bits: bits(0, 1, -1, 2, -3, 0.5) };
    expect([...half(pooled(cells, [2, 2]).bits)]).toEqual([-3, -1]);
    expect(pooled(cells, [2, 2]).shape).toEqual([1, 2]);
    expect([...half(pooled(cells, [1, 3]).bits)]).toEqual([1, -3]);
    expect([...half(pooled(cells, [2, 1]).bits)]).toEqual([2, -3, -1]);
    expect(pooled(cells, [1, 1]).bits).toBe(cells.bits);
  });

  test("have the background at zero, and the full colour from the limit on", () => {
    const ramp = rampOf([255, 255, 255], null, false);
    const colours = coloursOf(2, 4, ramp);
    const of = (one: number): number | undefined => colours[BITS[String(one)] ?? 0];
    expect(of(0)).toBe(ramp.pixels[0]);
    expect(of(1)).toBe(ramp.pixels[128]);
    expect(of(-1)).toBe(ramp.negativePixels[128]);
    expect(of(2)).toBe(ramp.pixels[255]);
    expect(of(-3)).toBe(ramp.negativePixels[255]);
    // Infinity is beyond, and what is no number has no colour.
    expect(colours[0x7c00]).toBe(ramp.pixels[255]);
    expect(colours[0x7e00]).toBe(ramp.pixels[0]);
    expect(new Set(coloursOf(1, 0, ramp)).size).toBe(1);
  });
});

describe("the names of a heat map", () => {
  test("are as many as have room; what is in focus has its own, pointed at before pinned", () => {
    expect(labelled([0, 5], 18, 14, [])).toEqual([0, 1, 2, 3, 4]);
    expect(labelled([0, 30], 1.4, 14, [])).toEqual([0, 10, 20]);
    expect(labelled([0, 30], 1.4, 14, [12, null])).toEqual([0, 12]);
    expect(labelled([0, 40], 1.4, 14, [12, 15])).toEqual([0, 30, 12]);
    expect(labelled([0, 40], 1.4, 14, [12, 50])).toEqual([0, 30, 12]);
  });

  const lines = (count: number, marked: number[] = []): Lines => ({
    count: () => count,
    label: (index) => `word${index}`,
    hovered: () => null,
    pinned: () => null,
    marked: () => new Set(marked),
    isText: true,
  });
  const map = (rows: Lines, columns: Lines): HeatmapOptions => ({
    name: () => "",
    rows,
    columns: { ...columns, turned: true },
    question: () => null,
    limit: () => 1,
    legend: () => "",
    isSquare: true,
    kinds: ["token", "token"],
    say: () => "",
    hint: "",
    hover: () => undefined,
    click: () => undefined,
  });

  test("are underlined where they are marked, with a tick in the picture, also of those without a name", () => {
    const drawn: { words: string[]; accent: number[][] } = { words: [], accent: [] };
    const pen = {
      fillStyle: "",
      measureText: (words: string) => ({ width: 8 * words.length }),
      fillText: (words: string) => drawn.words.push(words),
      fillRect: (...box: number[]) => pen.fillStyle === "rgb(1, 2, 3)" && drawn.accent.push(box),
    };
    const nothing = (): undefined => undefined;
    const context = new Proxy(pen, {
      get: (target, name) => Reflect.get(target, name) ?? nothing,
      set: (target, name, value) => Reflect.set(target, name, value),
    });
    const canvas = document.createElement("canvas");
    canvas.style.setProperty("--accent", "rgb(1, 2, 3)");
    document.body.replaceChildren(canvas);
    const spy = vi.spyOn(canvas, "getContext").mockReturnValue(context as never);
    const draw = (options: HeatmapOptions): void => {
      Object.assign(drawn, { words: [], accent: [] });
      const plot = lay(options, 600, (labels) => 8 * Math.max(...[...labels].map((label) => label.length)));
      const theme = { background: [255, 255, 255], ink: [0, 0, 0], dark: false } as const;
      const more = { answer: null, ramp: rampOf([255, 255, 255], null, false), font: "serif" };
      makeDrawing(canvas, options)({ plot, windows: everything(plot), theme: theme as never, ...more });
    };
    draw(map(lines(4, [2]), lines(3)));
    // The width of the name, to the left of where it ends; and between it and the row.
    expect(drawn.accent).toEqual([
      [-40, 6, 40, 2],
      [44, 96, 3, 24],
    ]);
    draw(map(lines(3), lines(4, [1])));
    expect(drawn.accent).toEqual([
      [0, 6, 40, 2],
      [72, 44, 24, 3],
    ]);
    draw(map(lines(2000, [7]), lines(2000, [7])));
    // Tokens far apart are called by their places.
    expect(drawn.words).toContain("0");
    expect(drawn.words.filter((word) => word.startsWith("word"))).toEqual([]);
    expect(drawn.accent.length).toBe(2);
    // One that the end of the picture would cut off is left out, unless it is the pinned one.
    draw(map(lines(337), lines(1)));
    expect(drawn.words.slice(0, -1).at(-1)).toBe("320");
    draw(map({ ...lines(337), pinned: () => 336 }, lines(1)));
    expect(drawn.words).toContain("word336");
    spy.mockRestore();
  });

  test("say in words which part is in sight, once where rows and columns are the same", () => {
    const square = map(lines(200), lines(200));
    const other: HeatmapOptions = { ...square, kinds: ["token", "unit"] };
    const plot = layOut(200, 200, 900, true);
    expect(sighted(square, plot, everything(plot))).toBe("all 200 × 200 tokens");
    expect(sighted(other, plot, everything(plot))).toBe("all 200 tokens, all 200 units");
    const near = closer(plot, everything(plot), 4, 0, 0);
    expect(sighted(square, plot, near)).toBe("tokens 0 to 49 down and 0 to 49 across, of 200");
    expect(sighted(other, plot, near)).toBe("tokens 0 to 49 of 200, units 0 to 49 of 200");
  });
});

describe("the window of a heat map", () => {
  test("asks of a pooled matrix for as many cells as there are pixels", () => {
    const plot = layOut(2000, 2000, 900, true);
    expect(partOf(plot, everything(plot))?.most).toEqual([500, 500]);
  });

  test("shows everything first: columns fill the room, rows are legible where there are few", () => {
    const plot = layOut(8, 768, 900, false);
    expect(plot.across.width).toBeCloseTo(900);
    expect(plot.down.least).toBe(18);
    const seen = inSight(plot, everything(plot));
    expect(seen).toEqual({ rows: [0, 8], columns: [0, 768] });
    expect(isZoomed(plot, everything(plot))).toBe(false);
    expect(canZoom(plot)).toBe(true);
  });

  test("of square cells stays square, and large ones need no zoom", () => {
    const plot = layOut(200, 200, 900, true);
    expect(plot.across.least).toBe(plot.down.least);
    const nearer = closer(plot, everything(plot), 4, 100, 100);
    expect(nearer.across.cell).toBe(nearer.down.cell);
    expect(canZoom(layOut(10, 10, 900, true))).toBe(false);
  });

  test("keeps the cell under the pointer where it is", () => {
    const plot = layOut(512, 768, 900, false);
    const before = everything(plot);
    const after = closer(plot, before, 2, 300, 200);
    const under = (sight: typeof before, x: number, y: number) => [
      sight.across.x + x / sight.across.cell,
      sight.down.x + y / sight.down.cell,
    ];
    const [[x0 = 0, y0 = 0], [x1 = 1, y1 = 1]] = [under(before, 300, 200), under(after, 300, 200)];
    expect(x1).toBeCloseTo(x0);
    expect(y1).toBeCloseTo(y0);
    const out = within(plot, { across: { ...after.across, x: -5 }, down: { ...after.down, x: 1e4 } });
    expect(inSight(plot, out).columns[0]).toBe(0);
    expect(inSight(plot, out).rows[1]).toBe(512);
  });

  test("brings a cell into the middle, or just into sight", () => {
    const plot = layOut(512, 768, 900, false);
    const { rows, columns } = inSight(plot, around(plot, everything(plot), 300, 447));
    expect((rows[0] + rows[1]) / 2).toBeCloseTo(300.5, 0);
    expect((columns[0] + columns[1]) / 2).toBeCloseTo(447.5, 0);
    const near = closer(plot, everything(plot), 8, 0, 0);
    expect(reach(plot, near, 0, 0)).toEqual(near);
    const last = inSight(plot, reach(plot, near, 511, 767));
    expect([last.rows[1], last.columns[1]]).toEqual([512, 768]);
  });

  test("asks for a small matrix once, and for a large one part by part", () => {
    const small = layOut(512, 768, 900, false);
    const all = { rows: [0, 512], columns: [0, 768], most: [512, 768] };
    expect(partOf(small, everything(small))).toEqual(all);
    expect(partOf(small, closer(small, everything(small), 8, 50, 50))).toEqual(all);
    expect(partOf(layOut(0, 768, 900, false), everything(layOut(0, 768, 900, false)))).toBeNull();

    const large = layOut(8192, 4096, 900, false);
    const first = partOf(large, everything(large));
    expect(first?.rows).toEqual([0, 8192]);
    const [down = 0, across = 0] = first?.most ?? [];
    expect(down * across).toBeLessThanOrEqual(MOST);
    expect(down * across).toBeGreaterThan(MOST / 4);
    // Near enough that nothing is pooled: what is in sight, and around it.
    const sight = around(large, everything(large), 4000, 2000);
    const part = partOf(large, sight);
    const seen = inSight(large, sight);
    expect(part?.most).toEqual([
      (part?.rows[1] ?? 0) - (part?.rows[0] ?? 0),
      (part?.columns[1] ?? 0) - (part?.columns[0] ?? 0),
    ]);
    expect(part?.rows[0]).toBeLessThan(seen.rows[0]);
    expect(part?.columns[1]).toBeGreaterThan(seen.columns[1]);
    // A step aside asks the same.
    const aside = { ...sight, across: { ...sight.across, x: sight.across.x + 0.25 } };
    expect(partOf(large, aside)).toEqual(part);
  });
});
