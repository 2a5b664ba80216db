// The matrix seen through a window: which cells, how large, at which level of detail.
// Required: the same token stays under the pointer when the reader zooms.

import { TILE } from "./tiles";

/** What is in sight: the first cell, in fractions, and how many pixels a cell has. */
export interface Window {
  x: number;
  y: number;
  cell: number;
}

export interface Grid {
  columns: number;
  rows: number;
  /** Pixels of the plot. */
  width: number;
  height: number;
  /** The size of a cell that shows everything, and the largest. */
  least: number;
  most: number;
}

export const whole = (grid: Grid): Window => ({ x: 0, y: 0, cell: grid.least });

/** Keep a window inside the grid. */
export function inside(grid: Grid, { x, y, cell }: Window): Window {
  const size = Math.max(grid.least, Math.min(grid.most, cell));
  const clamp = (value: number, count: number, pixels: number): number =>
    Math.max(0, Math.min(count - pixels / size, value));
  return { cell: size, x: clamp(x, grid.columns, grid.width), y: clamp(y, grid.rows, grid.height) };
}

/** Zoom by a factor about a point of the plot, in pixels. */
export function zoom(grid: Grid, window: Window, factor: number, px: number, py: number): Window {
  const cell = Math.max(grid.least, Math.min(grid.most, window.cell * factor));
  const shift = 1 / window.cell - 1 / cell;
  return inside(grid, { x: window.x + px * shift, y: window.y + py * shift, cell });
}

/** Bring a cell into the middle, large enough to read. */
export function centre(grid: Grid, window: Window, row: number | null, column: number | null): Window {
  const cell = Math.max(window.cell, Math.min(grid.most, 12));
  const from = (at: number | null, old: number, pixels: number): number =>
    at === null ? old + pixels / window.cell / 2 - pixels / cell / 2 : at + 0.5 - pixels / cell / 2;
  return inside(grid, { cell, x: from(column, window.x, grid.width), y: from(row, window.y, grid.height) });
}

/** Cells in sight: first and one after the last, down and across. */
export function sight(
  grid: Grid,
  { x, y, cell }: Window,
): { rows: [number, number]; columns: [number, number] } {
  const of = (from: number, pixels: number, count: number): [number, number] => [
    Math.floor(from),
    Math.min(count, Math.ceil(from + pixels / cell - 1e-6)),
  ];
  return { rows: of(y, grid.height, grid.rows), columns: of(x, grid.width, grid.columns) };
}

/** How often cells are halved until one has at least a pixel of the screen. */
export const levelOf = (cell: number): number =>
  Math.max(0, Math.ceil(Math.log2(1 / (cell * (globalThis.devicePixelRatio || 1))) - 1e-6));

/** Tiles of a level that are in sight. */
export function* tilesIn(
  grid: Grid,
  window: Window,
  level: number,
): Generator<{ row: number; column: number }> {
  const { rows, columns } = sight(grid, window);
  const span = TILE * 2 ** level;
  for (let row = Math.floor(rows[0] / span); row * span < rows[1]; row++) {
    for (let column = Math.floor(columns[0] / span); column * span < columns[1]; column++) {
      yield { row, column };
    }
  }
}
