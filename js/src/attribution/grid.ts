// Every token against everything explained: one column an output, one row a token that was read.

import { signal, untracked } from "@preact/signals-core";
import { colourAt, css, inkOn } from "../core/colour";
import { fitted, h, onceAFrame, prepare, watch } from "../core/dom";
import { marksOn } from "../core/token";
import { digits } from "../parts/figures";
import { choosePart, hover, isAt, type Scene, type Scores, togglePin } from "./scene";

/** Room for names, at most. */
const LONGEST = 160;
const TALLEST = 96;
const GAP = 10;
/** Numbers are written into cells of at least this width. */
const WRITTEN = 40;

interface Row {
  side: string;
  index: number;
  label: string;
  y: number;
}

export function grid(scene: Scene, scores: Scores, abort: AbortSignal): HTMLElement {
  const canvas = h("canvas", { role: "img", "aria-label": "Attribution of each output to each token" });
  const hovered = signal<{ row: number; part: number } | null>(null);
  let rows: Row[] = [];
  let cell = { width: 24, height: 20 };
  let left = 0;

  const draw = (): void => {
    if (abort.aborted) return;
    const parts = scene.parts.peek();
    const sides = scores.sides();
    const { fontFamily: font } = getComputedStyle(canvas);
    const accent = getComputedStyle(canvas).getPropertyValue("--accent");
    const ruler = prepare(canvas, 1, 1);
    ruler.font = `12px ${font}`;
    const longest = (names: readonly string[]): number =>
      names.reduce((most, name) => Math.max(most, ruler.measureText(name).width), 0);
    left = Math.ceil(Math.min(LONGEST, Math.max(...sides.map(({ axis }) => longest(axis.labels))))) + 10;
    const room = Math.max(60, scene.width.peek() - left - 4);
    const wide = scene.annotate.peek() ? 52 : 32;
    cell = { width: Math.max(6, Math.min(wide, Math.floor(room / Math.max(1, parts.length)))), height: 20 };
    // Names stand upright where they fit, as those of CJK do.
    const isUpright = (name: string): boolean => longest([name]) <= cell.width - 2;
    const across = longest(parts.map(({ name }) => name).filter((name) => !isUpright(name)));
    const top = Math.ceil(Math.max(10, Math.min(TALLEST, across))) + 10;
    rows = [];
    let y = top;
    for (const { name, axis } of sides) {
      if (rows.length) y += GAP;
      for (let index = 0; index < axis.size; index++, y += cell.height) {
        rows.push({ side: name, index, label: axis.labels[index] ?? "", y });
      }
    }
    const context = prepare(canvas, left + parts.length * cell.width + 1, y + 1);
    const column = scene.pointed.peek() ?? scene.part.peek();
    const { ink } = scene.theme.peek();
    const ramp = scores.ramp.peek();
    const all = parts.map((_, part) =>
      Object.fromEntries(sides.map(({ name }) => [name, scores.of(name, part)])),
    );
    const max = scores.max.peek();
    context.textBaseline = "middle";
    context.font = `12px ${font}`;
    const shown = hovered.peek();
    const marks = new Map(
      sides.map(({ name, axis }) => [name, untracked(() => marksOn(scene.selection, name, axis))]),
    );
    rows.forEach(({ side, index, label, y: above }, at) => {
      const axis = sides.find(({ name }) => name === side)?.axis;
      const isIn = axis && isAt(scene, scene.selection.focus.peek(), side, axis, index);
      context.fillStyle = css(ink);
      context.globalAlpha = isIn || shown?.row === at ? 1 : 0.75;
      context.textAlign = "right";
      context.fillText(fitted(context, label, left - 10), left - 6, above + cell.height / 2);
      context.globalAlpha = 1;
      if (marks.get(side)?.has(index)) {
        context.fillStyle = accent;
        const long = Math.min(left - 10, context.measureText(label).width);
        context.fillRect(left - 6 - long, above + cell.height - 3, long, 2);
      }
      parts.forEach((__, part) => {
        const score = all[part]?.[side]?.[index] ?? 0;
        const colour = colourAt(ramp, max > 0 ? Math.round((255 * Math.abs(score)) / max) : 0, score);
        context.fillStyle = css(colour);
        context.fillRect(left + part * cell.width, above, cell.width, cell.height);
        if (scene.annotate.peek() && cell.width >= WRITTEN) {
          context.fillStyle = inkOn(colour);
          context.textAlign = "center";
          context.font = `10px ${font}`;
          context.fillText(digits(score), left + (part + 0.5) * cell.width, above + cell.height / 2);
          context.font = `12px ${font}`;
        }
      });
    });
    parts.forEach(({ name }, part) => {
      context.save();
      context.translate(left + (part + 0.5) * cell.width, top - (isUpright(name) ? 10 : 6));
      if (!isUpright(name)) context.rotate(-Math.PI / 2);
      context.textAlign = isUpright(name) ? "center" : "left";
      context.fillStyle = css(ink);
      context.globalAlpha = part === column ? 1 : 0.75;
      if (cell.width >= 11) context.fillText(fitted(context, name, TALLEST), 0, 0);
      context.restore();
    });
    context.strokeStyle = css(ink);
    context.globalAlpha = 0.25;
    for (const { name } of sides) {
      const own = rows.filter(({ side }) => side === name);
      const [first, last] = [own[0], own.at(-1)];
      if (!(first && last)) continue;
      const height = last.y + cell.height - first.y;
      context.strokeRect(left + 0.5, first.y + 0.5, parts.length * cell.width - 1, height - 1);
    }
    context.globalAlpha = 1;
    context.strokeRect(left + column * cell.width + 0.5, top + 0.5, cell.width - 1, y - top - 1);
  };
  const again = onceAFrame(draw);
  watch(abort, () => {
    scores.max.value;
    scores.ramp.value;
    scene.width.value;
    scene.part.value;
    scene.pointed.value;
    scene.annotate.value;
    scene.unit.value;
    scene.selection.focus.value;
    scene.selection.marked.value;
    hovered.value;
    again();
  });
  const at = (event: MouseEvent): { row: number; part: number } | null => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const row = rows.findIndex((r) => y >= r.y && y < r.y + cell.height);
    const part = Math.floor((x - left) / cell.width);
    return row >= 0 && part < scene.parts.peek().length ? { row, part: Math.max(-1, part) } : null;
  };
  const tokenOf = (row: number) => {
    const found = rows[row];
    const axis = scores.sides().find(({ name }) => name === found?.side)?.axis;
    return found && axis ? { side: found.side, index: axis.first(found.index) } : null;
  };
  const options = { signal: abort };
  canvas.addEventListener(
    "pointermove",
    (event) => {
      const found = at(event);
      hovered.value = found;
      scene.pointed.value = found && found.part >= 0 ? found.part : null;
      hover(scene, found && tokenOf(found.row));
    },
    options,
  );
  canvas.addEventListener(
    "pointerleave",
    () => {
      hovered.value = null;
      scene.pointed.value = null;
      hover(scene, null);
    },
    options,
  );
  canvas.addEventListener(
    "click",
    (event) => {
      const found = at(event);
      const token = found && tokenOf(found.row);
      if (found && found.part >= 0) choosePart(scene, found.part);
      if (token && (found?.part ?? 0) < 0) togglePin(scene, token);
    },
    options,
  );
  return h("div", { class: "wide grid" }, canvas);
}
