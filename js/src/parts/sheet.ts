// Small pictures of many heads on one sheet, each painted once, when its layer arrives.
// Required: a frame paints at most MOST of them, so that thousands arriving at once hold up nothing.

import { css, type Ramp } from "../core/colour";
import { prepare } from "../core/dom";
import type { Member } from "../core/shown";
import type { Theme } from "../core/theme";
import type { Tile } from "../core/tiles";
import { number } from "../core/words";
import type { Scene } from "./picture";

/** Room for the numbers of layers and heads. */
export const LABEL = 26;
export const GAP = 3;
/** Height of a line of text below a picture. */
export const VALUE = 13;
const MOST = 512;

export interface Cell extends Member {
  x: number;
  y: number;
  value: number;
  /** Whether its value reaches what is asked for. */
  isFound: boolean;
}

export interface Layout {
  cells: Cell[];
  size: number;
  height: number;
  isSorted: boolean;
  /** How many query heads share a key head. */
  group: number;
}

/** What the sheet was painted for. */
interface Base {
  layout: Layout;
  ramp: Ramp;
  theme: Theme;
  width: number;
  canvas: HTMLCanvasElement;
  context: CanvasRenderingContext2D;
  layers: Map<number, Cell[]>;
  /** The numbers that each layer was painted from. */
  painted: Map<number, Tile["data"]>;
}

export class Sheet {
  #base: Base | null = null;
  readonly #strips = new WeakMap<object, { ramp: Ramp; strip: OffscreenCanvas }>();

  constructor(
    private readonly scene: Scene,
    private readonly thumbnail: (layer: number) => Tile | undefined,
  ) {}

  /** Draw the sheet with some heads marked; return whether pictures are left for the next frame. */
  draw(canvas: HTMLCanvasElement, layout: Layout, isMarked: (cell: Cell, index: number) => boolean): boolean {
    const base = this.#baseOf(layout);
    const isLeft = this.#paint(base);
    const context = prepare(canvas, base.width, Math.max(1, layout.height));
    context.drawImage(base.canvas, 0, 0, base.width, Math.max(1, layout.height));
    context.lineWidth = 2;
    context.strokeStyle = css(base.theme.ink);
    const { size } = layout;
    for (const [i, cell] of layout.cells.entries()) {
      if (isMarked(cell, i)) context.strokeRect(cell.x - 1, cell.y - 1, size + 2, size + 2);
    }
    return isLeft;
  }

  #baseOf(layout: Layout): Base {
    const { ramp, theme, width } = this.scene;
    const old = this.#base;
    const now = { layout, ramp: ramp.peek(), theme: theme.peek(), width: Math.max(1, width.peek()) };
    if (
      old?.layout === layout &&
      old.ramp === now.ramp &&
      old.theme === now.theme &&
      old.width === now.width
    ) {
      return old;
    }
    const canvas = document.createElement("canvas");
    const context = prepare(canvas, now.width, Math.max(1, layout.height));
    const layers = new Map<number, Cell[]>();
    for (const cell of layout.cells) {
      const cells = layers.get(cell.layer);
      if (cells) cells.push(cell);
      else layers.set(cell.layer, [cell]);
    }
    this.#base = { ...now, canvas, context, layers, painted: new Map() };
    this.#write(this.#base);
    return this.#base;
  }

  /** Paint the layers that came since, as many as a frame may. */
  #paint({ context, layers, painted, layout, ramp, theme }: Base): boolean {
    let count = 0;
    for (const [layer, cells] of layers) {
      const tile = this.thumbnail(layer);
      if (!tile || painted.get(layer) === tile.data) continue;
      if (count >= MOST) return true;
      count += cells.length;
      painted.set(layer, tile.data);
      const [, tall = 1, wide = 1] = tile.shape;
      const strip = this.#stripOf(tile, ramp);
      context.imageSmoothingEnabled = wide > layout.size;
      const frames = new Path2D();
      for (const { head, x, y, isFound } of cells) {
        const { size } = layout;
        context.clearRect(x, y, size, size);
        context.globalAlpha = isFound ? 1 : 0.25;
        context.drawImage(strip, 0, head * tall, wide, tall, x, y, size, size);
        frames.rect(x + 0.5, y + 0.5, size - 1, size - 1);
      }
      stroke(context, frames, theme);
    }
    return false;
  }

  /** The heads of a layer below each other, in one image. */
  #stripOf({ data, shape }: Tile, ramp: Ramp): OffscreenCanvas {
    const known = this.#strips.get(data);
    if (known?.ramp === ramp) return known.strip;
    const [count = 0, height = 1, width = 1] = shape;
    const image = new ImageData(width, Math.max(1, height * count));
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < data.length; i++) pixels[i] = ramp.pixels[data[i] ?? 0] ?? 0;
    const strip = new OffscreenCanvas(image.width, image.height);
    strip.getContext("2d")?.putImageData(image, 0, 0);
    this.#strips.set(data, { ramp, strip });
    return strip;
  }

  /** What does not wait for pictures: empty frames, names, values. */
  #write({ context, layout, theme }: Base): void {
    const { cells, size, isSorted } = layout;
    context.fillStyle = css(theme.ink);
    context.font = `11px ${getComputedStyle(this.scene.root).fontFamily}`;
    context.textAlign = "center";
    const frames = new Path2D();
    for (const { x, y, layer, head, value } of cells) {
      frames.rect(x + 0.5, y + 0.5, size - 1, size - 1);
      if (!isSorted) continue;
      context.fillText(`${layer}·${head}`, x + size / 2, y + size + VALUE);
      context.fillText(number(value), x + size / 2, y + size + 2 * VALUE);
    }
    stroke(context, frames, theme);
    if (!isSorted) axes(context, layout, theme);
  }
}

function stroke(context: CanvasRenderingContext2D, frames: Path2D, theme: Theme): void {
  context.globalAlpha = 0.25;
  context.lineWidth = 1;
  context.strokeStyle = css(theme.ink);
  context.stroke(frames);
  context.globalAlpha = 1;
}

/** Numbers of layers and heads, and brackets over heads that share a key and value head. */
function axes(context: CanvasRenderingContext2D, { cells, size, group }: Layout, theme: Theme): void {
  context.globalAlpha = 0.7;
  const step = size < 16 ? Math.ceil(16 / (size + GAP)) : 1;
  const brackets = new Path2D();
  for (const { layer, head, x, y } of cells) {
    if (layer === 0 && head % step === 0) context.fillText(String(head), x + size / 2, LABEL - 12);
    if (head === 0 && layer % step === 0) context.fillText(String(layer), LABEL / 2 - 2, y + size / 2 + 4);
    if (layer > 0 || group === 1 || head % group > 0) continue;
    const end = x + group * (size + GAP) - GAP;
    brackets.moveTo(x + 0.5, LABEL + 1);
    brackets.lineTo(x + 0.5, LABEL - 4.5);
    brackets.lineTo(end - 0.5, LABEL - 4.5);
    brackets.lineTo(end - 0.5, LABEL + 1);
  }
  context.strokeStyle = css(theme.ink);
  context.stroke(brackets);
  context.globalAlpha = 1;
}
