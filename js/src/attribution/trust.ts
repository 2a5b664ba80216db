// How far a part can be trusted beside its sum: what happens when the tokens it names are taken away.
// Required: a bad verdict is as plain to see as a good one.

import { h, set, watch } from "../core/dom";
import type { Model } from "../core/types";
import { number } from "../core/words";
import { press } from "../parts/controls";
import type { Scene } from "./scene";
import type { AttributionTraits, Trusted } from "./types";

export function trust(
  scene: Scene,
  trusted: { readonly value: Record<string, Trusted> },
  traits: Model<AttributionTraits>,
  abort: AbortSignal,
): HTMLElement {
  const head = h("span", {});
  const ask = press(
    "take tokens away, and see",
    () => traits.send({ op: "trust", part: scene.part.peek() }),
    abort,
  );
  const line = h("div", { class: "line", role: "group", "aria-label": "Faithfulness" }, head, ask);
  const list = h("ul", { class: "notes" });
  const tables = h("div", { class: "tables" });
  const compare = press(
    "compare methods and baselines",
    () => traits.send({ op: "trust", part: scene.part.peek(), compare: true }),
    abort,
  );
  const more = h("details", {}, h("summary", {}, "how far to trust it, in figures"), list, compare, tables);
  watch(abort, () => {
    const found = trusted.value[String(scene.pointed.value ?? scene.part.value)];
    line.hidden = scene.span.value !== null;
    ask.hidden = found !== undefined || !scene.meta.can_check;
    more.hidden = found === undefined || scene.span.value !== null;
    compare.hidden = found?.compared !== false || !scene.meta.can_check;
    const isTold = found?.told !== false;
    set(line, "data-state", found?.doubtful ? "bad" : found && isTold ? "good" : undefined);
    head.textContent = found
      ? `${found.doubtful ? "⚠" : isTold ? "✓" : "?"} ${found.verdict}`
      : scene.meta.can_check
        ? "not checked yet whether these are what it rests on"
        : "";
    list.replaceChildren(...(found?.sentences ?? []).map((sentence) => h("li", {}, sentence)));
    tables.replaceChildren(...(found?.tables ?? []).map(tableOf));
  });
  return h("div", { class: "trust" }, line, more);
}

function tableOf({ title, columns, rows, digits }: Trusted["tables"][number]): HTMLElement {
  const said = (x: number): string => (digits === null ? number(x) : x.toFixed(digits).replace("-", "−"));
  const heads = columns.map((name) => h("th", { scope: "col" }, name));
  const lines = rows.map(([name, ...numbers]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      ...numbers.map((x) => h("td", {}, x === null ? "–" : said(x))),
    ),
  );
  return h(
    "table",
    { class: "figures" },
    h("caption", {}, title),
    h("thead", {}, h("tr", {}, h("td"), ...heads)),
    h("tbody", {}, ...lines),
  );
}
