// The sentence itself, its tokens shaded by attention in both directions.

import { untracked } from "@preact/signals-core";
import { h, watch } from "../core/dom";
import type { Role, Side } from "../core/types";
import { type Picture, type Scene, sidesOf } from "./picture";
import { applyShading, shadingOf } from "./shading";
import { tokenButtons } from "./tokens";

/** With more tokens than this, queries and keys stand side by side where there is room. */
const LONG = 48;

export const text: Picture = (scene, abort) => {
  const blocks = { query: block("query", "the token that looks"), key: block("key", "the token looked at") };
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

function paint(scene: Scene, buttons: Record<Role, HTMLElement[]>): void {
  const shading = shadingOf(scene);
  applyShading(scene, buttons, shading);
  const { words, max } = shading;
  const legend = scene.legend.peek();
  if (legend.words !== words || legend.max !== max) scene.legend.value = { words, max };
}
