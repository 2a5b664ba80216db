// The sentence itself, shaded: keys by how much the query in focus looks at them, queries by how much
// they look at the key in focus.

import { untracked } from "@preact/signals-core";
import { css, inkOn, shade } from "../core/colour";
import { h, watch } from "../core/dom";
import { mean, strongest } from "../core/patterns";
import type { Role, Side } from "../core/types";
import { headsInWords } from "../core/words";
import { type Picture, type Scene, sidesOf } from "./picture";
import { tokenButtons } from "./tokens";

/** With more tokens than this, queries and keys stand side by side where there is room. */
const LONG = 48;

export const text: Picture = (scene, abort) => {
  const blocks = { query: block("query", "looks"), key: block("key", "is looked at") };
  const node = h("div", { class: "text" }, blocks.query, blocks.key);
  let buttons: Record<Role, HTMLButtonElement[]> = { query: [], key: [] };
  let inner = new AbortController();
  watch(abort, () => {
    const sides = sidesOf(scene);
    const stage = scene.selection.current.value;
    node.classList.toggle("long", Math.max(sides.rows.length, sides.key.text.length) > LONG);
    inner.abort();
    inner = new AbortController();
    const { signal } = inner;
    buttons = {
      query: tokenButtons(scene.selection, "query", sides.query, sides.rows, signal),
      key: tokenButtons(scene.selection, "key", sides.key, sides.key.text, signal),
    };
    for (const role of ["query", "key"] as const) {
      const flow = blocks[role].querySelector(".flow");
      flow?.replaceChildren(...spaced(buttons[role], sides[role]));
      flow?.setAttribute("aria-label", `${role === "query" ? "Query" : "Key"} tokens, ${stage[role]}`);
    }
    // Untracked: hovering repaints (below) and does not make the buttons anew.
    untracked(() => paint(scene, buttons));
  });
  abort.addEventListener("abort", () => inner.abort(), { once: true });
  watch(abort, () => paint(scene, buttons));
  return node;
};

function block(role: Role, does: string): HTMLElement {
  const title = h("div", { class: "title", "aria-hidden": "true" }, `${role}: ${does}`);
  return h("div", { class: "block" }, title, h("div", { class: "flow", role: "group" }));
}

/** Put back the spaces that stood in the sentence. */
function spaced(buttons: readonly HTMLButtonElement[], side: Side): (HTMLElement | string)[] {
  return buttons.flatMap((button, i) => (side.gap[i] && i > 0 ? [" ", button] : [button]));
}

function paint(scene: Scene, buttons: Record<Role, HTMLButtonElement[]>): void {
  const patterns = scene.patterns.value;
  const heads = scene.selection.heads.value;
  const { query, key } = scene.selection.focus.value;
  const has = heads.length > 0;
  let keyWeights: Float32Array | undefined;
  let queryWeights: Float32Array | undefined;
  if (has && query !== null) {
    const row = patterns.row(query, heads);
    keyWeights = row && mean(row, patterns.keys);
  } else if (has && key === null) {
    const received = patterns.received(heads);
    keyWeights = received && mean(received, patterns.keys);
  }
  if (has && key !== null && query === null) {
    const column = patterns.column(key, heads);
    queryWeights = column && mean(column, patterns.queries);
  }
  const weights = keyWeights ?? queryWeights;
  const max = weights ? (weights[strongest(weights)] ?? 0) : 0;
  apply(scene, buttons.key, keyWeights, max);
  apply(scene, buttons.query, queryWeights, max);
  const whose = headsInWords(heads);
  const words =
    query !== null
      ? `shaded by what the query in focus looks at, ${whose}`
      : key !== null
        ? `shaded by how much each query looks at the key in focus, ${whose}`
        : `shaded by the mean over all queries of what looks at each key, ${whose}`;
  const legend = scene.legend.peek();
  if (legend.words !== words || legend.max !== max) scene.legend.value = { words, max };
}

function apply(
  scene: Scene,
  buttons: HTMLButtonElement[],
  weights: Float32Array | undefined,
  max: number,
): void {
  const colours = scene.ramp.value;
  buttons.forEach((button, i) => {
    const weight = weights?.[i];
    if (weight === undefined) {
      button.style.removeProperty("--shade");
      button.style.removeProperty("--ink-on");
      return;
    }
    const colour = shade(colours, weight, max);
    button.style.setProperty("--shade", css(colour));
    button.style.setProperty("--ink-on", inkOn(colour));
  });
}
