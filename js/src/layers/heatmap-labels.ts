// The names of a heat map's rows and columns: how much room they take, which of them have it, and drawing them.
// Required: what is pointed at and what is pinned has its name, whatever the scale; marked tokens are underlined.

import { fitted } from "../core/dom";
import { thousands } from "../core/words";
import type { Range } from "./cells";
import type { HeatmapOptions, Lines } from "./heatmap-options";
import { inSight, layOut, type Plot, type Sight } from "./looking";

const LONGEST_LABEL = 112;
const TALLEST_LABEL = 96;
/** A label needs this much room along its axis. */
const LABEL = 14;
/** And half its letters this much. */
const HALF = 4;
const TICKS = 18;
/** A number fits into a cell of this size. */
const NUMBER = 30;
/** Room for marks above the columns. */
export const MARKS = 8;

export interface Frame extends Plot {
  left: number;
  top: number;
}

type Measure = (labels: Iterable<string>) => number;

/** The width of the longest label; of many, those with the most letters are measured. */
export function measureIn(canvas: HTMLCanvasElement, font: string): Measure {
  return (labels) => {
    const context = canvas.getContext("2d");
    const all = [...labels];
    const some = all.length > 200 ? all.sort((a, b) => b.length - a.length).slice(0, 50) : all;
    if (!context) return Math.max(0, ...some.map((label) => 8 * label.length));
    context.save();
    context.font = `12px ${font || "sans-serif"}`;
    const found = some.map((label) => Math.ceil(context.measureText(label).width));
    context.restore();
    return Math.max(0, ...found);
  };
}

/** The names, and the places that stand for them where they are too close together. */
function* labelsOf({ count, label, isText }: Lines): Generator<string> {
  if (isText && count() > 0) yield thousands(count() - 1);
  for (let index = 0; index < count(); index++) yield label(index);
}

/** Room for the names, and the plot beside and below them. */
export function lay(options: HeatmapOptions, width: number, measure: Measure): Frame {
  const { rows, columns, isSquare = false, isWritten = false } = options;
  const left = Math.min(LONGEST_LABEL, width / 3, measure(labelsOf(rows))) + 8;
  const labels = columns.turned ? Math.min(TALLEST_LABEL, measure(labelsOf(columns))) + 8 : TICKS;
  const plot = layOut(
    rows.count(),
    columns.count(),
    width - left - 2,
    isSquare,
    isWritten ? NUMBER : undefined,
  );
  return { ...plot, left: Math.ceil(left), top: Math.ceil(labels + (options.marks ? MARKS : 0)) };
}

/** Indices that get a label: every one, or every so many, and those in focus, which push aside those after them. */
export function labelled(
  [from, to]: Range,
  cell: number,
  room: number,
  focus: readonly (number | null)[],
): number[] {
  const step = Math.max(1, Math.ceil(room / cell - 1e-6));
  const seen: number[] = [];
  for (const at of focus) {
    if (at !== null && at >= from && at < to && seen.every((other) => Math.abs(at - other) >= step))
      seen.push(at);
  }
  const some: number[] = [];
  for (let index = Math.ceil(from / step) * step; index < to; index += step) {
    if (seen.every((at) => Math.abs(at - index) >= step || at === index)) some.push(index);
  }
  return [...new Set([...some, ...seen])];
}

/** How a heat map is drawn, beside what it shows. */
export interface Pen {
  ink: string;
  background: string;
  accent: string;
  font: string;
}

export function drawLabels(
  context: CanvasRenderingContext2D,
  { rows, columns, marks }: HeatmapOptions,
  plot: Frame,
  windows: Sight,
  pen: Pen,
): void {
  const seen = inSight(plot, windows);
  context.font = `12px ${pen.font}`;
  /** Write a name and underline it where it is marked; to the left of here, to the right, or about it. */
  const write = (
    lines: Lines,
    index: number,
    cell: number,
    room: number,
    align: "left" | "right" | "center",
  ): void => {
    const isFocus = index === lines.hovered() || index === lines.pinned();
    // Of tokens far apart the position says more than the text.
    const isFar = cell < LABEL / 8 && lines.isText && !isFocus;
    const said = fitted(context, isFar ? thousands(index) : lines.label(index), room);
    context.textAlign = align;
    context.fillStyle = pen.ink;
    context.globalAlpha = isFocus ? 1 : 0.7;
    context.fillText(said, 0, 0);
    if (!lines.marked?.().has(index)) return;
    const { width } = context.measureText(said);
    context.fillStyle = pen.accent;
    context.globalAlpha = 1;
    context.fillRect(
      align === "left" ? 0 : align === "right" ? -width : -width / 2,
      6,
      width,
      index === lines.pinned() ? 3 : 2,
    );
  };
  const focus = (lines: Lines): (number | null)[] => [lines.hovered(), lines.pinned()];
  const { down, across } = windows;
  context.textBaseline = "middle";
  // Below the plot and to its right there is no room: a name there is left out, or moved if it has to be read.
  const within = (at: number, end: number, half: number, isFocus: boolean): number | null =>
    at <= end - half || isFocus ? Math.min(at, end - half) : null;
  for (const index of labelled(seen.rows, down.cell, LABEL, focus(rows))) {
    const end = plot.top + plot.down.width;
    const centre = plot.top + (index + 0.5 - down.x) * down.cell;
    if (centre < plot.top || centre > end) continue;
    const y = within(centre, end, HALF, focus(rows).includes(index));
    if (y === null) continue;
    context.save();
    context.translate(plot.left - 6, y);
    write(rows, index, down.cell, plot.left - 8, "right");
    context.restore();
  }
  const base = plot.top - (marks ? MARKS : 0) - 4;
  // What is not turned is numbers.
  const longest = context.measureText(String(columns.count() - 1)).width;
  const room = columns.turned ? LABEL : Math.max(24, longest) + 8;
  context.textBaseline = columns.turned ? "middle" : "alphabetic";
  for (const index of labelled(seen.columns, across.cell, room, focus(columns))) {
    const end = plot.left + plot.across.width;
    const centre = plot.left + (index + 0.5 - across.x) * across.cell;
    if (centre < plot.left || centre > end) continue;
    const half = columns.turned ? HALF : context.measureText(columns.label(index)).width / 2 - 2;
    const x = within(centre, end, half, focus(columns).includes(index));
    if (x === null) continue;
    context.save();
    context.translate(x, base);
    if (columns.turned) context.rotate(-Math.PI / 2);
    write(columns, index, across.cell, TALLEST_LABEL, columns.turned ? "left" : "center");
    context.restore();
  }
}
