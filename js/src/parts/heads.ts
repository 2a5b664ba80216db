// One square a head: a click toggles it, a double click isolates it, again restores the others.

import { css, headColour, inkOn } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { isThrough } from "../core/settings";
import { hueOf, type Scene } from "./picture";

export function headSelector(scene: Scene, abort: AbortSignal): HTMLElement {
  const { selection, settings, theme } = scene;
  const squares = h("div", { role: "group", "aria-label": "Heads", class: "squares" });
  const others = h("div", { role: "group", "aria-label": "Heads of other layers", class: "squares" });
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
  const square = (head: number, name: string, title: string): HTMLButtonElement =>
    h("button", {
      type: "button",
      role: "button",
      class: "head",
      "aria-label": name,
      "data-head": head,
      title,
    });
  watch(abort, () => {
    const count = selection.headCount.value;
    const { groups } = selection.current.value;
    const group = groups[selection.layer.value] ?? 1;
    while (squares.children.length > count) squares.lastElementChild?.remove();
    while (squares.children.length < count) {
      const head = squares.children.length;
      const made = square(
        head,
        `Head ${head}`,
        `Head ${head}: click to show or hide, double-click to see it alone`,
      );
      made.textContent = String(head);
      squares.append(made);
    }
    // Heads that share a key and value head stand together.
    for (const [head, node] of [...squares.children].entries()) {
      set(node, "data-starts", group > 1 && head > 0 && head % group === 0 ? "" : undefined);
    }
  });
  watch(abort, () => {
    const { dark } = theme.value;
    const shown = selection.heads.value;
    set(all, "aria-disabled", shown.length === selection.headCount.value);
    for (const node of squares.children as HTMLCollectionOf<HTMLElement>) {
      const head = Number(node.dataset["head"]);
      paint(node, head, dark);
      set(node, "aria-pressed", shown.includes(head));
    }
  });
  watch(abort, () => {
    const { dark } = theme.value;
    const own = selection.layer.value;
    const pairs = settings.also.value.filter(([layer]) => layer !== own);
    others.hidden = pairs.length === 0;
    others.replaceChildren(
      ...pairs.slice(0, 24).map(([layer, head]) => {
        const node = square(
          head,
          `Layer ${layer} head ${head}`,
          `Layer ${layer} head ${head}: click to remove`,
        );
        delete node.dataset["head"];
        node.textContent = `${layer}·${head}`;
        node.classList.add("other");
        set(node, "aria-pressed", true);
        paint(node, hueOf({ layer, head }, own), dark);
        node.addEventListener("click", () => {
          settings.also.value = settings.also.peek().filter((pair) => String(pair) !== String([layer, head]));
        });
        return node;
      }),
      ...(pairs.length > 24 ? [`and ${pairs.length - 24} more`] : []),
    );
  });
  const node = h(
    "div",
    { class: "heads" },
    h("span", { class: "caption", "aria-hidden": "true" }, "Heads"),
    squares,
    all,
    others,
  );
  watch(abort, () => node.classList.toggle("idle", isThrough(settings.weighting.value)));
  return node;
}

function paint({ style }: HTMLElement, hue: number, dark: boolean): void {
  const colour = headColour(hue, dark);
  style.setProperty("--colour", css(colour));
  style.setProperty("--ink-on", inkOn(colour));
}

function headOf(event: Event): number | null {
  const square = (event.target as Element | null)?.closest<HTMLElement>("[data-head]");
  return square ? Number(square.dataset["head"]) : null;
}
