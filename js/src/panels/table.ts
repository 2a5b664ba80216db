// The exact numbers of the row and of the column in focus, strongest first, and all of them as CSV.

import { h, watch } from "../core/dom";
import type { Role } from "../core/types";
import { number, reading } from "../core/words";
import { press } from "../parts/controls";
import { placed, type Scene } from "../parts/picture";

const SHOWN = 40;

export function table(scene: Scene, abort: AbortSignal): HTMLElement {
  const hint = h("p", { class: "about" }, "Point at a token, or pin one, to read its numbers.");
  const lists = [direction(scene, "key", abort), direction(scene, "query", abort)];
  watch(abort, () => {
    const { query, key } = scene.selection.focus.value;
    hint.hidden = query !== null || key !== null;
  });
  return h("section", { class: "panel numbers", "aria-label": "Numbers" }, hint, ...lists);
}

/** What a query looks at (`of` its keys), or who looks at a key (`of` the queries). */
function direction(scene: Scene, of: Role, abort: AbortSignal): HTMLElement {
  const from: Role = of === "key" ? "query" : "key";
  const title = h("span", { class: "name" });
  const body = h("tbody");
  let csv = "";
  const copy = press("copy CSV", () => void copyText(csv, copy), abort, {
    "aria-label": `Copy ${of === "key" ? "what it looks at" : "who looks at it"} as CSV`,
  });
  const node = h(
    "div",
    { class: "direction" },
    h("div", { class: "line" }, title, copy),
    h("table", {}, body),
  );
  watch(abort, () => {
    const shown = scene.shown.value;
    const at = placed(scene, scene.selection.focus.value)[from];
    const vectors = at === null ? undefined : of === "key" ? shown.rows(at, true) : shown.columns(at);
    node.hidden = at === null || shown.members.length === 0;
    if (at === null || node.hidden) return;
    const name = shown[from].labels[at] ?? "";
    title.textContent =
      of === "key"
        ? `${reading(scene.selection.meta, shown, at)} looks at`
        : `${name} is looked at when reading`;
    if (!vectors) {
      body.replaceChildren(h("tr", {}, h("td", {}, shown.absence)));
      return;
    }
    const weights = shown.combine(vectors);
    const { labels, first } = shown[of];
    const order = [...weights.keys()]
      .filter((i) => weights[i] !== 0)
      .sort((a, b) => Math.abs(weights[b] ?? 0) - Math.abs(weights[a] ?? 0));
    csv = [
      "position,token,weight",
      ...order.map((i) => `${first(i)},${quoted(labels[i] ?? "")},${weights[i]}`),
    ].join("\n");
    const most = Math.abs(weights[order[0] ?? 0] ?? 0);
    body.replaceChildren(
      ...order.slice(0, SHOWN).map((i) => {
        const weight = weights[i] ?? 0;
        const bar = h("span", { class: "meter" });
        bar.style.width = `${most > 0 ? (100 * Math.abs(weight)) / most : 0}%`;
        const row = h(
          "tr",
          { "data-index": i },
          h("td", { class: "at" }, String(first(i))),
          h("td", { class: "what", dir: "auto" }, labels[i] ?? ""),
          h("td", { class: "number" }, number(weight)),
          h("td", { class: "meters" }, bar),
        );
        return row;
      }),
      ...(order.length > SHOWN
        ? [
            h(
              "tr",
              {},
              h("td", { colspan: 4 }, `and ${(order.length - SHOWN).toLocaleString("en")} more in the CSV`),
            ),
          ]
        : []),
    );
  });
  body.addEventListener(
    "click",
    (event) => {
      const row = (event.target as Element).closest<HTMLElement>("[data-index]");
      if (!row) return;
      const index = scene.shown.peek()[of].first(Number(row.dataset["index"]));
      scene.target.value = { ...scene.selection.pinned.peek(), [of]: index };
    },
    { signal: abort },
  );
  return node;
}

const quoted = (text: string): string => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Put text on the clipboard, and say so on the button for a moment. */
export async function copyText(text: string, button: HTMLElement): Promise<void> {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  } catch {
    // A page without the right to the clipboard: leave the text where it can be taken.
    const area = h("textarea", { readonly: true, "aria-label": "Copy this" }, text);
    button.after(area);
    area.select();
    area.addEventListener("blur", () => area.remove());
    return;
  }
  setTimeout(() => {
    button.textContent = label;
  }, 1200);
}
