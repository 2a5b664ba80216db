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
// Options are called while the heat map is made, so they cannot read `map`. The reply to the
// question is what `asked_block` returns, and may say more: it is in `map.asked.answer`.

import { computed, signal } from "@preact/signals-core";
import { h, onceAFrame, set, watch } from "../core/dom";
import { zoomTools } from "../parts/zoom";
import type { Block } from "./cells";
import { makeDrawing } from "./heatmap-drawing";
import { lay, measureIn } from "./heatmap-labels";
import { legend, sighted } from "./heatmap-legend";
import { listen } from "./heatmap-moves";
import type { HeatmapOptions } from "./heatmap-options";
import { type Read, reading } from "./heatmap-reading";
import { around, canZoom, closer, everything, isZoomed, partOf, type Sight, within } from "./looking";
import { told } from "./questions";
import type { Scene } from "./scene";

export interface Heatmap<T extends Block> extends Pick<Read<T>, "asked" | "isCurrent"> {
  node: HTMLElement;
  /** Bring a cell into the middle, large enough to read. */
  centre(row: number | null, column: number | null): void;
}

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
  const { asked, isCurrent, focus } = reading<T>(
    options,
    () => partOf(frame.value, windows.value),
    scene,
    abort,
  );

  const draw = makeDrawing(canvas, options);
  const again = onceAFrame(() => {
    if (abort.aborted) return;
    font.value = getComputedStyle(canvas).fontFamily;
    draw({
      plot: frame.peek(),
      windows: windows.peek(),
      answer: asked.answer.peek(),
      theme: scene.theme.peek(),
      ramp: scene.ramp.peek(),
      font: font.peek(),
    });
  });
  watch(abort, () => {
    frame.value;
    windows.value;
    asked.answer.value;
    isCurrent.value;
    scene.theme.value;
    scene.ramp.value;
    options.limit();
    options.marks?.();
    for (const lines of [rows, columns]) {
      lines.hovered();
      lines.pinned();
      lines.marked?.();
    }
    again();
  });
  watch(abort, () => {
    const keys = "arrow keys move from cell to cell, plus and minus zoom, Enter pins";
    const count = rows.marked?.().size ?? 0;
    const marked = count > 0 ? `; marked: ${count} ${options.kinds[0]}${count === 1 ? "" : "s"}` : "";
    set(canvas, "aria-label", `${options.name()}: ${rows.count()} by ${columns.count()}; ${keys}${marked}`);
  });
  listen(canvas, { options, frame: () => frame.peek(), windows: () => windows.peek(), move, zoomBy }, abort);

  const tools = zoomTools(zoomBy, () => move(everything(frame.peek())), abort);
  watch(abort, () => {
    tools.hidden = !canZoom(frame.value);
  });
  const status = h("div", { role: "status", class: "status" });
  watch(abort, () => {
    const said = focus.value === null ? options.hint : options.say(focus.value);
    set(status, "aria-live", canvas.matches(":hover, :focus") ? "polite" : "off");
    if (status.textContent !== said) status.textContent = said;
  });
  const part = (): string => sighted(options, frame.value, windows.value, asked.answer.value?.reply);
  const waiting = told(asked, "reading …", abort);
  return {
    node: h("div", { class: "heat" }, tools, canvas, legend(options, scene, part, waiting, abort), status),
    asked,
    isCurrent,
    centre: (at, across) => move(around(frame.peek(), windows.peek(), at, across)),
  };
}
