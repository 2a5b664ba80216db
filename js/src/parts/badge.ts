// Whether the numbers were checked against the model's own, as a badge that says more when pressed.

import { signal } from "@preact/signals-core";
import { h, set, watch } from "../core/dom";
import type { Selection } from "../core/selection";
import { checkInWords, sumsInWords } from "../core/words";

/** The badge, what it says when pressed, and what rows sum to where that is not one. */
export function checkBadge(
  selection: Selection,
  abort: AbortSignal,
): { badge: HTMLElement; more: HTMLElement; sums: HTMLElement } {
  const open = signal(false);
  const badge = h("button", { type: "button", class: "badge", "aria-controls": "check" });
  const more = h("div", { id: "check", class: "more", role: "note" });
  const sums = h("span", { class: "sums" });
  badge.addEventListener("click", () => {
    open.value = !open.value;
  });
  watch(abort, () => {
    const stage = selection.current.value;
    const layer = selection.layer.value;
    const words = checkInWords(stage, layer);
    badge.textContent = words.short;
    badge.dataset["checked"] = String(words.checked);
    set(badge, "title", words.long);
    set(badge, "aria-expanded", open.value);
    more.textContent = words.long;
    more.hidden = !open.value;
    sums.textContent = sumsInWords(stage, layer);
    sums.hidden = sums.textContent === "";
  });
  return { badge, more, sums };
}
