// The tokens of a side in a row, shaded by what each adds to what is explained.

import { colourAt, css, inkOn } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { listenToPointing } from "../core/pointing";
import { marksOn, showMark, type Token } from "../core/token";
import { number } from "../core/words";
import { hover, isAt, type Scene, type Scores, togglePin } from "./scene";

const TITLES: Record<string, string> = {
  encoder: "read",
  decoder: "written so far",
};

export function strip(scene: Scene, scores: Scores, side: string, abort: AbortSignal): HTMLElement {
  const isOnly = Object.keys(scene.meta.sides).length === 1;
  const title = h("div", { class: "title", "aria-hidden": "true" }, isOnly ? "text" : (TITLES[side] ?? side));
  const flow = h("div", { class: "flow", role: "group", "aria-label": `Tokens, ${side}` });
  let buttons: HTMLButtonElement[] = [];
  watch(abort, () => {
    const axis = scores.sides().find(({ name }) => name === side)?.axis;
    buttons = (axis?.labels ?? []).map((label, index) =>
      h(
        "button",
        {
          type: "button",
          class: axis?.special.has(index) ? "token special" : "token",
          "data-side": side,
          "data-index": index,
          dir: "auto",
        },
        h("span", {}, label),
        h("small", { dir: "ltr" }),
      ),
    );
    const nodes = buttons.flatMap((button, i) => (i > 0 && axis?.gap.has(i) ? [" ", button] : [button]));
    flow.replaceChildren(...nodes);
  });
  watch(abort, () => {
    const { unit, annotate } = scene;
    unit.value;
    const own = scores.shown(side);
    const [ramp, max] = [scores.ramp.value, scores.max.value];
    flow.classList.toggle("annotated", annotate.value);
    buttons.forEach((button, i) => {
      const score = own[i] ?? 0;
      const colour = colourAt(ramp, max > 0 ? Math.round((255 * Math.abs(score)) / max) : 0, score);
      button.style.setProperty("--shade", css(colour));
      button.style.setProperty("--ink-on", inkOn(colour));
      button.title = `${button.firstChild?.textContent} ${number(score)}`;
      if (button.lastChild) button.lastChild.textContent = annotate.value ? number(score) : "";
    });
  });
  watch(abort, () => {
    scene.unit.value;
    const axis = scores.sides().find(({ name }) => name === side)?.axis;
    const { hovered, pinned } = scene.selection;
    const marks = axis && marksOn(scene.selection, side, axis);
    buttons.forEach((button, i) => {
      const isPinned = axis !== undefined && isAt(scene, pinned.value, side, axis, i);
      const isHovered = axis !== undefined && isAt(scene, hovered.value, side, axis, i);
      set(button, "data-state", isPinned ? "pinned" : isHovered ? "hover" : "idle");
      set(button, "aria-pressed", isPinned);
      showMark(button, marks?.has(i) ?? false);
    });
  });
  return h("div", { class: "block" }, title, flow);
}

/** Listen once for the tokens of all sides. */
export function listen(root: HTMLElement, scene: Scene, scores: Scores, abort: AbortSignal): void {
  const tokenOf = (event: Event) => {
    const button = (event.target as Element | null)?.closest<HTMLElement>("[data-side]");
    const side = button?.dataset["side"] ?? "";
    const axis = scores.sides().find(({ name }) => name === side)?.axis;
    return button && axis ? { side, index: axis.first(Number(button.dataset["index"])) } : null;
  };
  const actions = {
    enter: (token: Token) => hover(scene, token),
    leave: () => hover(scene, null),
    click: (token: Token) => togglePin(scene, token),
  };
  listenToPointing(root, tokenOf, actions, abort);
}
