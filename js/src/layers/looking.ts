// What of a heat map is in sight: a window on each of its axes (core/grid.ts, one axis at a time), and which
// part of the matrix is asked for.
// Required: a small matrix is asked for once, whole; of a large one what is in sight and some around it.

import { centre, type Grid, inside, sight, type Window, whole, zoom } from "../core/grid";
import type { Range } from "./cells";

/** Cells of a block, at most. Twin: MOST of jtviz/views/blocks.py. */
export const MOST = 400_000;

const TALLEST = 512;
/** Pixels of a cell that is as large as it gets. */
const WIDEST = 24;
const HIGHEST = 18;
const LEGIBLE = 12;

/** The grid of one axis, laid along x. */
export type Axis = Grid;

export interface Sight {
  across: Window;
  down: Window;
}

export interface Plot {
  across: Axis;
  down: Axis;
}

/** Part of the matrix, and cells down and across at most. */
export interface Part {
  rows: Range;
  columns: Range;
  most: [number, number];
}

const axis = (count: number, cell: number, most: number): Axis => {
  const least = cell >= 2 ? Math.floor(cell) : cell;
  return { columns: count, rows: 1, width: least * count, height: 0, least, most: Math.max(least, most) };
};

/** Fit a matrix into so many pixels across. */
export function layOut(
  rows: number,
  columns: number,
  room: number,
  isSquare: boolean,
  widest: number = WIDEST,
): Plot {
  const wide = Math.min(widest, Math.max(1, room) / Math.max(1, columns));
  const high = Math.min(isSquare ? widest : HIGHEST, TALLEST / Math.max(1, rows));
  const both = Math.min(wide, high);
  const most = isSquare && both >= LEGIBLE ? 0 : WIDEST;
  return {
    across: axis(columns, isSquare ? both : wide, most),
    down: axis(rows, isSquare ? both : high, isSquare ? most : HIGHEST),
  };
}

export const isZoomed = ({ across, down }: Plot, sight: Sight): boolean =>
  sight.across.cell > across.least || sight.down.cell > down.least;

export const canZoom = ({ across, down }: Plot): boolean =>
  across.most > across.least || down.most > down.least;

export const everything = ({ across, down }: Plot): Sight => ({ across: whole(across), down: whole(down) });

export const within = ({ across, down }: Plot, sight: Sight): Sight => ({
  across: inside(across, sight.across),
  down: inside(down, sight.down),
});

/** Zoom about a point of the plot, in pixels. */
export const closer = (
  { across, down }: Plot,
  sight: Sight,
  factor: number,
  x: number,
  y: number,
): Sight => ({
  across: zoom(across, sight.across, factor, x, 0),
  down: zoom(down, sight.down, factor, y, 0),
});

/** Bring a cell into the middle, large enough to read. */
export const around = (
  { across, down }: Plot,
  sight: Sight,
  row: number | null,
  column: number | null,
): Sight => ({
  across: column === null ? sight.across : centre(across, sight.across, null, column),
  down: row === null ? sight.down : centre(down, sight.down, null, row),
});

/** Move no farther than that a cell is in sight. */
export function reach({ across, down }: Plot, sight: Sight, row: number, column: number): Sight {
  const along = (axis: Axis, window: Window, at: number): Window => {
    const room = axis.width / window.cell;
    return inside(axis, { ...window, x: Math.min(at, Math.max(at + 1 - room, window.x)) });
  };
  return { across: along(across, sight.across, column), down: along(down, sight.down, row) };
}

export const inSight = ({ across, down }: Plot, windows: Sight): { rows: Range; columns: Range } => ({
  rows: sight(down, windows.down).columns,
  columns: sight(across, windows.across).columns,
});

/** The part to ask for; the same one for windows that are close to each other. */
export function partOf(plot: Plot, windows: Sight): Part | null {
  const counts = [plot.down.columns, plot.across.columns] as const;
  const [rows, columns] = counts;
  if (rows === 0 || columns === 0) return null;
  if (rows * columns <= MOST) return { rows: [0, rows], columns: [0, columns], most: [rows, columns] };
  const seen = inSight(plot, windows);
  const wanted = [wider(seen.rows, rows), wider(seen.columns, columns)] as const;
  const ratio = Math.max(1, globalThis.devicePixelRatio || 1);
  const pixels = [plot.down.width * ratio, plot.across.width * ratio] as const;
  const pools = [seen.rows, seen.columns].map(([from, to], i) =>
    Math.max(1, Math.ceil((to - from) / (pixels[i] ?? 1) - 1e-6)),
  );
  const cells = (i: 0 | 1): number => Math.ceil((wanted[i][1] - wanted[i][0]) / (pools[i] ?? 1));
  while (cells(0) * cells(1) > MOST) {
    const longer = cells(0) > cells(1) ? 0 : 1;
    pools[longer] = (pools[longer] ?? 1) + 1;
  }
  return { rows: wanted[0], columns: wanted[1], most: [cells(0), cells(1)] };
}

function wider([from, to]: Range, count: number): Range {
  const step = 2 ** Math.max(0, Math.floor(Math.log2((to - from) / 2)));
  return [
    Math.max(0, (Math.floor(from / step) - 1) * step),
    Math.min(count, (Math.ceil(to / step) + 1) * step),
  ];
}
