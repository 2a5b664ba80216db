// How parts are switched off, steps back and forward, and the intact model for comparison.

import { h, set, watch } from "../core/dom";
import { choice, press } from "../parts/controls";
import type { Mask } from "./mask";
import { sizeOf } from "./mask";
import type { Scene } from "./scene";
import type { Ablation } from "./types";

/** Undo, redo, reset. */
export function steps(mask: Mask, abort: AbortSignal): HTMLElement {
  const undo = press("Undo", () => mask.undo(), abort, { title: "Ctrl+Z" });
  const redo = press("Redo", () => mask.redo(), abort, { title: "Ctrl+Shift+Z" });
  const reset = press("Reset", () => mask.reset(), abort, { title: "Switch everything on again" });
  watch(abort, () => {
    undo.disabled = !mask.canUndo;
    redo.disabled = !mask.canRedo;
    reset.disabled = sizeOf(mask.settled.value) === 0;
  });
  return h("div", { role: "group", "aria-label": "Steps", class: "group" }, undo, redo, reset);
}

export function pruningControls(
  { mask, ablation }: Pick<Scene, "mask" | "ablation">,
  words: Record<Ablation, string>,
  abort: AbortSignal,
): HTMLElement[] {
  const ways = choice(
    "What takes the place of a part that is off",
    [
      ["zero", "Zero"],
      ["mean", "Mean"],
    ],
    ablation,
    abort,
  );
  ways.querySelectorAll("button").forEach((button, i) => {
    button.title = words[i === 0 ? "zero" : "mean"];
  });
  const intact = press("Intact", () => (mask.isIntact.value = !mask.isIntact.peek()), abort, {
    class: "press toggle",
    title: "Show the intact model, for comparison; so does holding b",
  });
  watch(abort, () => {
    set(intact, "aria-pressed", mask.isIntact.value);
    intact.disabled = sizeOf(mask.settled.value) === 0 && !mask.isIntact.value;
  });
  return [ways, steps(mask, abort), intact];
}

/** Undo and redo by keyboard, and `b` held for the intact model. */
export function listenToKeys(root: HTMLElement, mask: Mask, abort: AbortSignal, canCompare = true): void {
  const options = { signal: abort };
  root.addEventListener(
    "keydown",
    (event) => {
      const isCommand = (event.ctrlKey || event.metaKey) && !event.altKey;
      const key = event.key.toLowerCase();
      const isField = (event.target as Element).matches("select, textarea, input:not([type=range])");
      if (isField) return;
      if (isCommand && key === "z") event.shiftKey ? mask.redo() : mask.undo();
      else if (isCommand && key === "y") mask.redo();
      else if (canCompare && !isCommand && key === "b" && !event.shiftKey && !event.altKey) {
        if (!event.repeat && sizeOf(mask.settled.peek()) > 0) mask.isIntact.value = true;
      } else return;
      // Else the notebook would undo something of its own.
      event.preventDefault();
      event.stopPropagation();
    },
    options,
  );
  const release = (): void => {
    mask.isIntact.value = false;
  };
  root.addEventListener(
    "keyup",
    (event) => event.key.toLowerCase() === "b" && canCompare && release(),
    options,
  );
  window.addEventListener("blur", () => canCompare && release(), options);
}
