// Weights as pixels: tiles of a picture, painted once for each way of colouring.
// Required: changing colours fetches nothing; what is coarser is drawn until what is finer is here.

import type { Ramp } from "./colour";
import { type Grid, levelOf, tilesIn, type Window } from "./grid";
import { count, stepOf, type Table, tableOf } from "./scale";
import type { Shown } from "./shown";
import { type Key, TILE, type Tile, type Tiles } from "./tiles";

/** A rectangle of cells, `2 ** level` tokens each. */
export interface Patch {
  tile: Pick<Tile, "data" | "shape" | "unit" | "info">;
  level: number;
  /** First cell, in tokens. */
  row: number;
  column: number;
}

/** What there is to draw of a picture, the coarse first. */
export function patchesOf(tiles: Tiles, shown: Shown, grid: Grid, window: Window): Patch[] {
  const level = levelOf(window.cell);
  if (shown.isWhole) {
    const all = shown.picture();
    if (!all) return [];
    const tile = pooled(all, shown.query.size, shown.key.size, level, shown.chosen.pool);
    return [{ tile, level, row: 0, column: 0 }];
  }
  const top = topLevel(grid);
  const wanted = new Map<string, Key>();
  const patches: Patch[] = [];
  const look = (at: number, ask: boolean): void => {
    for (const { row, column } of tilesIn(grid, window, at)) {
      const key = keyOf(shown, at, row, column);
      const tile = ask ? tiles.get(key) : tiles.peek(key);
      if (ask) wanted.set(JSON.stringify(key), key);
      const span = TILE * 2 ** at;
      if (tile?.data.length) patches.push({ tile, level: at, row: row * span, column: column * span });
    }
  };
  // The coarsest is asked for last and so comes first; it also says how strong the strongest is.
  for (let at = Math.max(top, level); at > level; at--) look(at, false);
  look(level, shown.members.length > 0);
  // Zoomed in, the minimap needs it.
  if (shown.members.length > 0 && top > level && window.cell > grid.least * 1.01) {
    const key = keyOf(shown, top, 0, 0);
    tiles.get(key);
    wanted.set(JSON.stringify(key), key);
  }
  tiles.keep([...wanted.values()]);
  return patches;
}

/** The level at which one tile shows everything. */
const topLevel = ({ rows, columns }: Grid): number =>
  Math.max(0, Math.ceil(Math.log2(Math.max(rows, columns) / TILE)));

/** Everything in one small patch, for the minimap. */
export function topPatch(tiles: Tiles, shown: Shown, grid: Grid): Patch | undefined {
  const level = topLevel(grid);
  const all = shown.isWhole ? shown.picture() : undefined;
  const tile = all
    ? pooled(all, shown.query.size, shown.key.size, level, shown.chosen.pool)
    : tiles.peek(keyOf(shown, level, 0, 0));
  return tile && { tile, level, row: 0, column: 0 };
}

const keyOf = (shown: Shown, level: number, row: number, column: number): Key => ({
  kind: "tile",
  stage: shown.stage.name,
  weighting: shown.chosen.weighting,
  ...shown.choice(),
  level,
  row,
  column,
  pool: shown.chosen.pool,
});

/** Where queries cannot look, in sight. */
export function blindPatches(tiles: Tiles, shown: Shown, grid: Grid, window: Window): Patch[] {
  const level = levelOf(window.cell);
  const { stage, place, chosen } = shown;
  const patches: Patch[] = [];
  for (const { row, column } of tilesIn(grid, window, level)) {
    const key = {
      kind: "mask",
      stage: stage.name,
      layer: place.layer,
      unit: chosen.unit,
      level,
      row,
      column,
    };
    const tile = tiles.fetch(key);
    const span = TILE * 2 ** level;
    if (tile) patches.push({ tile, level, row: row * span, column: column * span });
  }
  return patches;
}

const pools = new WeakMap<Float32Array, Map<string, Patch["tile"]>>();

/** Pool a whole picture as the kernel would. */
function pooled(
  all: Float32Array,
  rows: number,
  columns: number,
  level: number,
  pool: string,
): Patch["tile"] {
  const factor = 2 ** level;
  const shape = [Math.ceil(rows / factor), Math.ceil(columns / factor)];
  const known = pools.get(all) ?? new Map<string, Patch["tile"]>();
  pools.set(all, known);
  const before = known.get(`${pool}${level}`);
  if (before) return before;
  let data = all;
  if (factor > 1) {
    const width = shape[1] ?? 0;
    data = new Float32Array((shape[0] ?? 0) * width);
    const counts = new Uint16Array(data.length);
    for (let row = 0, at = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, at++) {
        const to = (row >> level) * width + (column >> level);
        const [old, weight] = [data[to] ?? 0, all[at] ?? 0];
        counts[to] = (counts[to] ?? 0) + 1;
        data[to] = pool === "mean" ? old + weight : Math.abs(weight) > Math.abs(old) ? weight : old;
      }
    }
    if (pool === "mean") for (let i = 0; i < data.length; i++) data[i] = (data[i] ?? 0) / (counts[i] || 1);
  }
  const tile = { data, shape, unit: 1, info: {} };
  known.set(`${pool}${level}`, tile);
  return tile;
}

export interface Colouring {
  ramp: Ramp;
  table: Table;
  max: number;
  threshold: number;
  perRow: boolean;
}

const strongestOf = new WeakMap<object, number>();

/** The largest weight of some patches, by size. */
export function strongestIn(patches: readonly Patch[]): number {
  let most = 0;
  for (const { tile } of patches) {
    let max = strongestOf.get(tile.data);
    if (max === undefined) {
      max = 0;
      for (const weight of tile.data) max = Math.max(max, Math.abs(weight));
      max *= tile.unit;
      strongestOf.set(tile.data, max);
    }
    most = Math.max(most, max);
  }
  return most;
}

/** Ranks are among what is in sight. */
export function tableFor(
  scale: Parameters<typeof tableOf>[0],
  patches: readonly Patch[],
  max: number,
): Table {
  if (scale !== "rank") return tableOf(scale);
  let counts: Uint32Array | undefined;
  for (const { tile } of patches) counts = count(tile.data, tile.unit, max, counts);
  return tableOf(scale, counts);
}

type Painted = WeakMap<object, { how: Colouring; pixels: OffscreenCanvas }>;
const paintedAlready: Painted = new WeakMap();

/** One patch as pixels; painted again only when its colours change. */
export function paint({ tile }: Patch, how: Colouring, painted: Painted = paintedAlready): OffscreenCanvas {
  const known = painted.get(tile.data);
  if (known && Object.entries(how).every(([name, value]) => known.how[name as keyof Colouring] === value)) {
    return known.pixels;
  }
  const [height = 0, width = 0] = tile.shape;
  const image = new ImageData(Math.max(1, width), Math.max(1, height));
  const pixels = new Uint32Array(image.data.buffer);
  const { pixels: colours, negativePixels } = how.ramp;
  const { data, unit } = tile;
  const colour = (weight: number, max: number): number => {
    const shade = Math.abs(weight) < how.threshold ? 0 : (how.table[stepOf(weight, max)] ?? 0);
    return (weight < 0 ? negativePixels : colours)[shade] ?? 0;
  };
  if (how.perRow || data instanceof Float32Array) {
    for (let row = 0, i = 0; row < height; row++) {
      let { max } = how;
      if (how.perRow) {
        max = 0;
        for (let column = 0; column < width; column++) {
          max = Math.max(max, Math.abs(data[i + column] ?? 0) * unit);
        }
      }
      for (let column = 0; column < width; column++, i++) pixels[i] = colour((data[i] ?? 0) * unit, max);
    }
  } else {
    // A byte has only so many colours.
    const of = Uint32Array.from({ length: 384 }, (_, i) => colour((i - 128) * unit, how.max));
    for (let i = 0; i < data.length; i++) pixels[i] = of[(data[i] ?? 0) + 128] ?? 0;
  }
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  painted.set(tile.data, { how, pixels: canvas });
  return canvas;
}
