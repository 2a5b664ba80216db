// Below the picture: what its colours stand for, and the exact number of what is in focus.

import type { ReadonlySignal } from "@preact/signals-core";
import { css } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { number, status } from "../core/words";
import type { Scene } from "./picture";

export function legend(scene: Scene, abort: AbortSignal): HTMLElement {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  const most = h("span", { class: "most" });
  const words = h("span", { class: "words" });
  const scale = h("span", { class: "scale" }, "0", bar, most);
  watch(abort, () => {
    const { max } = scene.legend.value;
    scale.hidden = max === null;
    most.textContent = max === null ? "" : number(max);
    const colours = scene.ramp.value;
    const stops = [0, 64, 128, 192, 255].map((i) => css(colours[i] ?? [0, 0, 0]));
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  });
  watch(abort, () => {
    words.textContent = scene.legend.value.words;
  });
  return h("div", { class: "legend" }, scale, words);
}

export function statusLine(scene: Scene, abort: AbortSignal): HTMLElement {
  const line = h("div", { role: "status", class: "status" });
  watch(abort, () => {
    const words = status(scene.selection, scene.patterns.value);
    // All linked views say the same: only the one that is being used says it aloud.
    set(line, "aria-live", scene.root.matches(":hover, :focus-within") ? "polite" : "off");
    if (line.textContent !== words) line.textContent = words;
  });
  return line;
}

/** What the kernel could not compute; empty, and not there, as long as all is well. */
export function problem(error: ReadonlySignal<string>, abort: AbortSignal): HTMLElement {
  const line = h("div", { role: "alert", class: "problem" });
  watch(abort, () => {
    line.textContent = error.value;
    line.hidden = error.value === "";
  });
  return line;
}
