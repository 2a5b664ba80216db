// The row on top: stages as tabs, the layer slider, the way of drawing, what labels a row.

import type { Signal } from "@preact/signals-core";
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

/** A slider of our own: the native one takes up and down for itself, which walk the heads here. */
export function layerSlider(selection: Selection, abort: AbortSignal): HTMLElement {
  const knob = h("span", { class: "knob" });
  const ticks = h("span", { class: "ticks", "aria-hidden": "true" });
  const track = h(
    "span",
    { class: "track", role: "slider", tabindex: 0, "aria-label": "Layer", "aria-orientation": "horizontal" },
    ticks,
    knob,
  );
  const value = h("span", { class: "value", "aria-hidden": "true" });
  const count = h("span", { class: "caption", "aria-hidden": "true" });
  const last = (): number => selection.current.value.heads.length - 1;
  const follow = (event: PointerEvent): void => {
    const box = track.getBoundingClientRect();
    const share = (event.clientX - box.left - 8) / Math.max(1, box.width - 16);
    selection.toLayer(Math.round(share * last()));
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
      const to = { Home: 0, End: last() }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      selection.toLayer(to);
    },
    { signal: abort },
  );
  watch(abort, () => {
    const layer = selection.layer.value;
    const at = last() > 0 ? layer / last() : 0;
    set(track, "aria-valuemin", 0);
    set(track, "aria-valuemax", last());
    set(track, "aria-valuenow", layer);
    set(track, "aria-valuetext", `layer ${layer} of 0 to ${last()}`);
    track.style.setProperty("--at", String(at));
    ticks.style.setProperty("--steps", String(Math.max(1, last())));
    value.textContent = String(layer);
    count.textContent = `of 0–${last()}`;
  });
  return h(
    "div",
    { class: "layer" },
    h("span", { class: "caption", "aria-hidden": "true" }, "Layer"),
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
