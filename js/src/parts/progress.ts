// What is being computed, how far it is, and what went wrong.

import type { ReadonlySignal } from "@preact/signals-core";
import { h, watch } from "../core/dom";

export function progress(
  busy: ReadonlySignal<string>,
  share: ReadonlySignal<number | null>,
  problem: ReadonlySignal<string>,
  abort: AbortSignal,
): HTMLElement {
  const bar = h("progress", { max: 1, "aria-label": "Computing" });
  const words = h("span", { class: "caption" });
  const line = h("div", { class: "line busy" }, bar, words);
  const alert = h("div", { role: "alert", class: "problem" });
  watch(abort, () => {
    line.hidden = busy.value === "";
    words.textContent = busy.value;
    bar.hidden = share.value === null;
    bar.value = share.value ?? 0;
    alert.hidden = problem.value === "";
    alert.textContent = problem.value;
  });
  return h("div", {}, line, alert);
}
