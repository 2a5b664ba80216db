// The row on top: stages as tabs, the layer slider, the way of drawing, what labels a row.

import { computed, type ReadonlySignal, type Signal } from "@preact/signals-core";
import { h, set, watch } from "../core/dom";
import type { Selection } from "../core/selection";
import type { Mode } from "../core/types";

export function stageTabs(selection: Selection, abort: AbortSignal): HTMLElement {
  const tabs = selection.meta.stages.map((stage) => {
    const tab = h("button", { type: "button", role: "tab", class: "tab" }, stage.label);
    tab.addEventListener("click", () => selection.toStage(stage.name), { signal: abort });
    watch(abort, () => set(tab, "aria-selected", selection.stage.value === stage.name));
    return tab;
  });
  return h("div", { role: "tablist", "aria-label": "Stage", class: "group" }, ...tabs);
}

/** The slider of the layers of the stage shown. */
export function layerSlider(selection: Selection, abort: AbortSignal): HTMLElement {
  const last = computed(() => selection.current.value.heads.length - 1);
  const said = (at: number): string => String(at);
  return slider("Layer", { at: selection.layer, last, said, choose: (to) => selection.toLayer(to) }, abort);
}

interface Steps {
  at: ReadonlySignal<number>;
  /** From 0 up to this. */
  last: ReadonlySignal<number>;
  said(at: number): string;
  choose(to: number): void;
}

/** A slider of our own: the native one takes up and down for itself, which walk the heads here. */
export function slider(name: string, { at, last, said, choose }: Steps, abort: AbortSignal): HTMLElement {
  const knob = h("span", { class: "knob" });
  const ticks = h("span", { class: "ticks", "aria-hidden": "true" });
  const track = h(
    "span",
    { class: "track", role: "slider", tabindex: 0, "aria-label": name, "aria-orientation": "horizontal" },
    ticks,
    knob,
  );
  const value = h("span", { class: "value", "aria-hidden": "true" });
  const count = h("span", { class: "caption", "aria-hidden": "true" });
  const follow = (event: PointerEvent): void => {
    const box = track.getBoundingClientRect();
    const share = (event.clientX - box.left - 8) / Math.max(1, box.width - 16);
    choose(Math.max(0, Math.min(last.peek(), Math.round(share * last.peek()))));
  };
  track.addEventListener(
    "pointerdown",
    (event) => {
      if (event.button !== 0) return;
      track.setPointerCapture(event.pointerId);
      follow(event);
    },
    { signal: abort },
  );
  track.addEventListener("pointermove", (e) => track.hasPointerCapture(e.pointerId) && follow(e), {
    signal: abort,
  });
  track.addEventListener(
    "keydown",
    (event) => {
      const to = { Home: 0, End: last.peek() }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      choose(to);
    },
    { signal: abort },
  );
  watch(abort, () => {
    const words = said(at.value);
    const isNumber = words === String(at.value);
    set(track, "aria-valuemin", 0);
    set(track, "aria-valuemax", last.value);
    set(track, "aria-valuenow", at.value);
    set(track, "aria-valuetext", isNumber ? `layer ${words} of 0 to ${last.value}` : words);
    track.style.setProperty("--at", String(last.value > 0 ? at.value / last.value : 0));
    ticks.style.setProperty("--steps", String(Math.max(1, last.value)));
    value.textContent = words;
    count.textContent = isNumber ? `of 0–${last.value}` : "";
  });
  return h(
    "div",
    { class: "layer" },
    h("span", { class: "caption", "aria-hidden": "true" }, name),
    value,
    track,
    count,
  );
}

/** A few choices of which one holds. */
export function choice<T extends string>(
  name: string,
  options: readonly (readonly [T, string])[],
  chosen: Signal<T>,
  abort: AbortSignal,
): HTMLElement {
  const buttons = options.map(([value, label]) => {
    const button = h("button", { type: "button", class: "option" }, label);
    const choose = (): void => {
      chosen.value = value;
    };
    button.addEventListener("click", choose, { signal: abort });
    watch(abort, () => set(button, "aria-pressed", chosen.value === value));
    return button;
  });
  return h("div", { role: "group", "aria-label": name, class: "group" }, ...buttons);
}

export const MODES: readonly (readonly [Mode, string])[] = [
  ["links", "Links"],
  ["matrix", "Matrix"],
  ["text", "Text"],
];

/** A named choice among many, as the browser draws it; an option with a reason cannot be chosen. */
export function select<T extends string>(
  name: string,
  options: () => readonly (readonly [T, string, string?])[],
  chosen: Signal<T>,
  abort: AbortSignal,
): HTMLElement {
  const node = h("select", { "aria-label": name });
  watch(abort, () => {
    node.replaceChildren(
      ...options().map(([value, label, lack]) => {
        const option = h("option", { value }, lack ? `${label} (${lack})` : label);
        option.disabled = Boolean(lack);
        return option;
      }),
    );
    node.value = chosen.value;
  });
  node.addEventListener(
    "change",
    () => {
      chosen.value = node.value as T;
    },
    { signal: abort },
  );
  return h("label", { class: "field" }, h("span", { class: "caption" }, name), node);
}

/** A number to type. */
export function amount(
  name: string,
  chosen: Signal<number>,
  range: { min: number; max?: number; step: number | "any"; unit?: string; factor?: number },
  abort: AbortSignal,
): HTMLElement {
  const { unit = "", factor = 1, ...limits } = range;
  const node = h("input", { type: "number", "aria-label": name, ...limits });
  watch(abort, () => {
    node.value = String(Number((chosen.value * factor).toPrecision(6)));
  });
  node.addEventListener(
    "change",
    () => {
      const value = Math.max(
        limits.min,
        Math.min(limits.max ?? Number.POSITIVE_INFINITY, Number(node.value) || 0),
      );
      chosen.value = value / factor;
      node.value = String(value);
    },
    { signal: abort },
  );
  return h("label", { class: "field" }, h("span", { class: "caption" }, name), node, unit);
}

export function tick(name: string, chosen: Signal<boolean>, abort: AbortSignal): HTMLElement {
  const node = h("input", { type: "checkbox" });
  watch(abort, () => {
    node.checked = chosen.value;
  });
  node.addEventListener(
    "change",
    () => {
      chosen.value = node.checked;
    },
    { signal: abort },
  );
  return h("label", { class: "field" }, node, name);
}

/** A button that does one thing. */
export function press(
  label: string,
  act: () => void,
  abort: AbortSignal,
  more: Record<string, string> = {},
): HTMLButtonElement {
  const node = h("button", { type: "button", class: "press", ...more }, label);
  node.addEventListener("click", act, { signal: abort });
  return node;
}

/** Buttons that open and close panels. */
export function panelTabs(
  offered: readonly (readonly [string, string])[],
  open: Signal<string[]>,
  abort: AbortSignal,
): HTMLElement {
  const buttons = offered.map(([name, label]) => {
    const toggle = (): void => {
      const others = open.peek().filter((other) => other !== name);
      open.value = others.length < open.peek().length ? others : [...others, name];
    };
    const button = press(label, toggle, abort, { class: "option" });
    watch(abort, () => set(button, "aria-expanded", open.value.includes(name)));
    return button;
  });
  return h("div", { role: "group", "aria-label": "Panels", class: "group panels" }, ...buttons);
}
