// The weights themselves, written into the cells of a heat map that are large enough.
// Twin: jtviz/views/figures/matrix.py (the same digits).

import { colourAt, inkOn } from "../core/colour";
import type { Window } from "../core/grid";
import type { Colouring, Patch } from "../core/paint";
import { shadeOf } from "../core/scale";

/** Cells at least this wide have their number. */
export const ROOM = 22;

/** Two decimals without the zero in front: `.07`, `−.31`, `1.0`; nothing where it would be nought. */
export function digits(weight: number): string {
  const size = Math.abs(weight);
  if (size < 0.005) return "";
  const said = size >= 9.95 ? size.toFixed(0) : size >= 0.995 ? size.toFixed(1) : size.toFixed(2).slice(1);
  return weight < 0 ? `−${said}` : said;
}

export function write(
  context: CanvasRenderingContext2D,
  patches: readonly Patch[],
  how: Colouring,
  { x, y, cell }: Window,
  [width, height]: readonly [number, number],
  font: string,
): void {
  context.font = `${cell >= 28 ? 10 : 9}px ${font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const { tile, row, column } of patches) {
    const [rows = 0, columns = 0] = tile.shape;
    const inSight = (start: number, room: number, count: number): [number, number] => [
      Math.max(0, Math.floor(-start / cell)),
      Math.min(count, Math.ceil((room - start) / cell)),
    ];
    const [left, top] = [(column - x) * cell, (row - y) * cell];
    const [r0, r1] = inSight(top, height, rows);
    const [c0, c1] = inSight(left, width, columns);
    for (let r = r0; r < r1; r++) {
      let { max } = how;
      if (how.perRow) {
        max = 0;
        for (let c = 0; c < columns; c++) max = Math.max(max, Math.abs(tile.data[r * columns + c] ?? 0));
        max *= tile.unit;
      }
      for (let c = c0; c < c1; c++) {
        const weight = (tile.data[r * columns + c] ?? 0) * tile.unit;
        const said = Math.abs(weight) < how.threshold ? "" : digits(weight);
        if (said === "") continue;
        context.fillStyle = inkOn(colourAt(how.ramp, shadeOf(how.table, weight, max), weight));
        context.fillText(said, left + (c + 0.5) * cell, top + (r + 0.5) * cell);
      }
    }
  }
}
