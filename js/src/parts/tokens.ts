// One token as a button: hover lights it, a click pins it, its name is its text.
// Required: the same state for the same token wherever it is drawn.

import { type ReadonlySignal, signal } from "@preact/signals-core";
import { h, set, watch } from "../core/dom";
import type { Selection } from "../core/selection";
import type { Role, Side } from "../core/types";
import { type Scene, sidesOf } from "./picture";

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
      role: "button",
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

type Buttons = Record<Role, HTMLButtonElement[]>;

/** Keep the tokens of the stage shown in two elements; `arrange` says what stands between them. */
export function fillTokens(
  scene: Scene,
  into: Record<Role, HTMLElement>,
  abort: AbortSignal,
  arrange: (buttons: HTMLButtonElement[], side: Side) => (Node | string)[] = (buttons) => buttons,
): ReadonlySignal<Buttons> {
  const made = signal<Buttons>({ query: [], key: [] });
  let inner = new AbortController();
  abort.addEventListener("abort", () => inner.abort(), { once: true });
  watch(abort, () => {
    const { rows, ...sides } = sidesOf(scene);
    const stage = scene.selection.current.value;
    inner.abort();
    inner = new AbortController();
    const buttons = {
      query: tokenButtons(scene.selection, "query", sides.query, rows, inner.signal),
      key: tokenButtons(scene.selection, "key", sides.key, sides.key.text, inner.signal),
    };
    for (const role of ["query", "key"] as const) {
      into[role].replaceChildren(...arrange(buttons[role], sides[role]));
      into[role].setAttribute("aria-label", `${role === "query" ? "Query" : "Key"} tokens, ${stage[role]}`);
    }
    made.value = buttons;
  });
  return made;
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
