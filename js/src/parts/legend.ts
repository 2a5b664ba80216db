// Below the picture: what its colours stand for, and the exact number of what is in focus.

import { css } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { tableOf } from "../core/scale";
import { number, percent, status } from "../core/words";
import type { Scene } from "./picture";

export function legend(scene: Scene, abort: AbortSignal): HTMLElement {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  const least = h("span", {}, "0");
  const most = h("span", { class: "most" });
  const words = h("span", { class: "words" });
  const hidden = h("span", { class: "hides" });
  const scale = h("span", { class: "scale" }, least, bar, most);
  watch(abort, () => {
    const { max } = scene.legend.value;
    const { colours, negative } = scene.ramp.value;
    const kind = scene.settings.scale.value;
    const { isSigned } = scene.shown.value;
    scale.hidden = max === null;
    most.textContent = max === null ? "" : number(max);
    least.textContent = isSigned && max !== null ? number(-max) : "0";
    const table = tableOf(kind === "rank" ? "linear" : kind);
    const at = (step: number): number => table[Math.round((step / 8) * (table.length - 1))] ?? 0;
    const stops = Array.from({ length: 9 }, (_, i) => css(colours[at(i)] ?? [0, 0, 0]));
    const below = Array.from({ length: 9 }, (_, i) => css(negative[at(8 - i)] ?? [0, 0, 0]));
    bar.style.background = `linear-gradient(to right, ${[...(isSigned ? below : []), ...stops].join(", ")})`;
  });
  watch(abort, () => {
    words.textContent = scene.legend.value.words;
  });
  watch(abort, () => {
    const shown = scene.shown.value;
    hidden.hidden = shown.hidden === null || shown.members.length === 0;
    if (hidden.hidden) return;
    const share = shown.hiddenShare();
    const tokens = shown.hidden?.reduce((sum, one) => sum + one, 0) ?? 0;
    const rest = shown.chosen.renormalise && !shown.isSigned ? ", the rest made to sum to one" : "";
    hidden.textContent = `hidden: ${tokens} key token${tokens === 1 ? "" : "s"} with ${
      share === undefined ? "…" : percent(share)
    } of the attention${rest}`;
  });
  return h("div", { class: "legend" }, scale, words, hidden);
}

export function statusLine(scene: Scene, abort: AbortSignal): HTMLElement {
  const line = h("div", { role: "status", class: "status" });
  watch(abort, () => {
    const words = status(scene.selection, scene.shown.value);
    // All linked views say the same: only the one that is being used says it aloud.
    set(line, "aria-live", scene.root.matches(":hover, :focus-within") ? "polite" : "off");
    if (line.textContent !== words) line.textContent = words;
  });
  return line;
}

/** What could not be shown, and how far what takes long is. */
export function problem(scene: Scene, abort: AbortSignal): HTMLElement {
  const line = h("div", { role: "alert", class: "problem" });
  const bar = h("progress", { max: 1, "aria-label": "Computing the exact picture" });
  watch(abort, () => {
    const { error, silence, waiting } = scene.tiles;
    // What nobody looks at may be late without a word.
    line.textContent = error.value || (waiting.value ? silence.value : "");
    line.hidden = line.textContent === "";
  });
  watch(abort, () => {
    const share = scene.tiles.progress.value;
    bar.hidden = share === null;
    bar.value = share ?? 0;
  });
  return h("div", {}, line, bar);
}
