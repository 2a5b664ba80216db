// Where the part in sight is in the whole: a small picture with a frame, to be dragged.

import type { ReadonlySignal } from "@preact/signals-core";
import { css } from "../core/colour";
import { h, onceAFrame, prepare, set, watch } from "../core/dom";
import type { Grid, Window } from "../core/grid";
import { paint, strongestIn, topPatch } from "../core/paint";
import { tableOf } from "../core/scale";
import type { Scene } from "./picture";

const SIZE = 96;

export function minimap(
  scene: Scene,
  grid: ReadonlySignal<Grid>,
  window: ReadonlySignal<Window>,
  move: (to: Window) => void,
  abort: AbortSignal,
): HTMLElement {
  const canvas = h("canvas", {
    role: "img",
    class: "minimap",
    "aria-label": "Where the part in sight is; drag to move",
  });
  const painted = new WeakMap();
  const scale = (): number => SIZE / Math.max(grid.peek().rows, grid.peek().columns);
  const draw = (): void => {
    if (abort.aborted || canvas.hidden) return;
    const { columns, rows, width, height } = grid.peek();
    const [w, h_] = [columns * scale(), rows * scale()];
    const context = prepare(canvas, w, h_);
    const patch = topPatch(scene.tiles, scene.shown.peek(), grid.peek());
    if (patch) {
      const max = strongestIn([patch]);
      const how = { ramp: scene.ramp.peek(), table: tableOf("sqrt"), max, threshold: 0, perRow: false };
      context.drawImage(paint(patch, how, painted), 0, 0, w, h_);
    }
    const { x, y, cell } = window.peek();
    context.strokeStyle = css(scene.theme.peek().ink);
    const box = [x * scale(), y * scale(), (width / cell) * scale(), (height / cell) * scale()] as const;
    context.strokeRect(box[0] + 0.5, box[1] + 0.5, Math.max(3, box[2] - 1), Math.max(3, box[3] - 1));
  };
  const again = onceAFrame(draw);
  watch(abort, () => {
    const isZoomed = window.value.cell > grid.value.least * 1.01;
    canvas.hidden = !isZoomed;
    set(canvas, "aria-hidden", !isZoomed);
    scene.shown.value;
    scene.theme.value;
    again();
  });
  const follow = (event: PointerEvent): void => {
    if (event.buttons !== 1) return;
    const box = canvas.getBoundingClientRect();
    const { cell } = window.peek();
    const { width, height } = grid.peek();
    const x = (event.clientX - box.left) / scale() - width / cell / 2;
    const y = (event.clientY - box.top) / scale() - height / cell / 2;
    move({ x, y, cell });
  };
  canvas.addEventListener("pointerdown", follow, { signal: abort });
  canvas.addEventListener("pointermove", follow, { signal: abort });
  return canvas;
}
