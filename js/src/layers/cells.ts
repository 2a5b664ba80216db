// The cells of a block of a matrix: read, pooled for the screen, coloured. Twin: jtviz/views/blocks.py.
// Required: of several numbers that share a cell the one of largest magnitude is shown, with its sign.

import type { Ramp } from "../core/colour";
import { half } from "../core/half";

/** From the first to the one before the last. */
export type Range = [number, number];

/** What a kernel says of a block. */
export interface Block {
  rows: Range;
  columns: Range;
  /** How many rows and columns share a cell. */
  pool: [number, number];
  /** Cells down and across. */
  shape: [number, number];
  /** What a number of one stands for. */
  unit: number;
}

export interface Cells {
  shape: [number, number];
  /** Numbers of 16 bits. */
  bits: Uint16Array;
}

const SIZE = 0x7fff;

/** A message's numbers, which may lie at an odd byte. */
export function bitsOf({ buffer, byteOffset, byteLength }: DataView): Uint16Array {
  return new Uint16Array(buffer.slice(byteOffset, byteOffset + byteLength));
}

export function floatsOf({ buffer, byteOffset, byteLength }: DataView): Float32Array {
  return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
}

/** The number of a cell. */
export function valueAt(
  { rows, columns, pool, shape, unit }: Block,
  bits: Uint16Array,
  row: number,
  column: number,
): number | null {
  if (row < rows[0] || row >= rows[1] || column < columns[0] || column >= columns[1]) return null;
  const index =
    Math.floor((row - rows[0]) / pool[0]) * shape[1] + Math.floor((column - columns[0]) / pool[1]);
  return (half(bits.subarray(index, index + 1))[0] ?? 0) * unit;
}

/** Let so many rows and columns share a cell. */
export function pooled({ shape, bits }: Cells, [down, across]: readonly [number, number]): Cells {
  if (down === 1 && across === 1) return { shape, bits };
  const [rows, columns] = shape;
  const [height, width] = [Math.ceil(rows / down), Math.ceil(columns / across)];
  const out = new Uint16Array(height * width);
  for (let row = 0, from = 0; row < rows; row++) {
    const to = Math.floor(row / down) * width;
    for (let column = 0, place = to, left = across; column < columns; column++, from++) {
      const one = bits[from] ?? 0;
      // Without the sign, numbers of 16 bits are in the order of their bits.
      if ((one & SIZE) > ((out[place] ?? 0) & SIZE)) out[place] = one;
      if (--left === 0) {
        left = across;
        place++;
      }
    }
  }
  return { shape: [height, width], bits: out };
}

/** A colour for each of the 65,536 numbers there are: full at `limit` and beyond, none for what is no number. */
export function coloursOf(unit: number, limit: number, { pixels, negativePixels }: Ramp): Uint32Array {
  const numbers = half(Uint16Array.from({ length: SIZE + 1 }, (_, i) => i));
  const out = new Uint32Array(2 * numbers.length);
  for (let i = 0; i < numbers.length; i++) {
    const share = limit > 0 ? ((numbers[i] ?? 0) * unit) / limit : 0;
    const shade = share >= 1 ? 255 : Math.round(255 * share) || 0;
    out[i] = pixels[shade] ?? 0;
    out[i + numbers.length] = negativePixels[shade] ?? 0;
  }
  return out;
}

/** Cells as a picture of one pixel each. */
export function paint({ shape: [height, width], bits }: Cells, colours: Uint32Array): OffscreenCanvas {
  const image = new ImageData(Math.max(1, width), Math.max(1, height));
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < bits.length; i++) pixels[i] = colours[bits[i] ?? 0] ?? 0;
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}
