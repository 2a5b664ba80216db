// Heads as a grid, layers downwards: the colour is a score, a cross is off. A click switches a head, a drag
// several, a layer's number all of its heads. Required: each is a button with its state in words; a grid of
// 32 x 32 fits 700 pixels.

import { type ReadonlySignal, type Signal, untracked } from "@preact/signals-core";
import { colourAt, css, inkOn, type Ramp } from "../core/colour";
import { h, set, watch } from "../core/dom";
import type { Stage } from "../core/types";
import { number, percent } from "../core/words";
import { type Mask, nameOf } from "./mask";
import { listenToPainting, rove } from "./painting";
import type { Head, HeadScores } from "./types";

/** Side of a cell: at most, at least, and where it is too small to set stages side by side. */
const LARGE = 24;
const SMALL = 10;
const BESIDE = 16;
/** Room for the numbers of layers, and between stages. */
const LABEL = 28;
const BETWEEN = 24;
/** Many layers should not fill more than a screen. */
const TALLEST = 560;
/** Between heads that share a key head and those that share the next. */
const APART = 4;

export interface Grid {
  stages: readonly Pick<Stage, "name" | "label" | "heads" | "groups">[];
  mask: Mask;
  width: ReadonlySignal<number>;
  ramp: ReadonlySignal<Ramp>;
  scores: ReadonlySignal<HeadScores>;
  /** What a score is called. */
  called: ReadonlySignal<string>;
  /** Standard errors, where they are known. */
  errors?: ReadonlySignal<HeadScores | null>;
  /** How far the attention of a head moved, by its name. */
  moved?: ReadonlySignal<ReadonlyMap<string, number>>;
  /** The head that is looked at elsewhere. */
  marked: ReadonlySignal<Head | null>;
  pointed: Signal<Head | null>;
  look: (head: Head) => void;
}

export const scoreOf = (scores: HeadScores | null | undefined, [stage, layer, head]: Head): number | null =>
  scores?.[stage]?.[layer]?.[head] ?? null;

/** The score that the full colour stands for. */
export function largestOf(scores: HeadScores): number {
  let most = 0;
  for (const layers of Object.values(scores)) {
    for (const row of layers) for (const score of row) most = Math.max(most, Math.abs(score ?? 0));
  }
  return most;
}

/** All that is known of a head; reading it means being told when it changes. */
export function headInWords(grid: Grid, head: Head): string {
  const [name, layer, index] = head;
  const { label = name, groups = [] } = grid.stages.find((stage) => stage.name === name) ?? {};
  const score = scoreOf(grid.scores.value, head);
  const error = scoreOf(grid.errors?.value, head);
  const moved = grid.moved?.value.get(nameOf(head));
  const shared = groups[layer] ?? 1;
  const facts = [
    grid.mask.isOff("heads", head) ? "off" : "on",
    ...(score === null
      ? []
      : [`${grid.called.value} ${number(score)}${error === null ? "" : ` ± ${number(error)}`}`]),
    ...(moved === undefined ? [] : [`its attention moved by ${percent(moved)}`]),
    ...(shared > 1 ? [`key head ${Math.floor(index / shared)}, shared by ${shared}`] : []),
  ];
  return `${label.toLowerCase()}, layer ${layer}, head ${index}: ${facts.join(", ")}`;
}

export function heads(grid: Grid, abort: AbortSignal): HTMLElement {
  const { mask, stages, ramp, scores } = grid;
  const cells = new Map<HTMLElement, Head>();
  const blocks = stages.map((stage) => blockOf(stage, grid, cells, abort));
  const node = h("div", { class: "stages" }, ...blocks);
  node.querySelector(".cell")?.setAttribute("tabindex", "0");
  watch(abort, () => {
    const size = sizeOf(stages, grid.width.value);
    node.style.setProperty("--cell", `${size}px`);
    node.style.setProperty("--gap", `${gapOf(size)}px`);
    node.classList.toggle("fine", size < BESIDE);
  });
  watch(abort, () => {
    const most = largestOf(scores.value);
    for (const [cell, head] of cells) {
      const score = scoreOf(scores.value, head) ?? 0;
      const colour = colourAt(ramp.value, most > 0 ? Math.round((255 * Math.abs(score)) / most) : 0, score);
      cell.style.setProperty("--shade", css(colour));
      cell.style.setProperty("--ink-on", inkOn(colour));
    }
  });
  watch(abort, () => {
    grid.moved?.value;
    grid.errors?.value;
    grid.called.value;
    scores.value;
    untracked(() => {
      for (const [cell, head] of cells) tell(grid, cell, head);
    });
  });
  // Of a thousand heads a click changes one: only what changed is touched.
  watch(abort, () => {
    for (const [cell, head] of cells) {
      const isOff = mask.isOff("heads", head);
      if (cell.getAttribute("aria-pressed") !== String(isOff)) untracked(() => tell(grid, cell, head));
    }
  });
  watch(abort, () => {
    const marked = grid.marked.value;
    for (const [cell, head] of cells) {
      set(cell, "data-marked", marked && nameOf(marked) === nameOf(head) ? "" : undefined);
    }
  });
  const of = (event: Event): Head | null => cells.get(event.target as HTMLElement) ?? null;
  listenToPainting(node, mask, "heads", { of, between, look: grid.look }, abort);
  listenToPointer(node, of, grid.pointed, abort);
  const isCell = (at: Element): at is HTMLElement => cells.has(at as HTMLElement);
  rove(node, isCell, neighbour, abort);
  return node;
}

/** Bring the state of a cell up to date, in words and marks. */
function tell(grid: Grid, cell: HTMLElement, head: Head): void {
  const isOff = grid.mask.isOff("heads", head);
  const far = grid.moved?.value.get(nameOf(head)) ?? 0;
  set(cell, "aria-pressed", isOff);
  set(cell, "aria-label", headInWords(grid, head));
  set(cell, "data-moved", far > 0 && !isOff ? "" : undefined);
  if (far > 0) cell.style.setProperty("--moved", `${(2 + 6 * Math.sqrt(far)).toFixed(1)}px`);
}

/** Tell which head is pointed at, by pointer or by the keyboard's focus. */
function listenToPointer(
  node: HTMLElement,
  of: (event: Event) => Head | null,
  pointed: Signal<Head | null>,
  abort: AbortSignal,
): void {
  const point = (event: Event): void => {
    pointed.value = of(event);
  };
  const leave = (): void => {
    pointed.value = null;
  };
  node.addEventListener("pointerover", point, { signal: abort });
  node.addEventListener("focusin", point, { signal: abort });
  node.addEventListener("pointerleave", leave, { signal: abort });
  node.addEventListener("focusout", leave, { signal: abort });
}

function blockOf(
  { name, label, heads: counts, groups }: Grid["stages"][number],
  { mask, stages }: Grid,
  cells: Map<HTMLElement, Head>,
  abort: AbortSignal,
): HTMLElement {
  const most = Math.max(...counts);
  const rows = counts.map((count, layer) => {
    const group = groups[layer] ?? 1;
    const all = Array.from({ length: count }, (_, head): Head => [name, layer, head]);
    const row = all.map((head) => {
      const cell = h("button", { type: "button", class: "cell", tabindex: -1 });
      if (group > 1 && group < count && head[2] > 0 && head[2] % group === 0) cell.dataset["starts"] = "";
      cells.set(cell, head);
      return cell;
    });
    const whole = h("button", { type: "button", class: "row-name" }, String(layer));
    whole.addEventListener(
      "click",
      () => mask.change("heads", all, !all.every((head) => mask.isOff("heads", head))),
      { signal: abort },
    );
    watch(abort, () => {
      const isOff = all.every((head) => mask.isOff("heads", head));
      const what = `${label}, layer ${layer}: switch all heads ${isOff ? "on" : "off"}`;
      set(whole, "aria-label", what);
      set(whole, "title", what);
    });
    return h("div", { class: "row", "data-layer": layer }, whole, ...row);
  });
  const numbers = h(
    "div",
    { class: "row head-numbers", "aria-hidden": "true" },
    h("span", { class: "row-name" }),
  );
  const group = groups[0] ?? 1;
  for (let head = 0; head < most; head++) {
    const starts = group > 1 && group < most && head > 0 && head % group === 0;
    numbers.append(h("span", starts ? { "data-starts": "" } : {}, String(head)));
  }
  const title = h("div", { class: "title", "aria-hidden": "true" }, stages.length > 1 ? label : "");
  title.hidden = stages.length < 2;
  return h("div", { class: "stage", role: "group", "aria-label": `${label} heads` }, title, numbers, ...rows);
}

/** The largest cells that fit: stages side by side if these are not too small, else below each other. */
function sizeOf(stages: Grid["stages"], width: number): number {
  const of = (room: number, some: Grid["stages"]): number => {
    const counts = some.map(({ heads: h_ }) => Math.max(...h_));
    const apart = some.map(({ groups }, i) => {
      const group = groups[0] ?? 1;
      return group > 1 ? (Math.ceil((counts[i] ?? 0) / group) - 1) * APART : 0;
    });
    const sum = (all: number[]): number => all.reduce((a, b) => a + b, 0);
    const left = room - sum(apart) - some.length * LABEL - (some.length - 1) * BETWEEN;
    const step = left / Math.max(1, sum(counts));
    return Math.floor(step) - gapOf(step - 2);
  };
  const layers = Math.max(...stages.map(({ heads: h_ }) => h_.length));
  const most = Math.max(12, Math.min(LARGE, Math.floor(TALLEST / layers) - 2));
  const beside = Math.min(most, of(width, stages));
  if (beside >= Math.min(most, BESIDE)) return beside;
  return Math.max(SMALL, Math.min(most, ...stages.map((stage) => of(width, [stage]))));
}

const gapOf = (size: number): number => (size < 13 ? 1 : 2);

/** The heads on a straight line between two of one stage. */
function between(from: Head, to: Head): Head[] {
  if (from[0] !== to[0]) return [to];
  const [down, across] = [to[1] - from[1], to[2] - from[2]];
  const steps = Math.max(Math.abs(down), Math.abs(across), 1);
  return Array.from({ length: steps }, (_, i): Head => {
    const share = (i + 1) / steps;
    return [to[0], from[1] + Math.round(share * down), from[2] + Math.round(share * across)];
  });
}

function neighbour(from: HTMLElement, key: string): HTMLElement | null | undefined {
  const row = from.parentElement as HTMLElement;
  const cells = (of: Element | null): HTMLElement[] => [
    ...(of?.querySelectorAll<HTMLElement>(".cell") ?? []),
  ];
  const own = cells(row);
  const at = own.indexOf(from);
  if (key === "ArrowLeft" || key === "ArrowRight") {
    const beside = own[at + (key === "ArrowLeft" ? -1 : 1)];
    if (beside) return beside;
    // Past the edge lies the same layer of the stage beside.
    const stage = row.parentElement;
    const other = key === "ArrowLeft" ? stage?.previousElementSibling : stage?.nextElementSibling;
    const there = cells(other?.querySelector(`[data-layer="${row.dataset["layer"]}"]`) ?? null);
    return key === "ArrowLeft" ? there.at(-1) : there[0];
  }
  if (key === "Home") return own[0];
  if (key === "End") return own.at(-1);
  const other = cells(key === "ArrowUp" ? row.previousElementSibling : row.nextElementSibling);
  return other[Math.min(at, other.length - 1)];
}

/** The head that is pointed at, in words; nothing else, a hint. */
export function headStatus(grid: Grid, root: HTMLElement, hint: string, abort: AbortSignal): HTMLElement {
  const line = h("div", { role: "status", class: "status" });
  watch(abort, () => {
    const head = grid.pointed.value;
    const words = head ? headInWords(grid, head) : hint;
    set(line, "aria-live", root.matches(":hover, :focus-within") ? "polite" : "off");
    if (line.textContent !== words) line.textContent = words;
  });
  return line;
}

/** What colours and marks stand for. */
export function headLegend(
  { scores, ramp }: Pick<Grid, "scores" | "ramp">,
  words: ReadonlySignal<string>,
  marks: ReadonlySignal<string>,
  abort: AbortSignal,
): HTMLElement {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  const [least, most, what, rest] = [h("span"), h("span"), h("span", { class: "words" }), h("span")];
  const scale = h("span", { class: "scale" }, least, bar, most);
  watch(abort, () => {
    const max = largestOf(scores.value);
    const isSigned = Object.values(scores.value).some((rows) =>
      rows.some((row) => row.some((score) => (score ?? 0) < 0)),
    );
    const { colours, negative } = ramp.value;
    const stops = [0, 64, 128, 191, 255];
    const up = stops.map((i) => css(colours[i] ?? [0, 0, 0]));
    const down = [...stops].reverse().map((i) => css(negative[i] ?? [0, 0, 0]));
    bar.style.background = `linear-gradient(to right, ${[...(isSigned ? down : []), ...up].join(", ")})`;
    scale.hidden = max === 0;
    [least.textContent, most.textContent] = [isSigned ? number(-max) : "0", number(max)];
    what.textContent = words.value;
    what.hidden = words.value === "";
    rest.textContent = marks.value;
  });
  return h("div", { class: "legend" }, scale, what, rest);
}
