// The numbers themselves, written into the cells of a heat map that are large enough.

import { colourAt, inkOn, type Ramp } from "../core/colour";
import { half } from "../core/half";
import { digits, ROOM } from "../parts/figures";
import type { Block } from "./cells";
import type { Sight } from "./looking";

/** Write what is in sight, where no cell stands for several. */
export function writeNumbers(
  context: CanvasRenderingContext2D,
  { rows, columns, pool, shape, unit }: Block,
  bits: Uint16Array,
  { across, down }: Sight,
  { limit, ramp, font }: { limit: number; ramp: Ramp; font: string },
): void {
  if (pool[0] * pool[1] > 1 || across.cell < ROOM || down.cell < 12) return;
  context.font = `${across.cell >= 28 ? 10 : 9}px ${font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const [height, width] = shape;
  const numbers = half(bits);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const value = (numbers[row * width + column] ?? Number.NaN) * unit;
      const said = Number.isFinite(value) ? digits(value) : "";
      if (said === "") continue;
      const shade = Math.min(255, Math.round((255 * Math.abs(value)) / limit));
      context.fillStyle = inkOn(colourAt(ramp, shade, value));
      const x = (columns[0] + column + 0.5 - across.x) * across.cell;
      context.fillText(said, x, (rows[0] + row + 0.5 - down.x) * down.cell);
    }
  }
}
