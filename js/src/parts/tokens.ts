// One token as a button: hover lights it, a click pins it, its name is its text.
// Required: the same state for the same token wherever it is drawn.

import { h, set, watch } from "../core/dom";
import type { Selection } from "../core/selection";
import type { Role, Side } from "../core/types";

/** Make the buttons of one side; `label` may differ from the token (a row named by what it predicts). */
export function tokenButtons(
  selection: Selection,
  role: Role,
  side: Side,
  labels: readonly string[],
  abort: AbortSignal,
): HTMLButtonElement[] {
  const buttons = labels.map((label, index) => {
    const button = h("button", {
      type: "button",
      class: side.special[index] ? "token special" : "token",
      "data-side": role,
      "data-index": index,
      "data-state": "idle",
      "aria-pressed": "false",
      dir: "auto",
      title: label,
    });
    button.textContent = label;
    return button;
  });
  watch(abort, () => {
    const pinned = selection.pinned.value[role];
    const hovered = selection.hovered.value[role];
    buttons.forEach((button, index) => {
      set(button, "data-state", index === pinned ? "pinned" : index === hovered ? "hover" : "idle");
      set(button, "aria-pressed", index === pinned);
    });
  });
  return buttons;
}

/** Listen once for all token buttons in `root`. */
export function listenToTokens(root: HTMLElement, selection: Selection, abort: AbortSignal): void {
  const of = (event: Event): { role: Role; index: number } | null => {
    const button = (event.target as Element | null)?.closest<HTMLElement>("[data-side]");
    if (!button) return null;
    return { role: button.dataset["side"] as Role, index: Number(button.dataset["index"]) };
  };
  const enter = (event: Event): void => {
    const token = of(event);
    if (token) selection.hover({ query: null, key: null, [token.role]: token.index });
  };
  const leave = (event: Event): void => {
    if (of(event)) selection.hover({ query: null, key: null });
  };
  root.addEventListener("pointerover", enter, { signal: abort });
  root.addEventListener("pointerout", leave, { signal: abort });
  // The keyboard's focus counts as pointing; a focus that a tap left behind does not.
  root.addEventListener(
    "focusin",
    (event) => {
      if ((event.target as Element).matches(":focus-visible")) enter(event);
    },
    { signal: abort },
  );
  root.addEventListener("focusout", leave, { signal: abort });
  root.addEventListener(
    "click",
    (event) => {
      const token = of(event);
      if (token) selection.togglePin(token.role, token.index);
    },
    { signal: abort },
  );
}
