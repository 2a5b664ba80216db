// The sentence itself, its tokens shaded by attention in both directions.

import { h, watch } from "../core/dom";
import type { Side } from "../core/types";
import { explain, type Picture } from "./picture";
import { applyShading, shadingOf } from "./shading";
import { fillTokens } from "./tokens";

/** With more tokens than this, queries and keys stand side by side where there is room. */
const LONG = 48;

export const text: Picture = (scene, abort) => {
  const flows = { query: flow(), key: flow() };
  const node = h(
    "div",
    { class: "text" },
    block("query: the token that looks", flows.query),
    block("key: the token looked at", flows.key),
  );
  const buttons = fillTokens(scene, flows, abort, spaced);
  watch(abort, () => {
    const { query, key } = buttons.value;
    node.classList.toggle("long", Math.max(query.length, key.length) > LONG);
  });
  watch(abort, () => {
    const shading = shadingOf(scene);
    applyShading(scene, buttons.value, shading);
    explain(scene, shading.words, shading.max);
  });
  return node;
};

const flow = (): HTMLElement => h("div", { class: "flow", role: "group" });

function block(title: string, tokens: HTMLElement): HTMLElement {
  return h("div", { class: "block" }, h("div", { class: "title", "aria-hidden": "true" }, title), tokens);
}

/** Put back the spaces that stood in the sentence. */
function spaced(buttons: readonly HTMLButtonElement[], side: Side): (HTMLElement | string)[] {
  return buttons.flatMap((button, i) => (side.gap[i] && i > 0 ? [" ", button] : [button]));
}
