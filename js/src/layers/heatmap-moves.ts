// A heat map by mouse and keyboard: what is pointed at, what is pinned, which part is in sight.

import type { Frame } from "./heatmap-labels";
import type { HeatmapOptions } from "./heatmap-options";
import { everything, inSight, isZoomed, reach, type Sight } from "./looking";

interface Moves {
  options: HeatmapOptions;
  frame(): Frame;
  windows(): Sight;
  move(to: Sight): void;
  zoomBy(factor: number, x?: number, y?: number): void;
}

/** Point to read, click to pin, drag to move, Control and wheel (or a pinch) or a double click to zoom. */
export function listen(canvas: HTMLCanvasElement, moves: Moves, abort: AbortSignal): void {
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
  // A finger that scrolls the page instead.
  canvas.addEventListener(
    "pointercancel",
    () => {
      drag = null;
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
