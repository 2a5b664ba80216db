// A heat map of a matrix of any size, through a window: the part in sight is asked for, as it is or pooled.
// Required: every cell can be read by mouse and by keyboard; a cell that stands for several says so; colour is
// zero at the background and full at a value that the legend names.
//
// A panel gives names, a question and what to do; rows and columns are counted from 0 in the order drawn:
//
//   const map = heatmap({
//     name: () => "Cosine similarity: tokens down, tokens across",
//     rows: { count: () => n, label: (i) => text[i], hovered: () => focusedRow, pinned: () => pinnedRow },
//     columns: { ...the same },
//     question: (part) => ({ op, side, layer, ...part }),   // answered by asked_block of jtviz/views/blocks.py
//     limit: () => 1,
//     legend: () => "cosine similarity",
//     say: ({ row, column, value }) => `${text[row]} and ${text[column]}: ${value}`,
//     hover: (row, column) => ..., click: (row, column) => ...,
//     isSquare: true,
//   }, scene, abort);
//   panel.append(map.node);
//
// Options are called while the heat map is made, so they cannot read `map`. The reply to the question is what `asked_block` returns, and may say more: it is in `map.asked.answer`.

import { computed, type ReadonlySignal, signal } from "@preact/signals-core";
import { css } from "../core/colour";
import { fitted, h, onceAFrame, prepare, set, watch } from "../core/dom";
import { number, thousands } from "../core/words";
import { zoomTools } from "../parts/zoom";
import {
  type Block,
  bitsOf,
  type Cells,
  coloursOf,
  floatsOf,
  paint,
  pooled,
  type Range,
  valueAt,
} from "./cells";
import {
  around,
  canZoom,
  closer,
  everything,
  inSight,
  isZoomed,
  layOut,
  type Part,
  type Plot,
  partOf,
  reach,
  type Sight,
  within,
} from "./looking";
import { type Answer, type Asked, type Question, told } from "./questions";
import type { Scene } from "./scene";
import { writeNumbers } from "./written";

const LONGEST_LABEL = 112;
const TALLEST_LABEL = 96;
/** A label needs this much room along its axis. */
const LABEL = 14;
const TICKS = 18;
/** A number fits into a cell of this size. */
const NUMBER = 30;
/** Room for marks above the columns. */
const MARKS = 8;

export interface Lines {
  count(): number;
  label(index: number): string;
  /** What is pointed at, here or in another view, and what is pinned. */
  hovered(): number | null;
  pinned(): number | null;
}

/** A cell as it is read. */
export interface Reading {
  row: number;
  /** None where a row's label is pointed at. */
  column: number | null;
  /** None while it is on its way. */
  value: number | null;
  /** "largest of 2 × 3" where the number is of a cell that stands for several, else empty. */
  among: string;
}

export interface HeatmapOptions {
  /** What it is, what is down and what across. */
  name(): string;
  rows: Lines;
  /** `turned`: labels are words, and stand on their side. */
  columns: Lines & { turned?: boolean };
  /** What to ask for a part of the matrix, and with `exact` for a row as float32; null asks nothing. */
  question(part: Part & { exact?: true }): Question | null;
  /** The value that the full colour stands for; null while it is not known. */
  limit(): number | null;
  /** What colours are, in words. */
  legend(): string;
  /** Without negative values: the legend begins at zero. */
  isPositive?: boolean;
  /** Columns with a mark above, and cells with a ring, `[row, column]`. */
  marks?(): { columns: readonly number[]; cells: readonly (readonly [number, number])[] };
  /** As wide as high. */
  isSquare?: boolean;
  /** With the numbers in cells that have room for them. */
  isWritten?: boolean;
  /** What is called a row and a column, for the words below: "token", "dimension". */
  kinds: readonly [string, string];
  say(reading: Reading): string;
  /** What the status line says when nothing is pointed at. */
  hint: string;
  hover(row: number | null, column: number | null): void;
  click(row: number, column: number | null): void;
}

export interface Heatmap<T extends Block> {
  node: HTMLElement;
  /** The block, and whatever else its answer says. */
  asked: Asked<T>;
  /** Whether the block is of what is asked for now. */
  isCurrent: ReadonlySignal<boolean>;
  /** Bring a cell into the middle, large enough to read. */
  centre(row: number | null, column: number | null): void;
}

interface Frame extends Plot {
  left: number;
  top: number;
}

const NOWHERE: Part = { rows: [0, 0], columns: [0, 0], most: [0, 0] };

export function heatmap<T extends Block>(
  options: HeatmapOptions,
  scene: Scene,
  abort: AbortSignal,
): Heatmap<T> {
  const { rows, columns } = options;
  const canvas = h("canvas", { role: "img", tabindex: 0, class: "heatmap" });
  // Known once the canvas is in the page.
  const font = signal("");
  const frame = computed(() => lay(options, scene.width.value, measureIn(canvas, font.value)));
  const moved = signal<Sight | null>(null);
  const windows = computed(() => within(frame.value, moved.value ?? everything(frame.value)));
  const move = (to: Sight): void => {
    moved.value = isZoomed(frame.peek(), within(frame.peek(), to)) ? to : null;
  };
  const zoomBy = (factor: number, x = frame.peek().across.width / 2, y = frame.peek().down.width / 2): void =>
    move(closer(frame.peek(), windows.peek(), factor, x, y));

  // Compared as text, so that a window that moves a little asks nothing.
  const wanted = computed(() => JSON.stringify(partOf(frame.value, windows.value)));
  const part = computed(() => JSON.parse(wanted.value) as Part | null);
  const asked = scene.questions.about<T>(() => part.value && options.question(part.value), abort);
  const now = computed(() => JSON.stringify(options.question(NOWHERE)));
  const isCurrent = computed(() => {
    const question = asked.answer.value?.question;
    return question !== undefined && JSON.stringify({ ...question, ...NOWHERE }) === now.value;
  });
  // A row that is pointed at, to the last digit.
  const row = computed(() => rows.hovered() ?? rows.pinned());
  const column = computed(() => columns.hovered() ?? (rows.hovered() === null ? columns.pinned() : null));
  const line = scene.questions.about<Block>(() => {
    const count = columns.count();
    if (row.value === null || row.value >= rows.count() || !isCurrent.value) return null;
    const own: Range = [row.value, row.value + 1];
    return options.question({ rows: own, columns: [0, count], most: [1, count], exact: true });
  }, abort);

  const read = (at: number, across: number | null): Reading => {
    const reading: Reading = { row: at, column: across, value: null, among: "" };
    const answer = asked.answer.value;
    const exact = line.answer.value;
    if (across === null || !isCurrent.value || !answer) return reading;
    if (exact && exact.reply.rows[0] === at && isOf(exact.question, now.value)) {
      return { ...reading, value: exactly(exact)[across] ?? null };
    }
    const [down, wide] = answer.reply.pool;
    const among = down * wide > 1 ? `largest of ${down} × ${wide}` : "";
    return { ...reading, value: valueAt(answer.reply, bitsIn(answer), at, across), among };
  };

  const painter = makePainter();
  const again = onceAFrame(() => {
    if (!abort.aborted) draw();
  });
  const draw = (): void => {
    font.value = getComputedStyle(canvas).fontFamily;
    const plot = frame.peek();
    const context = prepare(canvas, plot.left + plot.across.width + 1, plot.top + plot.down.width + 1);
    const answer = asked.answer.peek();
    const limit = options.limit();
    const { background, ink } = scene.theme.peek();
    context.save();
    context.translate(plot.left, plot.top);
    context.beginPath();
    context.rect(0, 0, plot.across.width, plot.down.width);
    context.clip();
    context.fillStyle = css(background);
    context.fillRect(0, 0, plot.across.width, plot.down.width);
    const isFitting =
      answer && answer.reply.rows[1] <= rows.count() && answer.reply.columns[1] <= columns.count();
    if (answer && isFitting && limit !== null) {
      painter(context, answer, windows.peek(), (unit) => coloursOf(unit, limit, scene.ramp.peek()), [
        limit,
        scene.ramp.peek(),
      ]);
      if (options.isWritten) {
        const how = { limit, ramp: scene.ramp.peek(), font: font.peek() };
        writeNumbers(context, answer.reply, bitsIn(answer), windows.peek(), how);
      }
    }
    context.restore();
    context.strokeStyle = css(ink);
    context.globalAlpha = 0.25;
    context.strokeRect(plot.left + 0.5, plot.top + 0.5, plot.across.width, plot.down.width);
    context.globalAlpha = 1;
    drawLabels(context, options, plot, windows.peek(), css(ink), font.peek());
    drawMarks(context, options, plot, windows.peek(), css(ink), css(background));
    outline(context, options, plot, windows.peek(), css(ink));
  };
  watch(abort, () => {
    frame.value;
    windows.value;
    asked.answer.value;
    isCurrent.value;
    scene.theme.value;
    scene.ramp.value;
    options.limit();
    options.marks?.();
    rows.hovered();
    rows.pinned();
    columns.hovered();
    columns.pinned();
    again();
  });
  watch(abort, () => {
    const keys = "arrow keys move from cell to cell, plus and minus zoom, Enter pins";
    set(canvas, "aria-label", `${options.name()}: ${rows.count()} by ${columns.count()}; ${keys}`);
  });

  const tools = zoomTools(zoomBy, () => move(everything(frame.peek())), abort);
  watch(abort, () => tools.classList.toggle("idle", !canZoom(frame.value)));
  listen(canvas, { options, frame: () => frame.peek(), windows: () => windows.peek(), move, zoomBy }, abort);

  const status = h("div", { role: "status", class: "status" });
  watch(abort, () => {
    const said = row.value === null ? options.hint : options.say(read(row.value, column.value));
    set(status, "aria-live", canvas.matches(":hover, :focus") ? "polite" : "off");
    if (status.textContent !== said) status.textContent = said;
  });
  const waiting = told(asked, "reading the numbers", abort);
  const node = h(
    "div",
    { class: "heat" },
    h("div", { class: "line heat-tools" }, tools, waiting),
    canvas,
    legend(
      options,
      scene,
      () => sighted(options, frame.value, windows.value, asked.answer.value?.reply),
      abort,
    ),
    status,
  );
  return {
    node,
    asked,
    isCurrent,
    centre: (at, across) => move(around(frame.peek(), windows.peek(), at, across)),
  };
}

const isOf = (question: Question, now: string): boolean => {
  const { exact: _, ...rest } = question;
  return JSON.stringify({ ...rest, ...NOWHERE }) === now;
};

type Measure = (labels: Iterable<string>) => number;

/** The width of the longest label; of many, those with the most letters are measured. */
function measureIn(canvas: HTMLCanvasElement, font: string): Measure {
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

function* labelsOf({ count, label }: Lines): Generator<string> {
  for (let index = 0; index < count(); index++) yield label(index);
}

function lay(options: HeatmapOptions, width: number, measure: Measure): Frame {
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

const bits = new WeakMap<object, Uint16Array>();
const floats = new WeakMap<object, Float32Array>();

function bitsIn(answer: Answer<Block>): Uint16Array {
  let found = bits.get(answer);
  if (!found) {
    found = answer.buffers[0] ? bitsOf(answer.buffers[0]) : new Uint16Array(0);
    bits.set(answer, found);
  }
  return found;
}

function exactly(answer: Answer<Block>): Float32Array {
  let found = floats.get(answer);
  if (!found) {
    found = answer.buffers[0] ? floatsOf(answer.buffers[0]) : new Float32Array(0);
    floats.set(answer, found);
  }
  return found;
}

/** Indices that get a label: every one, or every so many, and those in focus, which push others aside. */
function labelled(
  [from, to]: Range,
  cell: number,
  room: number,
  focus: readonly (number | null)[],
): number[] {
  const step = Math.max(1, Math.ceil(room / cell - 1e-6));
  const seen = focus.filter((at): at is number => at !== null && at >= from && at < to);
  const some: number[] = [];
  for (let index = Math.ceil(from / step) * step; index < to; index += step) {
    if (seen.every((at) => Math.abs(at - index) >= step || at === index)) some.push(index);
  }
  return [...new Set([...some, ...seen])];
}

function drawLabels(
  context: CanvasRenderingContext2D,
  { rows, columns, marks }: HeatmapOptions,
  plot: Frame,
  windows: Sight,
  ink: string,
  font: string,
): void {
  const seen = inSight(plot, windows);
  context.font = `12px ${font}`;
  context.fillStyle = ink;
  const focus = (lines: Lines): (number | null)[] => [lines.hovered(), lines.pinned()];
  const fade = (index: number, of: readonly (number | null)[]): void => {
    context.globalAlpha = of.includes(index) ? 1 : 0.7;
  };
  context.textAlign = "right";
  context.textBaseline = "middle";
  const { down, across } = windows;
  const own = focus(rows);
  for (const index of labelled(seen.rows, down.cell, LABEL, own)) {
    const y = plot.top + (index + 0.5 - down.x) * down.cell;
    if (y < plot.top || y > plot.top + plot.down.width) continue;
    fade(index, own);
    context.fillText(fitted(context, rows.label(index), plot.left - 8), plot.left - 6, y);
  }
  const others = focus(columns);
  const base = plot.top - (marks ? MARKS : 0) - 4;
  const some = [seen.columns[0], seen.columns[1] - 1].map((i) => context.measureText(columns.label(i)).width);
  const room = columns.turned ? LABEL : Math.max(24, ...some) + 8;
  context.textBaseline = columns.turned ? "middle" : "alphabetic";
  for (const index of labelled(seen.columns, across.cell, room, others)) {
    const x = plot.left + (index + 0.5 - across.x) * across.cell;
    if (x < plot.left || x > plot.left + plot.across.width) continue;
    fade(index, others);
    context.save();
    context.translate(x, base);
    context.textAlign = columns.turned ? "left" : "center";
    if (columns.turned) context.rotate(-Math.PI / 2);
    context.fillText(fitted(context, columns.label(index), TALLEST_LABEL), 0, 0);
    context.restore();
  }
  context.globalAlpha = 1;
}

function drawMarks(
  context: CanvasRenderingContext2D,
  { marks }: HeatmapOptions,
  plot: Frame,
  { across, down }: Sight,
  ink: string,
  background: string,
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

/** Frame the row and the column in focus, and the pinned ones more strongly. */
function outline(
  context: CanvasRenderingContext2D,
  { rows, columns }: HeatmapOptions,
  plot: Frame,
  { across, down }: Sight,
  ink: string,
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

/** Which part is in sight, and how many numbers a cell stands for. */
function sighted(
  { rows, columns, kinds }: HeatmapOptions,
  plot: Frame,
  windows: Sight,
  block?: Block,
): string {
  const seen = inSight(plot, windows);
  const range = ([from, to]: Range, count: number, kind: string): string =>
    from === 0 && to === count
      ? `${count === 1 ? "" : "all "}${thousands(count)} ${kind}${count === 1 ? "" : "s"}`
      : `${kind}s ${thousands(from)} to ${thousands(to - 1)} of ${thousands(count)}`;
  const ratio = Math.max(1, globalThis.devicePixelRatio || 1);
  const pools = ([windows.down.cell, windows.across.cell] as const).map((cell, i) => {
    const pool = block?.pool[i] ?? 1;
    return pool * Math.max(1, Math.ceil(1 / (cell * ratio * pool) - 1e-6));
  });
  const [down = 1, across = 1] = pools;
  const among = down * across > 1 ? ` · a pixel is the largest of ${down} × ${across}` : "";
  const part = `${range(seen.rows, rows.count(), kinds[0])}, ${range(seen.columns, columns.count(), kinds[1])}`;
  return `${part}${among}`;
}

/** What colours are, from the negative limit to the limit, and what is in sight. */
function legend(options: HeatmapOptions, scene: Scene, part: () => string, abort: AbortSignal): HTMLElement {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  const [least, most, words, range] = [
    h("span"),
    h("span"),
    h("span", { class: "words" }),
    h("span", { class: "sighted" }),
  ];
  watch(abort, () => {
    const limit = options.limit();
    const { colours, negative } = scene.ramp.value;
    const stops = Array.from({ length: 9 }, (_, i) => css(colours[Math.round((255 * i) / 8)] ?? [0, 0, 0]));
    const below = Array.from({ length: 9 }, (_, i) =>
      css(negative[Math.round((255 * (8 - i)) / 8)] ?? [0, 0, 0]),
    );
    bar.style.background = `linear-gradient(to right, ${[...(options.isPositive ? [] : below), ...stops].join(", ")})`;
    least.textContent = limit === null ? "" : options.isPositive ? "0" : number(-limit);
    most.textContent = limit === null ? "" : number(limit);
    words.textContent = options.legend();
  });
  watch(abort, () => {
    range.textContent = part();
  });
  const scale = h("span", { class: "scale" }, least, bar, most);
  return h("div", { class: "legend" }, scale, words, range);
}

interface Moves {
  options: HeatmapOptions;
  frame(): Frame;
  windows(): Sight;
  move(to: Sight): void;
  zoomBy(factor: number, x?: number, y?: number): void;
}

/** Point to read, click to pin, drag to move, Control and wheel (or a pinch) or a double click to zoom. */
function listen(canvas: HTMLCanvasElement, moves: Moves, abort: AbortSignal): void {
  const { options } = moves;
  const heard = { signal: abort };
  let drag: { x: number; y: number; from: Sight; isMoved: boolean } | null = null;
  const point = (event: MouseEvent): [number, number] => {
    const box = canvas.getBoundingClientRect();
    const { left, top } = moves.frame();
    return [event.clientX - box.left - left, event.clientY - box.top - top];
  };
  const at = (event: MouseEvent): { row: number | null; column: number | null } => {
    const [x, y] = point(event);
    const { across, down } = moves.windows();
    const plot = moves.frame();
    const row = Math.floor(down.x + y / down.cell);
    const column = Math.floor(across.x + x / across.cell);
    const isRow = y >= 0 && y < plot.down.width && row < options.rows.count();
    const isColumn = isRow && x >= 0 && x < plot.across.width && column < options.columns.count();
    return { row: isRow ? row : null, column: isColumn ? column : null };
  };
  canvas.addEventListener(
    "pointerdown",
    (event) => {
      if (event.button === 0)
        drag = { x: event.clientX, y: event.clientY, from: moves.windows(), isMoved: false };
    },
    heard,
  );
  canvas.addEventListener(
    "pointermove",
    (event) => {
      const [dx, dy] = drag && event.buttons ? [event.clientX - drag.x, event.clientY - drag.y] : [0, 0];
      if (drag && isZoomed(moves.frame(), moves.windows()) && (drag.isMoved || Math.hypot(dx, dy) > 4)) {
        if (!drag.isMoved) canvas.setPointerCapture(event.pointerId);
        drag.isMoved = true;
        const { across, down } = drag.from;
        moves.move({
          across: { ...across, x: across.x - dx / across.cell },
          down: { ...down, x: down.x - dy / down.cell },
        });
      } else {
        const { row, column } = at(event);
        options.hover(row, column);
      }
    },
    heard,
  );
  const leave = (): void => options.hover(null, null);
  canvas.addEventListener("pointerleave", leave, heard);
  canvas.addEventListener("blur", leave, heard);
  canvas.addEventListener(
    "click",
    (event) => {
      const wasDragged = drag?.isMoved;
      drag = null;
      const { row, column } = at(event);
      // The second click of two zooms, and must leave pinned what the first one pinned.
      if (!wasDragged && row !== null && event.detail < 2) options.click(row, column);
    },
    heard,
  );
  canvas.addEventListener("dblclick", (event) => moves.zoomBy(2, ...point(event)), heard);
  canvas.addEventListener(
    "wheel",
    (event) => {
      // A plain wheel scrolls the notebook.
      if (!(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      moves.zoomBy(2 ** (-event.deltaY / 200), ...point(event));
    },
    { ...heard, passive: false },
  );
  canvas.addEventListener("keydown", (event) => byKey(event, moves), heard);
}

const STEPS: Record<string, [number, number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

/** Walk from cell to cell, with Shift by ten; zoom; pin. */
function byKey(event: KeyboardEvent, moves: Moves): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { options } = moves;
  const { rows, columns } = options;
  const seen = inSight(moves.frame(), moves.windows());
  const row = rows.hovered() ?? rows.pinned();
  const column = columns.hovered() ?? columns.pinned();
  const step = STEPS[event.key];
  if (step) {
    const walk = (from: number | null, by: number, first: number, count: number): number =>
      Math.max(0, Math.min(count - 1, from === null ? first : from + by * (event.shiftKey ? 10 : 1)));
    const to = [
      walk(row, step[0], seen.rows[0], rows.count()),
      walk(column, step[1], seen.columns[0], columns.count()),
    ] as const;
    options.hover(...to);
    moves.move(reach(moves.frame(), moves.windows(), ...to));
  } else if (event.key === "Enter" && row !== null) options.click(row, column);
  else if (event.key === "+" || event.key === "=") moves.zoomBy(2);
  else if (event.key === "-") moves.zoomBy(0.5);
  else if (event.key === "0") moves.move(everything(moves.frame()));
  else return;
  event.preventDefault();
  event.stopPropagation();
}
