// That an answer is awaited, and that nobody answers.

import { h, watch } from "../core/dom";
import type { Answer } from "./answer";

export function waiting({ isWaiting, silence }: Answer, abort: AbortSignal): HTMLElement {
  // Nothing moves: what cannot say how far it is has no bar that pretends to.
  const bar = h("span", { class: "waiting", "aria-hidden": "true" });
  const line = h("div", { class: "line busy" }, bar, h("span", { class: "caption" }, "waiting for Python …"));
  const alert = h("div", { role: "alert", class: "problem" });
  watch(abort, () => {
    alert.hidden = silence.value === "";
    alert.textContent = silence.value;
    line.hidden = !isWaiting.value || silence.value !== "";
  });
  return h("div", {}, line, alert);
}
