// Drawing a heat map: its cells, what stands out of them, and what is in focus.
// Required: what was painted is painted again only for another answer or other colours.

import { css, type Ramp } from "../core/colour";
import { prepare } from "../core/dom";
import type { Theme } from "../core/theme";
import { type Block, type Cells, coloursOf, paint, pooled } from "./cells";
import { drawLabels, type Frame, MARKS, type Pen } from "./heatmap-labels";
import type { HeatmapOptions } from "./heatmap-options";
import { bitsIn } from "./heatmap-reading";
import type { Sight } from "./looking";
import type { Answer } from "./questions";
import { writeNumbers } from "./written";

/** Pixels of the tick of a marked token, between its name and its cells. */
const TICK = 3;

export interface Drawn {
  plot: Frame;
  windows: Sight;
  answer: Answer<Block> | null;
  theme: Theme;
  ramp: Ramp;
  font: string;
}

/** Draws a heat map into its canvas. */
export function makeDrawing(canvas: HTMLCanvasElement, options: HeatmapOptions): (drawn: Drawn) => void {
  const painter = makePainter();
  return ({ plot, windows, answer, theme, ramp, font }) => {
    const context = prepare(canvas, plot.left + plot.across.width + 1, plot.top + plot.down.width + 1);
    const pen: Pen = {
      ink: css(theme.ink),
      background: css(theme.background),
      accent: getComputedStyle(canvas).getPropertyValue("--accent"),
      font,
    };
    const limit = options.limit();
    context.save();
    context.translate(plot.left, plot.top);
    context.beginPath();
    context.rect(0, 0, plot.across.width, plot.down.width);
    context.clip();
    context.fillStyle = pen.background;
    context.fillRect(0, 0, plot.across.width, plot.down.width);
    const isFitting =
      answer &&
      answer.reply.rows[1] <= options.rows.count() &&
      answer.reply.columns[1] <= options.columns.count();
    if (answer && isFitting && limit !== null) {
      painter(context, answer, windows, (unit) => coloursOf(unit, limit, ramp), [limit, ramp]);
      if (options.isWritten) {
        writeNumbers(context, answer.reply, bitsIn(answer), windows, { limit, ramp, font });
      }
    }
    context.restore();
    context.strokeStyle = pen.ink;
    context.globalAlpha = 0.25;
    context.strokeRect(plot.left + 0.5, plot.top + 0.5, plot.across.width, plot.down.width);
    context.globalAlpha = 1;
    drawLabels(context, options, plot, windows, pen);
    drawTicks(context, options, plot, windows, pen);
    drawMarks(context, options, plot, windows, pen);
    drawFocus(context, options, plot, windows, pen);
  };
}

type Key = readonly [number, object];

/** Draws a block; what was painted is kept for as long as its answer is, and painted again for other colours. */
function makePainter(): (
  context: CanvasRenderingContext2D,
  answer: Answer<Block>,
  windows: Sight,
  colours: (unit: number) => Uint32Array,
  key: Key,
) => void {
  const kept = new WeakMap<object, { key: string; how: Key; pixels: OffscreenCanvas }>();
  return (context, answer, { across, down }, colours, how) => {
    const { rows, columns, pool, shape, unit } = answer.reply;
    const ratio = context.getTransform().a;
    const shared = ([down.cell, across.cell] as const).map((cell, i) =>
      Math.max(1, Math.ceil(1 / (cell * ratio * (pool[i] ?? 1)) - 1e-6)),
    ) as [number, number];
    const key = String(shared);
    let found = kept.get(answer);
    if (!found || found.key !== key || found.how[0] !== how[0] || found.how[1] !== how[1]) {
      const cells: Cells = pooled({ shape, bits: bitsIn(answer) }, shared);
      found = { key, how, pixels: paint(cells, colours(unit)) };
      kept.set(answer, found);
    }
    const size = [pool[0] * shared[0] * down.cell, pool[1] * shared[1] * across.cell] as const;
    context.imageSmoothingEnabled = false;
    context.drawImage(
      found.pixels,
      (columns[0] - across.x) * across.cell,
      (rows[0] - down.x) * down.cell,
      found.pixels.width * size[1],
      found.pixels.height * size[0],
    );
  };
}

/** Columns and cells that stand out. */
function drawMarks(
  context: CanvasRenderingContext2D,
  { marks }: HeatmapOptions,
  plot: Frame,
  { across, down }: Sight,
  { ink, background }: Pen,
): void {
  const found = marks?.();
  if (!found) return;
  const x = (column: number): number => (column + 0.5 - across.x) * across.cell;
  const y = (row: number): number => (row + 0.5 - down.x) * down.cell;
  const isIn = (at: number, pixels: number): boolean => at >= 0 && at <= pixels;
  context.fillStyle = ink;
  const drawn = new Set<number>();
  for (const column of found.columns) {
    const at = plot.left + x(column);
    if (!isIn(x(column), plot.across.width) || drawn.has(Math.round(at))) continue;
    drawn.add(Math.round(at));
    context.beginPath();
    context.moveTo(at - 3, plot.top - MARKS + 1);
    context.lineTo(at + 3, plot.top - MARKS + 1);
    context.lineTo(at, plot.top - 2);
    context.fill();
  }
  for (const [row, column] of found.cells) {
    if (!(isIn(x(column), plot.across.width) && isIn(y(row), plot.down.width))) continue;
    const radius = Math.max(5, Math.min(across.cell, down.cell) / 2 + 1);
    for (const [colour, width] of [
      [background, 3],
      [ink, 1.25],
    ] as const) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.arc(plot.left + x(column), plot.top + y(row), radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }
  context.lineWidth = 1;
}

/** A tick beside each row and column that is marked, also of those whose names have no room. */
function drawTicks(
  context: CanvasRenderingContext2D,
  { rows, columns }: HeatmapOptions,
  plot: Frame,
  { across, down }: Sight,
  { accent }: Pen,
): void {
  context.fillStyle = accent;
  for (const row of rows.marked?.() ?? []) {
    const [y, high] = between(row, down, plot.down.width);
    context.fillRect(plot.left - TICK - 1, plot.top + y, TICK, high);
  }
  for (const column of columns.marked?.() ?? []) {
    const [x, wide] = between(column, across, plot.across.width);
    context.fillRect(plot.left + x, plot.top - TICK - 1, wide, TICK);
  }
}

/** Where a row or column begins and how far it goes, in pixels in sight. */
function between(at: number, { x, cell }: Sight["down"], room: number): [number, number] {
  const start = Math.max(0, (at - x) * cell);
  return [start, Math.max(0, Math.min(room, (at - x) * cell + Math.max(2, cell)) - start)];
}

/** Frame the row and the column in focus, and the pinned ones more strongly. */
function drawFocus(
  context: CanvasRenderingContext2D,
  { rows, columns }: HeatmapOptions,
  plot: Frame,
  { across, down }: Sight,
  { ink }: Pen,
): void {
  context.save();
  context.beginPath();
  context.rect(plot.left, plot.top, plot.across.width + 1, plot.down.width + 1);
  context.clip();
  context.translate(plot.left, plot.top);
  context.strokeStyle = ink;
  for (const [row, column, alpha] of [
    [rows.pinned(), columns.pinned(), 0.9],
    [rows.hovered(), columns.hovered(), 0.55],
  ] as const) {
    context.globalAlpha = alpha;
    if (row !== null) {
      const size = Math.max(down.cell, 3);
      context.strokeRect(0.5, Math.round((row - down.x) * down.cell) + 0.5, plot.across.width, size - 1);
    }
    if (column !== null) {
      const size = Math.max(across.cell, 3);
      context.strokeRect(Math.round((column - across.x) * across.cell) + 0.5, 0.5, size - 1, plot.down.width);
    }
  }
  context.restore();
}
