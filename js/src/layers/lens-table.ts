// The table of the lens: columns are positions, rows layers (the last on top), a cell the likeliest token.
// Required: one stop for the keyboard; only the columns in sight are asked for; nothing moves when hovering.

import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals-core";
import { css, inkOn } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { hoverToken, pinToken, tokenOn } from "../core/token";
import { thousands } from "../core/words";
import { press } from "../parts/controls";
import { type Column, chance, type Measure, measured, shadeOf } from "./lens-rows";
import { layerName, type Scene, tokensOf } from "./scene";

/** Pixels of a column at least, of a row's name, and of a row. */
const COLUMN = 64;
const NAMES = 68;
const ROW = 22;
/** Rows in sight; more are scrolled. */
const TALL = 26;

export interface Place {
  layer: number;
  row: number;
}

export interface Table {
  scene: Scene;
  side: string;
  depth: number;
  /** What is known, by position; and what shades are relative to. */
  columns: ReadonlySignal<ReadonlyMap<number, Column>>;
  colour: ReadonlySignal<Measure>;
  most: ReadonlySignal<number>;
  /** First position in sight, and after the last. */
  sight: ReadonlySignal<readonly [number, number]>;
  start: Signal<number>;
  /** What is pointed at, or where the keyboard is. */
  at: Signal<Place | null>;
  pick(place: Place): void;
}

/** Which positions are in sight, of as many as there are. */
export function sightOf(start: ReadonlySignal<number>, width: ReadonlySignal<number>, count: number) {
  return computed((): readonly [number, number] => {
    const fit = Math.max(1, Math.floor((width.value - NAMES) / COLUMN));
    const first = Math.max(0, Math.min(start.value, count - fit));
    return [first, Math.min(count, first + fit)];
  });
}

export function table(given: Table, abort: AbortSignal): HTMLElement {
  const { scene, side, depth, columns, colour, most, sight, start, at, pick } = given;
  const { selection } = scene;
  const text = tokensOf(scene, side);
  const isNext = side === "decoder";
  const grid = h("div", {
    class: "lens-grid",
    role: "grid",
    tabindex: 0,
    "aria-label": "Predictions by layer",
  });
  set(grid, "aria-rowcount", depth);
  set(grid, "aria-colcount", text.length);
  const names: HTMLButtonElement[] = [];
  const rows = new Map<number, HTMLElement>();
  let cells = new Map<string, HTMLElement>();
  let heads: HTMLElement[] = [];
  const active = signal<Place>({ layer: depth - 1, row: 0 });
  const pinned = computed(() => tokenOn(selection, selection.pinned.value, side, "query"));
  const hovered = computed(() => tokenOn(selection, selection.hovered.value, side, "query"));
  const toLayer = (layer: number): void => {
    show(scene, side);
    scene.toLayer(layer);
  };
  for (let layer = depth - 1; layer >= 0; layer--) {
    const name = press(layer === 0 ? "enters 0" : `after ${layer - 1}`, () => toLayer(layer), abort, {
      class: "lens-name",
      tabindex: "-1",
      title: layerName(layer),
      "aria-label": `Show ${layerName(layer)}`,
    });
    names[layer] = name;
  }
  // A row for what is read, and one for what follows there.
  const top = h("div", { class: "lens-line lens-head", role: "row" });
  watch(abort, () => {
    const [first, last] = sight.value;
    cells = new Map();
    heads = [];
    const corner = h("div", { class: "lens-corner", role: "columnheader" }, h("span", {}, "reads"));
    if (isNext) corner.append(h("small", {}, "then"));
    for (let row = first; row < last; row++) {
      const head = h("div", { class: "lens-cell lens-token", role: "columnheader", "data-row": row });
      const then = text[row + 1];
      head.append(h("span", { dir: "auto" }, text[row] ?? ""));
      if (isNext) head.append(h("small", { dir: "auto" }, then ?? "–"));
      const follows = then === undefined ? "the last position" : `${then} follows`;
      set(head, "title", `position ${row} reads ${text[row] ?? ""}${isNext ? `; ${follows}` : ""}`);
      heads.push(head);
    }
    top.replaceChildren(corner, ...heads);
    for (let layer = depth - 1; layer >= 0; layer--) {
      const line = rows.get(layer) ?? h("div", { class: "lens-line", role: "row" });
      rows.set(layer, line);
      const own: HTMLElement[] = [];
      for (let row = first; row < last; row++) {
        const cell = h("div", {
          class: "lens-cell",
          role: "gridcell",
          id: `lens-${layer}-${row}`,
          dir: "auto",
        });
        set(cell, "data-row", row);
        set(cell, "data-layer", layer);
        set(cell, "aria-colindex", row + 1);
        cells.set(`${layer}/${row}`, cell);
        own.push(cell);
      }
      line.replaceChildren(h("div", { class: "lens-side", role: "rowheader" }, names[layer] ?? ""), ...own);
    }
    grid.style.setProperty("--columns", String(last - first));
    grid.replaceChildren(top, ...[...rows].sort(([a], [b]) => b - a).map(([, line]) => line));
  });
  grid.style.maxHeight = depth > TALL ? `${TALL * ROW + 44}px` : "";
  watch(abort, () => {
    sight.value;
    const { colours } = scene.ramp.value;
    for (const cell of cells.values()) {
      const [layer, row] = [Number(cell.dataset["layer"]), Number(cell.dataset["row"])];
      const column = columns.value.get(row);
      const found = column?.cells[layer];
      const best = found?.tokens[0];
      const word = best?.word ?? "";
      if (cell.textContent !== word) cell.textContent = word;
      cell.classList.toggle("agrees", best !== undefined && best.id === column?.answer.id);
      if (!(found && best)) {
        set(cell, "title", undefined);
        cell.style.background = "";
        continue;
      }
      const shade =
        colours[Math.round(255 * shadeOf(measured(found, colour.value), colour.value, most.value))];
      cell.style.background = shade ? css(shade) : "";
      cell.style.color = shade ? inkOn(shade) : "";
      const said = `${word} ${chance(best.probability)}`;
      set(cell, "title", said);
      set(cell, "aria-label", `${layerName(layer)}, reading ${text[row] ?? ""}: ${said}`);
    }
  });
  watch(abort, () => {
    const shown = scene.side.value === side ? scene.layer.value : -1;
    for (const [layer, line] of rows) {
      line.classList.toggle("shown", layer === shown);
      set(names[layer] as HTMLElement, "aria-pressed", layer === shown);
    }
  });
  watch(abort, () => {
    sight.value;
    for (const head of heads) {
      const row = Number(head.dataset["row"]);
      set(head, "data-state", row === pinned.value ? "pinned" : row === hovered.value ? "hover" : "idle");
    }
    for (const cell of cells.values())
      set(cell, "aria-selected", Number(cell.dataset["row"]) === pinned.value);
  });
  watch(abort, () => {
    sight.value;
    const { layer, row } = active.value;
    for (const cell of grid.querySelectorAll(".active")) cell.classList.remove("active");
    const cell = cells.get(`${layer}/${row}`);
    cell?.classList.add("active");
    set(grid, "aria-activedescendant", cell?.id);
  });
  // A position that is pinned, here or elsewhere, comes into sight.
  watch(abort, () => {
    const row = pinned.value;
    if (row !== null) bring(row);
  });
  function bring(row: number): void {
    const [first, last] = sight.peek();
    if (row >= first && row < last) return;
    start.value =
      row < first && first - row <= 1
        ? row
        : row >= last && row - last < 1
          ? first + 1
          : row - ((last - first) >> 1);
  }
  const placeOf = (event: Event): Place | null => {
    const cell = (event.target as Element | null)?.closest<HTMLElement>("[data-row]");
    if (!cell) return null;
    return { layer: Number(cell.dataset["layer"] ?? -1), row: Number(cell.dataset["row"]) };
  };
  const on = { signal: abort };
  grid.addEventListener(
    "pointerover",
    (event) => {
      const place = placeOf(event);
      if (!place) return;
      if (place.layer >= 0) at.value = place;
      hoverToken(selection, { side, index: place.row }, "query");
    },
    on,
  );
  grid.addEventListener(
    "pointerleave",
    () => {
      at.value = grid.matches(":focus-visible") ? active.peek() : null;
      hoverToken(selection, null);
    },
    on,
  );
  grid.addEventListener("focus", () => grid.matches(":focus-visible") && point(active.peek()), on);
  grid.addEventListener(
    "blur",
    () => {
      at.value = null;
      hoverToken(selection, null);
    },
    on,
  );
  grid.addEventListener(
    "click",
    (event) => {
      const place = placeOf(event);
      if (!place) return;
      if (place.layer >= 0) {
        active.value = place;
        pick(place);
        return;
      }
      show(scene, side);
      pinToken(selection, { side, index: place.row }, "query");
    },
    on,
  );
  function point(place: Place): void {
    bring(place.row);
    active.value = place;
    at.value = place;
    hoverToken(selection, { side, index: place.row }, "query");
    const [cell, box] = [cells.get(`${place.layer}/${place.row}`), grid];
    if (!cell || box.scrollHeight <= box.clientHeight) return;
    const above = cell.offsetTop - top.offsetHeight;
    if (box.scrollTop > above) box.scrollTop = above;
    else if (cell.offsetTop + ROW > box.scrollTop + box.clientHeight) {
      box.scrollTop = cell.offsetTop + ROW - box.clientHeight;
    }
  }
  grid.addEventListener(
    "keydown",
    (event) => {
      if (event.target !== grid || event.ctrlKey || event.metaKey || event.altKey) return;
      const { layer, row } = active.peek();
      const [first, last] = sight.peek();
      const page = last - first;
      const to: Record<string, Place> = {
        ArrowLeft: { layer, row: row - 1 },
        ArrowRight: { layer, row: row + 1 },
        ArrowUp: { layer: layer + 1, row },
        ArrowDown: { layer: layer - 1, row },
        Home: { layer, row: 0 },
        End: { layer, row: text.length - 1 },
        PageUp: { layer, row: row - page },
        PageDown: { layer, row: row + page },
      };
      const next = to[event.key];
      if (next) {
        const clamp = (value: number, size: number): number => Math.max(0, Math.min(size - 1, value));
        point({ layer: clamp(next.layer, depth), row: clamp(next.row, text.length) });
      } else if (event.key === "Enter" || event.key === " ") pick(active.peek());
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
    on,
  );
  return h("div", {}, turning(given, text.length, abort), grid);
}

/** Show the side that is looked at, where another one is shown: what is pinned is pinned there. */
export function show({ selection, side: shown, meta }: Scene, side: string): void {
  if (shown.peek() === side) return;
  const stage = meta.stages.find(({ query }) => query === side);
  if (stage) selection.toStage(stage.name);
}

/** Which columns of a long text are in sight. */
function turning({ sight, start }: Table, count: number, abort: AbortSignal): HTMLElement {
  const words = h("span", { class: "caption" });
  const step = (sign: number) => () => {
    const [first, last] = sight.peek();
    start.value = Math.max(0, first + sign * (last - first));
  };
  const earlier = press("earlier", step(-1), abort, { class: "link" });
  const later = press("later", step(1), abort, { class: "link" });
  const range = h("input", { type: "range", min: 0, step: 1, "aria-label": "First position in sight" });
  range.addEventListener("input", () => (start.value = Number(range.value)), { signal: abort });
  const line = h("div", { class: "line turning" }, words, earlier, range, later);
  watch(abort, () => {
    const [first, last] = sight.value;
    line.hidden = last - first >= count;
    words.textContent = `positions ${thousands(first)} to ${thousands(last - 1)} of ${thousands(count)}`;
    range.max = String(count - (last - first));
    range.value = String(first);
    set(earlier, "aria-disabled", first === 0 ? true : undefined);
    set(later, "aria-disabled", last === count ? true : undefined);
  });
  return line;
}
