// The sentence itself, its tokens shaded by attention in both directions; of a long one, a window.

import { signal } from "@preact/signals-core";
import { h, watch } from "../core/dom";
import type { Role } from "../core/types";
import { thousands } from "../core/words";
import { explain, type Picture, type Scene } from "./picture";
import { applyShading, shadingOf } from "./shading";
import { TokenList } from "./tokens";

/** With more tokens than this, queries and keys stand side by side where there is room. */
const LONG = 48;
/** Tokens shown at once, at most. */
const WINDOW = 400;

export const text: Picture = (scene, abort) => {
  const sides = [side(scene, "query", abort), side(scene, "key", abort)];
  const node = h("div", { class: "text" }, ...sides.map(({ block }) => block));
  watch(abort, () => {
    const { query, key } = scene.shown.value;
    node.classList.toggle("long", Math.max(query.size, key.size) > LONG);
  });
  watch(abort, () => {
    for (const { start } of sides) start.value;
    const shading = shadingOf(scene);
    applyShading(
      scene,
      sides.map(({ list }) => list),
      shading,
    );
    explain(scene, shading.words, shading.max);
  });
  return node;
};

function side(scene: Scene, role: Role, abort: AbortSignal) {
  const flow = h("div", { class: "flow", role: "group" });
  const list = new TokenList(scene, role, flow, abort);
  const start = signal(0);
  const title = h("div", { class: "title", "aria-hidden": "true" });
  const step = (label: string, sign: number): HTMLButtonElement => {
    const button = h("button", { type: "button", class: "link" }, label);
    button.addEventListener(
      "click",
      () => {
        start.value += sign * WINDOW;
      },
      { signal: abort },
    );
    return button;
  };
  const [earlier, later] = [step(`earlier ${role} tokens`, -1), step(`later ${role} tokens`, 1)];
  watch(abort, () => {
    const at = scene.target.value[role];
    if (at !== null) start.value = scene.shown.peek()[role].at(at) - WINDOW / 2;
  });
  watch(abort, () => {
    const axis = scene.shown.value[role];
    const first = Math.max(0, Math.min(start.value, axis.size - WINDOW));
    const last = Math.min(axis.size, first + WINDOW);
    const part =
      axis.size > WINDOW ? ` · ${thousands(first)} to ${thousands(last - 1)} of ${thousands(axis.size)}` : "";
    title.textContent = `${role === "query" ? "query: the token that looks" : "key: the token looked at"}${part}`;
    if (start.peek() !== first) start.value = first;
    earlier.hidden = first === 0;
    later.hidden = last === axis.size;
    list.show(
      Array.from({ length: last - first }, (_, i) => first + i),
      (index) => (index > first && axis.gap.has(index) ? " " : ""),
    );
  });
  return { list, start, block: h("div", { class: "block" }, title, earlier, flow, later) };
}
