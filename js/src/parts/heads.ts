// One square a head: a click toggles it, a double click isolates it, again restores the others.

import type { ReadonlySignal } from "@preact/signals-core";
import { css, headColour, inkOn } from "../core/colour";
import { h, set, watch } from "../core/dom";
import type { Selection } from "../core/selection";
import type { Theme } from "../core/theme";

export function headSelector(
  selection: Selection,
  theme: ReadonlySignal<Theme>,
  abort: AbortSignal,
): HTMLElement {
  const squares = h("div", { role: "group", "aria-label": "Heads", class: "squares" });
  const all = h("button", { type: "button", class: "link" }, "all");
  all.addEventListener("click", () => selection.choose({ heads: selection.allHeads() }), { signal: abort });
  squares.addEventListener(
    "click",
    (event) => {
      const head = headOf(event);
      // The second click of a double click would only undo the first: "dblclick" takes its place.
      const isSecond = event.detail > 0 && event.detail % 2 === 0;
      if (head !== null && !isSecond) selection.toggleHead(head);
    },
    { signal: abort },
  );
  squares.addEventListener(
    "dblclick",
    (event) => {
      const head = headOf(event);
      if (head === null) return;
      selection.toggleHead(head); // takes back what the first click did
      selection.isolateHead(head);
    },
    { signal: abort },
  );
  watch(abort, () => {
    const count = selection.headCount.value;
    while (squares.children.length > count) squares.lastElementChild?.remove();
    while (squares.children.length < count) {
      const head = squares.children.length;
      const title = `Head ${head}: click to show or hide, double-click to see it alone`;
      squares.append(
        h(
          "button",
          {
            type: "button",
            role: "button",
            class: "head",
            "aria-label": `Head ${head}`,
            "data-head": head,
            title,
          },
          `${head}`,
        ),
      );
    }
  });
  watch(abort, () => {
    const { dark } = theme.value;
    const shown = selection.heads.value;
    const count = selection.headCount.value;
    set(all, "aria-disabled", shown.length === count);
    for (const square of squares.children as HTMLCollectionOf<HTMLElement>) {
      const head = Number(square.dataset["head"]);
      const colour = headColour(head, dark);
      set(square, "aria-pressed", shown.includes(head));
      square.style.setProperty("--colour", css(colour));
      square.style.setProperty("--ink-on", inkOn(colour));
    }
  });
  return h(
    "div",
    { class: "heads" },
    h("span", { class: "caption", "aria-hidden": "true" }, "Heads"),
    squares,
    all,
  );
}

function headOf(event: Event): number | null {
  const square = (event.target as Element | null)?.closest<HTMLElement>("[data-head]");
  return square ? Number(square.dataset["head"]) : null;
}
