// How far the scores are from the sum that the method promises. Required: never hidden when it is bad.

import { h, watch } from "../core/dom";
import { number, percent } from "../core/words";
import type { Scores } from "./scene";

export function gauge(scores: Scores, abort: AbortSignal): HTMLElement {
  const meter = h("span", { class: "meter-all", "aria-hidden": "true" }, h("span", { class: "meter-sum" }));
  const words = h("span", {});
  const line = h("div", { class: "gauge", role: "group", "aria-label": "Completeness" }, meter, words);
  const notes = h("ul", { class: "notes", "aria-label": "Notes" });
  watch(abort, () => {
    const part = scores.part.value;
    const { delta = null, relative_delta: off = null, baseline_value: base = null } = part ?? {};
    line.hidden = !part;
    meter.hidden = delta === null || base === null;
    line.dataset["state"] = part?.is_complete ? "good" : "bad";
    if (!part) return;
    if (delta === null || base === null || off === null) {
      words.textContent =
        "this method promises no sum: only the order and relative size of scores mean something";
      return;
    }
    const difference = part.value - base;
    const share = difference === 0 ? 1 : (difference + delta) / difference;
    meter.style.setProperty("--share", String(Math.max(0, Math.min(1, share))));
    words.textContent = `${part.is_complete ? "✓" : "⚠"} scores sum to ${number(difference + delta)} of ${number(
      difference,
    )}, the difference from the baseline: off by ${percent(off)}`;
  });
  watch(abort, () => {
    const { notes: said = [] } = scores.part.value ?? {};
    notes.replaceChildren(...said.map((note) => h("li", {}, note)));
    notes.hidden = said.length === 0;
  });
  return h("div", {}, line, notes);
}
