// The waterfall of a logit: a row for each part, its bar from where the one before ended.
// Required: a bar, its number and the sum so far are of one scale; a head's row leads to its attention.

import type { ReadonlySignal, Signal } from "@preact/signals-core";
import { css } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { NOTHING } from "../core/page";
import { carryPins, type Selection, stageNamed } from "../core/selection";
import { rove } from "../pruning/painting";
import type { Asked } from "./questions";
import type { Scene } from "./scene";

type Kind = "embedding" | "heads" | "head" | "feed_forward" | "unit" | "others" | "bias";

export interface Step {
  kind: Kind;
  name: string;
  value: number;
  /** What those before it sum to. */
  start: number;
  stage: string | null;
  layer: number | null;
  head: number | null;
  count: number;
}

export interface Reply {
  /** The row that predicts; null for a class. */
  row: number | null;
  name: string;
  against: string | null;
  value: number;
  /** What rounding left over. */
  rest: number;
  notes: string[];
  steps: Step[];
  /** How many there are, taken together or not. */
  count: number;
  /** Words that ask for it, its name, its logit. */
  candidates: [string, string, number][];
  /** Of a masked model. */
  predicts: string[] | null;
}

interface Parts {
  reply: ReadonlySignal<Reply | null>;
  /** The feed-forward layer whose units are shown. */
  unfolded: Signal<[stage: string, layer: number] | null>;
  inside: Asked<{ steps: Step[] }>;
  isStale: ReadonlySignal<boolean>;
}

/** From logits to shares of the width. */
interface Scale {
  at(value: number): number;
  ticks: number[];
  digits: number;
}

/** Pixels of a bold digit. */
const FIGURE = 8;

export function waterfall(scene: Scene, parts: Parts, abort: AbortSignal): HTMLElement {
  const { selection, ramp, width } = scene;
  const { reply, unfolded, inside, isStale } = parts;
  const list = h("div", { class: "waterfall", role: "group" });
  const total = h("div", { class: "direct-total", role: "status" });
  const legend = h("div", { class: "legend" });
  const steps = new Map<HTMLElement, Step>();
  const isRow = (node: Element): node is HTMLElement => node.matches("button.step");
  watch(abort, () => {
    const { colours, negative } = ramp.value;
    for (const node of [list, legend]) {
      node.style.setProperty("--for", css(colours[128] ?? [0, 0, 0]));
      node.style.setProperty("--against", css(negative[128] ?? [0, 0, 0]));
    }
  });
  watch(abort, () => {
    const found = reply.value;
    for (const node of [list, total, legend]) node.hidden = found === null;
    if (!found) return;
    const { steps: all, of } = withUnits(found, unfolded.value, inside.answer.value);
    const scale = scaleOf(all, found.value, width.value < 540 ? 3 : 7);
    const focused = (list.getRootNode() as ShadowRoot).activeElement?.getAttribute("data-key");
    steps.clear();
    const rows = all.map((step) => {
      const node = rowOf(step, scale, step.kind === "feed_forward" && keyOf(step) === of);
      steps.set(node, step);
      return node;
    });
    const words = logitOf(found);
    list.style.setProperty("--zero", String(scale.at(0)));
    list.style.setProperty("--figures", `${FIGURE * widest(all, scale.digits)}px`);
    set(list, "aria-label", `Waterfall of the ${words}: a row for each part, bars are what it adds`);
    list.replaceChildren(axis(scale), ...rows, lastRow(words, found.value, scale));
    const buttons = rows.filter(isRow);
    for (const [place, button] of buttons.entries()) set(button, "tabindex", place === 0 ? 0 : -1);
    if (focused) buttons.find((button) => button.dataset["key"] === focused)?.focus();
    total.textContent =
      `${words} = ${fixed(found.value, scale.digits)} · the terms sum to it; rounding ` +
      Math.abs(found.rest).toExponential(0).replaceAll("-", "−");
    mark();
  });
  watch(abort, () => list.classList.toggle("stale", isStale.value));
  const mark = (): void => {
    const { layer, heads, stage } = selection;
    for (const [node, step] of steps) {
      const isHere = step.stage === stage.value && step.layer === layer.value;
      const isOn =
        isHere && (step.kind === "heads" || (step.kind === "head" && heads.value.includes(step.head ?? -1)));
      set(node, "data-on", isOn || undefined);
      if (node.matches("button")) {
        if (step.kind !== "feed_forward") set(node, "aria-pressed", isOn);
      }
    }
  };
  watch(abort, mark);
  list.addEventListener(
    "click",
    (event) => {
      const node = (event.target as Element).closest<HTMLElement>(".step");
      const step = node && steps.get(node);
      if (!step || step.stage === null || step.layer === null) return;
      if (step.kind === "head" || step.kind === "heads") lookAt(selection, step);
      if (step.kind !== "feed_forward") return;
      const [stage, layer] = unfolded.peek() ?? [];
      unfolded.value = stage === step.stage && layer === step.layer ? null : [step.stage, step.layer];
    },
    { signal: abort },
  );
  const next = (from: HTMLElement, key: string): HTMLElement | undefined => {
    const buttons = [...steps.keys()].filter(isRow);
    const at = buttons.indexOf(from);
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: buttons.length - 1 }[key];
    return to === undefined ? undefined : buttons[to];
  };
  rove(list, isRow, next, abort);
  legend.append(
    swatch("for", "adds to the logit"),
    swatch("against", "takes from it"),
    h(
      "span",
      {},
      "marked: what other views show · click heads to look at them, a feed-forward layer for its units",
    ),
  );
  return h("div", {}, list, total, legend);
}

const keyOf = ({ kind, stage, layer, head }: Step): string => [kind, stage, layer, head].join("/");
const logitOf = ({ name, against }: Reply): string =>
  against === null ? `logit of ${name}` : `logit of ${name} − logit of ${against}`;

/** Bars with the units of the open layer after it, from where it starts; and which layer is open. */
function withUnits(
  { steps }: Reply,
  open: [string, number] | null,
  inside: Asked<{ steps: Step[] }>["answer"]["value"],
): { steps: Step[]; of: string | null } {
  const isOpen = (step: Step): boolean =>
    step.kind === "feed_forward" && step.stage === open?.[0] && step.layer === open[1];
  const parent = steps.find(isOpen);
  const asked = inside?.question;
  if (!parent || asked?.["stage"] !== open?.[0] || asked?.["layer"] !== open?.[1]) return { steps, of: null };
  const units = inside?.reply.steps.map((unit): Step => {
    const kind = unit.kind === "others" ? "unit" : unit.kind;
    return { ...unit, kind, start: unit.start + parent.start };
  });
  const all = steps.flatMap((step) => (step === parent ? [step, ...(units ?? [])] : [step]));
  return { steps: all, of: keyOf(parent) };
}

export function scaleOf(steps: readonly Step[], total: number, most: number): Scale {
  const ends = steps.flatMap(({ start, value }) => [start, start + value]);
  const [low, high] = [Math.min(0, total, ...ends), Math.max(0, total, ...ends)];
  const span = high - low || 1;
  const [from, over] = [low - span * 0.01, span * 1.02];
  // The smallest of 1, 2, 5, 10, … that leaves no more than `most` ticks.
  const power = 10 ** Math.floor(Math.log10(span / most));
  const step = ([1, 2, 5, 10].find((times) => span / (times * power) <= most) ?? 10) * power;
  const first = Math.ceil(low / step);
  const count = Math.floor(high / step) - first + 1;
  return {
    at: (value) => (value - from) / over,
    ticks: Array.from({ length: Math.max(1, count) }, (_, i) => (first + i) * step),
    digits: Math.max(2, Math.min(6, 2 - Math.floor(Math.log10(span / 5)))),
  };
}

/** Letters of the longest number beside a bar. */
const widest = (steps: readonly Step[], digits: number): number =>
  Math.max(
    ...steps.flatMap(({ value, start }) =>
      [signed(value, digits), fixed(start + value, digits)].map((said) => said.length),
    ),
  );

const fixed = (value: number, digits: number): string =>
  value
    .toFixed(digits)
    .replace(/^-(?=.*[1-9])/, "−")
    .replace("-", "");
const signed = (value: number, digits: number): string => {
  const said = fixed(value, digits);
  return said.startsWith("−") ? said : `+${said}`;
};
const share = (of: number): string => `${(100 * of).toFixed(3)}%`;

function rowOf(step: Step, scale: Scale, isOpen: boolean): HTMLElement {
  const { kind, value, start, name } = step;
  const [left, right] = [scale.at(Math.min(start, start + value)), scale.at(Math.max(start, start + value))];
  const bar = h("span", { class: value < 0 ? "adds negative" : "adds" });
  bar.style.left = share(left);
  bar.style.width = share(right - left);
  const join = h("span", { class: "join" });
  join.style.left = share(scale.at(start + value));
  join.hidden = isOpen;
  const [adds, sum] = [signed(value, scale.digits), fixed(start + value, scale.digits)];
  const cells = [
    h("span", { class: "part", title: name }, name),
    h("span", { class: "plot" }, join, bar),
    h("span", { class: "number" }, adds),
    h("span", { class: "number soft" }, sum),
  ];
  const said = { "aria-label": `${name}: ${adds}, sum so far ${sum}`, "data-key": keyOf(step) };
  if (kind === "head" || kind === "heads")
    return h("button", { type: "button", class: "step", ...said }, ...cells);
  if (kind === "feed_forward") {
    const more = { class: "step", "aria-expanded": isOpen, ...said };
    return h("button", { type: "button", ...more }, ...cells);
  }
  return h("div", { class: kind === "unit" ? "step unit-step" : "step", role: "img", ...said }, ...cells);
}

function lastRow(words: string, value: number, scale: Scale): HTMLElement {
  const bar = h("span", { class: "adds whole" });
  bar.style.left = share(scale.at(Math.min(0, value)));
  bar.style.width = share(scale.at(Math.max(0, value)) - scale.at(Math.min(0, value)));
  return h(
    "div",
    { class: "step last" },
    h("span", { class: "part", title: words }, words),
    h("span", { class: "plot" }, bar),
    h("span", { class: "number" }),
    h("span", { class: "number" }, fixed(value, scale.digits)),
  );
}

function axis(scale: Scale): HTMLElement {
  const size = Math.max(...scale.ticks.map(Math.abs), Number.MIN_VALUE);
  const gap = (scale.ticks[1] ?? size) - (scale.ticks[0] ?? 0);
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(gap || 1))));
  const ticks = scale.ticks.map((value) => {
    const tick = h("span", { class: "tick" }, fixed(value + 0, digits));
    tick.style.left = share(scale.at(value));
    return tick;
  });
  return h(
    "div",
    { class: "step axis", "aria-hidden": "true" },
    h("span", { class: "part" }, "part"),
    h("span", { class: "plot" }, ...ticks),
    h("span", { class: "number" }, "adds"),
    h("span", { class: "number" }, "so far"),
  );
}

const swatch = (name: string, words: string): HTMLElement =>
  h("span", { class: "scale" }, h("span", { class: `swatch ${name}` }), words);

/** Show these heads in every view; alone already, all of their layer. */
export function lookAt(selection: Selection, { stage: name, layer, head }: Step): void {
  const [from, to] = [selection.current.peek(), stageNamed(selection.meta, name ?? "")];
  const all = Array.from({ length: to.heads[layer ?? 0] ?? 0 }, (_, index) => index);
  const isHere = selection.stage.peek() === name && selection.layer.peek() === layer;
  const isAlone = isHere && selection.heads.peek().length === 1 && selection.heads.peek()[0] === head;
  selection.hover(NOTHING);
  selection.choose({
    stage: to.name,
    layer: layer ?? 0,
    heads: head === null || isAlone ? all : [head],
    pinned: from === to ? selection.pinned.peek() : carryPins(selection.pinned.peek(), from, to),
  });
}
