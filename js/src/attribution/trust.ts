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
  const body = h("tbody");
  const table = h(
    "table",
    { class: "figures" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ...["", "these scores", "random order", "spread"].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    body,
  );
  const more = h("details", {}, h("summary", {}, "figures"), list, table);
  watch(abort, () => {
    const found = trusted.value[String(scene.part.value)];
    ask.hidden = found !== undefined || !scene.meta.can_check;
    more.hidden = found === undefined;
    set(line, "data-state", found ? (found.doubtful ? "bad" : "good") : undefined);
    head.textContent = found
      ? `${found.doubtful ? "⚠" : "✓"} ${found.verdict}`
      : scene.meta.can_check
        ? "not checked yet whether these are what it rests on"
        : "";
    list.replaceChildren(...(found?.sentences ?? []).map((sentence) => h("li", {}, sentence)));
    body.replaceChildren(
      ...(found?.rows ?? []).map(([name, value, mean, spread]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, name),
          ...[value, mean, spread].map((x) => h("td", {}, number(x))),
        ),
      ),
    );
  });
  return h("div", { class: "trust" }, line, more);
}
