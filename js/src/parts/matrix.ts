// The heat map of what is shown: queries down, keys across, from a few tokens to 131,072.
// Required: it always says what part it shows; a frame draws only what is here.

import { computed, signal, untracked } from "@preact/signals-core";
import { css } from "../core/colour";
import { h, onceAFrame, prepare, watch } from "../core/dom";
import { centre, type Grid, inside, levelOf, sight, type Window, whole, zoom } from "../core/grid";
import { blindPatches, type Colouring, paint, patchesOf, strongestIn, tableFor } from "../core/paint";
import { marksOn } from "../core/token";
import { type Pins, ROLES, type Role } from "../core/types";
import { headsInWords, thousands, weightInWords } from "../core/words";
import { ROOM, write } from "./figures";
import { minimap } from "./minimap";
import { explain, type Picture, placed, type Scene } from "./picture";
import { TokenList } from "./tokens";
import { zoomTools } from "./zoom";

const LARGEST = 30;
const TALLEST = 640;
/** A label needs this much room: where cells are smaller, only some have theirs, and those in focus. */
const LABEL = 12;
const LONGEST_LABEL = 112;
const TITLE = 20;

interface Plot extends Grid {
  /** Pixels of the labels. */
  left: number;
  top: number;
}

export const matrix: Picture = (scene, abort) => {
  const canvas = h("canvas", { role: "img", tabindex: -1 });
  const nodes = {
    query: h("div", { class: "labels queries", role: "group" }),
    key: h("div", { class: "labels keys", role: "group" }),
  };
  const lists = [
    new TokenList(scene, "query", nodes.query, abort),
    new TokenList(scene, "key", nodes.key, abort),
  ];
  const titleKey = h("div", { class: "axis key", "aria-hidden": "true" }, "key");
  const titleQuery = h("div", { class: "axis query", "aria-hidden": "true" }, "query");
  const plot = h("div", { class: "plot" }, titleKey, titleQuery, nodes.key, nodes.query, canvas);
  const measure = measureIn(scene.root, canvas);
  const grid = computed(() =>
    layOut(scene.width.value, lists[0]?.labels ?? [], lists[1]?.labels ?? [], measure),
  );
  const moved = signal<Window>({ x: 0, y: 0, cell: 0 });
  const window = computed(() => inside(grid.value, moved.value));
  const move = (to: Window): void => {
    moved.value = to.cell <= grid.peek().least ? whole(grid.peek()) : to;
  };
  const map = minimap(scene, grid, window, move, abort);
  const zoomBy = (factor: number, x = grid.peek().width / 2, y = grid.peek().height / 2): void =>
    move(zoom(grid.peek(), window.peek(), factor, x, y));
  const tools = zoomTools(zoomBy, () => move(whole(grid.peek())), abort);
  plot.append(h("div", { class: "tools" }, tools, map));
  watch(abort, () => {
    const { left, top, width, height, most, least } = grid.value;
    for (const [name, pixels] of Object.entries({ left, top, width, height, cell: window.value.cell })) {
      plot.style.setProperty(`--${name}`, `${pixels}px`);
    }
    tools.hidden = most <= least;
  });
  watch(abort, () => {
    scene.shown.value;
    const pins = [scene.selection.pinned.value, scene.selection.hovered.value].map((p) => placed(scene, p));
    const { cell, x, y } = window.value;
    const { rows, columns } = sight(grid.value, window.value);
    for (const [i, list] of lists.entries()) {
      const focus = pins.map((p) => p[list.role]);
      const [from, to] = i === 0 ? rows : columns;
      const at = i === 0 ? y : x;
      const isInside = (index: number): boolean => {
        const middle = (index + 0.5 - at) * cell;
        return middle >= 0 && middle <= (i === 0 ? grid.value.height : grid.value.width);
      };
      list.show(labelled(from, to, cell, focus).filter(isInside));
      for (const [index, button] of list.buttons) {
        button.style.setProperty("--at", String(index - at));
        // Of tokens far apart the position says more than the text.
        const isFar = cell < LABEL / 8 && !focus.includes(index);
        const name = isFar ? thousands(index) : (list.labels[index] ?? "");
        if (button.textContent !== name) button.textContent = name;
      }
    }
  });
  watch(abort, () => {
    const { query, key } = placed(scene, scene.target.value);
    if (query !== null || key !== null) move(centre(grid.peek(), window.peek(), query, key));
  });

  const again = onceAFrame(() => {
    if (!abort.aborted) draw(scene, canvas, grid.peek(), window.peek());
  });
  watch(abort, () => {
    window.value;
    scene.theme.value;
    scene.shown.value;
    scene.selection.focus.value;
    scene.selection.pinned.value;
    scene.selection.marked.value;
    again();
  });
  listen(scene, canvas, { grid: () => grid.peek(), window: () => window.peek(), move, zoomBy }, abort);
  return h("div", { class: "matrix" }, plot);
};

interface Moves {
  grid: () => Grid;
  window: () => Window;
  move: (to: Window) => void;
  zoomBy: (factor: number, x?: number, y?: number) => void;
}

/** Point to read, click to pin, drag to move, Control and wheel (or a pinch) or a double click to zoom. */
function listen(scene: Scene, canvas: HTMLCanvasElement, moves: Moves, abort: AbortSignal): void {
  const { selection } = scene;
  const options = { signal: abort };
  let drag: { x: number; y: number; window: Window; moved: boolean } | null = null;
  const at = (event: MouseEvent): { query: number; key: number } => {
    const box = canvas.getBoundingClientRect();
    const { x, y, cell } = moves.window();
    const { query, key } = scene.shown.peek();
    const of = (value: number, count: number): number => Math.max(0, Math.min(count - 1, Math.floor(value)));
    return {
      query: query.first(of(y + (event.clientY - box.top) / cell, query.size)),
      key: key.first(of(x + (event.clientX - box.left) / cell, key.size)),
    };
  };
  canvas.addEventListener(
    "pointerdown",
    (event) => {
      if (event.button === 0)
        drag = { x: event.clientX, y: event.clientY, window: moves.window(), moved: false };
    },
    options,
  );
  canvas.addEventListener(
    "pointermove",
    (event) => {
      const [dx, dy] = drag ? [event.clientX - drag.x, event.clientY - drag.y] : [0, 0];
      const isZoomed = moves.window().cell > moves.grid().least;
      if (drag && isZoomed && (drag.moved || Math.hypot(dx, dy) > 4)) {
        if (!drag.moved) canvas.setPointerCapture(event.pointerId);
        drag.moved = true;
        const { x, y, cell } = drag.window;
        moves.move({ x: x - dx / cell, y: y - dy / cell, cell });
      } else selection.hover(at(event));
    },
    options,
  );
  canvas.addEventListener("pointerleave", () => selection.hover({ query: null, key: null }), options);
  canvas.addEventListener(
    "click",
    (event) => {
      const wasDragged = drag?.moved;
      drag = null;
      if (wasDragged) return;
      const cell = at(event);
      const { query, key } = selection.pinned.peek();
      const isPinned = cell.query === query && cell.key === key;
      selection.choose({ pinned: isPinned ? { query: null, key: null } : cell });
    },
    options,
  );
  const point = (event: MouseEvent): [number, number] => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("dblclick", (event) => moves.zoomBy(2, ...point(event)), options);
  canvas.addEventListener(
    "wheel",
    (event) => {
      const { x, y, cell } = moves.window();
      // A plain wheel scrolls the notebook.
      if (event.ctrlKey || event.metaKey) moves.zoomBy(2 ** (-event.deltaY / 200), ...point(event));
      else if (event.shiftKey && cell > moves.grid().least) {
        moves.move({ x: x + (event.deltaX || event.deltaY) / cell, y, cell });
      } else return;
      event.preventDefault();
    },
    { ...options, passive: false },
  );
}

/** Fit the plot to the width: square cells, as large as legible. */
function layOut(width: number, rows: readonly string[], columns: readonly string[], measure: Measure): Plot {
  const left = TITLE + Math.min(LONGEST_LABEL, longest(rows, measure) + 12);
  const top = TITLE + Math.min(LONGEST_LABEL, longest(columns, measure) + 12);
  const room = Math.max(1, width - left);
  const fit = Math.min(LARGEST, room / Math.max(1, columns.length), TALLEST / Math.max(1, rows.length));
  const least = fit >= 2 ? Math.floor(fit) : fit;
  return {
    rows: rows.length,
    columns: columns.length,
    left,
    top,
    width: least * columns.length,
    height: least * rows.length,
    least,
    most: least >= LABEL ? least : LARGEST,
  };
}

/** Which tokens get a label: every one, or every so many and those in focus, which push others aside. */
function labelled(from: number, to: number, cell: number, focus: readonly (number | null)[]): number[] {
  const step = cell >= LABEL - 2 ? 1 : Math.ceil(LABEL / cell);
  const inSight = focus.filter((at): at is number => at !== null && at >= from && at < to);
  const some: number[] = [];
  for (let index = Math.ceil(from / step) * step; index < to; index += step) {
    if (step === 1 || inSight.every((at) => Math.abs(at - index) >= step)) some.push(index);
  }
  return [...some, ...inSight];
}

type Measure = (label: string) => number;

/** Of many labels the longest by their letters are measured, not all. */
function longest(labels: readonly string[], measure: Measure): number {
  const some = labels.length > 200 ? [...labels].sort((a, b) => b.length - a.length).slice(0, 50) : labels;
  return some.reduce((most, label) => Math.max(most, measure(label)), 0);
}

/** Width of a label in the font that labels are set in. */
function measureIn(node: HTMLElement, canvas: HTMLCanvasElement): Measure {
  const context = canvas.getContext("2d");
  return (label) => {
    if (!context) return label.length * 8;
    context.font = `12px ${getComputedStyle(node).fontFamily}`;
    return Math.ceil(context.measureText(label).width);
  };
}

function draw(scene: Scene, canvas: HTMLCanvasElement, grid: Grid, window: Window): void {
  const shown = scene.shown.peek();
  const { tiles } = scene;
  const { x, y, cell } = window;
  const { scale, per, threshold, pool, show_mask } = shown.chosen;
  const context = prepare(canvas, grid.width, grid.height);
  context.fillStyle = css(scene.theme.peek().background);
  context.fillRect(0, 0, grid.width, grid.height);
  const patches = shown.members.length > 0 ? patchesOf(tiles, shown, grid, window) : [];
  const level = levelOf(cell);
  // What is coarser only fills in: the full colour is of what is in sight.
  const fine = patches.filter((patch) => patch.level === level);
  const max = strongestIn(fine.length > 0 ? fine : patches);
  const how: Colouring = {
    ramp: scene.ramp.peek(),
    table: tableFor(scale, fine.length > 0 ? fine : patches, max),
    max,
    threshold,
    perRow: per === "row",
  };
  const put = (pixels: OffscreenCanvas, level: number, row: number, column: number, on = context): void => {
    const size = cell * 2 ** level;
    on.imageSmoothingEnabled = size * (globalThis.devicePixelRatio || 1) < 1;
    on.drawImage(pixels, (column - x) * cell, (row - y) * cell, pixels.width * size, pixels.height * size);
  };
  for (const patch of patches) put(paint(patch, how), patch.level, patch.row, patch.column);
  if (shown.chosen.annotate && cell >= ROOM && level === 0) {
    write(context, fine, how, window, [grid.width, grid.height], getComputedStyle(scene.root).fontFamily);
  }
  const blindSpots = show_mask ? blindPatches(tiles, shown, grid, window) : [];
  if (blindSpots.length > 0) {
    hatch(context, canvas, scene, (on) => {
      for (const patch of blindSpots) put(blind(patch.tile), patch.level, patch.row, patch.column, on);
    });
  }
  outline(scene, context, grid, window);
  const { rows, columns } = sight(grid, window);
  const isAll = cell <= grid.least;
  const range = ([from, to]: [number, number], count: number): string =>
    `${thousands(from)} to ${thousands(to - 1)} of ${thousands(count)}`;
  const part = isAll
    ? grid.rows > 64 || level > 0
      ? `, all ${thousands(grid.rows)} × ${thousands(grid.columns)} ${shown.chosen.unit}s`
      : ""
    : `, queries ${range(rows, grid.rows)}, keys ${range(columns, grid.columns)}`;
  const pooled = level > 0 ? `, pooled ${2 ** level} × ${2 ** level}, ${pool}` : "";
  const some = fine.find(({ tile }) => tile.info["sampled"])?.tile.info;
  const sampled = some ? (some["later"] ? ", sampled until it is computed" : ", sampled") : "";
  const coloured = `${scale === "linear" ? "" : `, ${scale} scale`}${per === "row" ? ", each row to its largest" : ""}`;
  const words = `${weightInWords(shown)}, ${headsInWords(shown)}; each row is one query${coloured}${part}${pooled}${sampled}`;
  canvas.setAttribute("aria-label", `Heat map of ${words}: ${grid.rows} queries by ${grid.columns} keys`);
  explain(scene, words, patches.length > 0 ? max : null);
}

const blinds = new WeakMap<object, OffscreenCanvas>();

/** What cannot be looked at, opaque. */
function blind({ data, shape }: { data: ArrayLike<number> & object; shape: number[] }): OffscreenCanvas {
  let canvas = blinds.get(data);
  if (!canvas) {
    const [height = 1, width = 1] = shape;
    const image = new ImageData(width, height);
    for (let i = 0; i < data.length; i++) image.data[4 * i + 3] = data[i] ? 255 : 0;
    canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d")?.putImageData(image, 0, 0);
    blinds.set(data, canvas);
  }
  return canvas;
}

/** Kept from frame to frame: making canvases costs more than drawing on them. */
const drawing: { layer?: OffscreenCanvas; stripes?: OffscreenCanvas; ink?: string } = {};

function stripesOf(ink: string): OffscreenCanvas {
  if (drawing.stripes && drawing.ink === ink) return drawing.stripes;
  const stripes = new OffscreenCanvas(6, 6);
  const pen = stripes.getContext("2d");
  if (pen) {
    pen.strokeStyle = ink;
    pen.globalAlpha = 0.22;
    pen.beginPath();
    for (const at of [-3, 3, 9]) {
      pen.moveTo(at - 1, 7);
      pen.lineTo(at + 7, -1);
    }
    pen.stroke();
  }
  Object.assign(drawing, { stripes, ink });
  return stripes;
}

/** Hatch what `shape` covers. */
function hatch(
  context: CanvasRenderingContext2D,
  { width, height }: HTMLCanvasElement,
  scene: Scene,
  shape: (on: CanvasRenderingContext2D) => void,
): void {
  drawing.layer ??= new OffscreenCanvas(width, height);
  const { layer } = drawing;
  if (layer.width !== width || layer.height !== height) Object.assign(layer, { width, height });
  const on = layer.getContext("2d") as unknown as CanvasRenderingContext2D | null;
  if (!on) return;
  on.resetTransform();
  on.globalCompositeOperation = "copy";
  on.fillStyle = "transparent";
  on.fillRect(0, 0, width, height);
  on.globalCompositeOperation = "source-over";
  on.setTransform(context.getTransform());
  shape(on);
  on.resetTransform();
  on.globalCompositeOperation = "source-in";
  on.fillStyle = on.createPattern(stripesOf(css(scene.theme.peek().ink)), "repeat") ?? "transparent";
  on.fillRect(0, 0, width, height);
  context.save();
  context.resetTransform();
  context.drawImage(layer, 0, 0);
  context.restore();
}

/** Mark the row and the column in focus, and the pinned ones more strongly. */
function outline(scene: Scene, context: CanvasRenderingContext2D, grid: Grid, { x, y, cell }: Window): void {
  const { ink } = scene.theme.peek();
  const { pinned, hovered } = scene.selection;
  context.strokeStyle = css(ink);
  context.lineWidth = 1;
  const box = (pins: Pins, role: Role): void => {
    const index = pins[role];
    if (index === null) return;
    const size = Math.max(cell, 3);
    const at = (index - (role === "query" ? y : x)) * cell + 0.5;
    if (role === "query") context.strokeRect(0.5, at, grid.width - 1, size - 1);
    else context.strokeRect(at, 0.5, size - 1, grid.height - 1);
  };
  // Ticks of marked tokens, also of those whose names have no room.
  context.fillStyle = getComputedStyle(scene.root).getPropertyValue("--accent");
  for (const role of ROLES) {
    const axis = scene.shown.peek()[role];
    for (const index of untracked(() => marksOn(scene.selection, scene.shown.peek().stage[role], axis))) {
      const at = (index - (role === "query" ? y : x)) * cell;
      if (role === "query") context.fillRect(0, at, 3, Math.max(1, cell));
      else context.fillRect(at, 0, Math.max(1, cell), 3);
    }
  }
  for (const [pins, alpha] of [
    [pinned.peek(), 0.9],
    [hovered.peek(), 0.55],
  ] as const) {
    context.globalAlpha = alpha;
    const at = placed(scene, pins);
    box(at, "query");
    box(at, "key");
  }
  context.globalAlpha = 1;
}
