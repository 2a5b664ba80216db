// The text of the side that is shown, as tokens to point at and pin, shaded as a panel likes.
// Required: only some hundred tokens have buttons, however long the text.

import { computed, signal } from "@preact/signals-core";
import { css, inkOn, type Rgb } from "../core/colour";
import { h, onceAFrame, set, watch } from "../core/dom";
import { listenToPointing } from "../core/pointing";
import { hoverToken, pinToken, showMark, tokenOn } from "../core/token";
import { thousands } from "../core/words";
import { press } from "../parts/controls";
import { marksOf, type Scene, tokensOf } from "./scene";

/** Tokens shown at once, at most. */
const WINDOW = 400;

export interface Shade {
  colour?: Rgb;
  /** Small below the token. */
  note?: string;
  title?: string;
}

/** `focus` is what is brought into sight beside the pinned token: what a panel tells about, if nothing is pinned. */
export function strip(
  scene: Scene,
  shade: (index: number) => Shade,
  abort: AbortSignal,
  focus: () => number | null = () => null,
): HTMLElement {
  const { selection, side, meta } = scene;
  const flow = h("div", { class: "flow", role: "group" });
  const start = signal(0);
  const words = h("span", { class: "caption" });
  const step = (sign: number) => () => {
    start.value += sign * WINDOW;
  };
  const earlier = press("earlier", step(-1), abort, { class: "link" });
  const later = press("later", step(1), abort, { class: "link" });
  const line = h("div", { class: "line" }, words, earlier, later);
  const marked = marksOf(scene);
  let buttons = new Map<number, HTMLButtonElement>();
  const wanted = computed(() => tokenOn(selection, selection.pinned.value, side.value, "query") ?? focus());
  watch(abort, () => {
    const at = wanted.value;
    if (at !== null && (at < start.peek() || at >= start.peek() + WINDOW)) start.value = at - WINDOW / 2;
  });
  // The page itself is left where it is.
  const scroll = onceAFrame(() => {
    const button = buttons.get(wanted.peek() ?? -1)?.getBoundingClientRect();
    const sight = flow.getBoundingClientRect();
    if (!button || abort.aborted) return;
    if (button.top < sight.top) flow.scrollTop += button.top - sight.top;
    else if (button.bottom > sight.bottom) flow.scrollTop += button.bottom - sight.bottom;
  });
  watch(abort, () => {
    side.value;
    if (wanted.value !== null) scroll();
  });
  watch(abort, () => {
    const text = tokensOf(scene, side.value);
    const { special = [], gap = [] } = meta.sides[side.value] ?? {};
    const [isSpecial, hasGap] = [new Set(special), new Set(gap)];
    const first = Math.max(0, Math.min(start.value, text.length - WINDOW));
    const last = Math.min(text.length, first + WINDOW);
    if (start.peek() !== first) start.value = first;
    line.hidden = text.length <= WINDOW;
    words.textContent = `tokens ${thousands(first)} to ${thousands(last - 1)} of ${thousands(text.length)}`;
    set(earlier, "aria-disabled", first === 0 ? true : undefined);
    set(later, "aria-disabled", last === text.length ? true : undefined);
    set(flow, "aria-label", `Tokens, ${side.value}`);
    buttons = new Map();
    for (let index = first; index < last; index++) {
      const label = h("span", {}, text[index] ?? "");
      const kind = isSpecial.has(index) ? "token special" : "token";
      const more = { "data-token": index, dir: "auto" };
      const note = h("small", { dir: "ltr" });
      buttons.set(index, h("button", { type: "button", class: kind, ...more }, label, note));
    }
    flow.replaceChildren(
      ...[...buttons].flatMap(([index, button]) =>
        index > first && hasGap.has(index) ? [" ", button] : [button],
      ),
    );
  });
  watch(abort, () => {
    start.value;
    side.value;
    for (const [index, button] of buttons) {
      const { colour, note = "", title = "" } = shade(index);
      button.style.setProperty("--shade", colour ? css(colour) : "transparent");
      button.style.setProperty("--ink-on", colour ? inkOn(colour) : "inherit");
      set(button, "title", title || undefined);
      if (button.lastChild) button.lastChild.textContent = note;
    }
  });
  watch(abort, () => {
    start.value;
    const pinned = tokenOn(selection, selection.pinned.value, side.value, "query");
    const hovered = tokenOn(selection, selection.hovered.value, side.value, "query");
    const marks = marked();
    for (const [index, button] of buttons) {
      set(button, "data-state", index === pinned ? "pinned" : index === hovered ? "hover" : "idle");
      set(button, "aria-pressed", index === pinned);
      showMark(button, marks.has(index));
    }
  });
  const of = (event: Event): number | null => {
    const button = (event.target as Element | null)?.closest<HTMLElement>("[data-token]");
    return button ? Number(button.dataset["token"]) : null;
  };
  const token = (index: number) => ({ side: side.peek(), index });
  listenToPointing(
    flow,
    of,
    {
      enter: (index) => hoverToken(selection, token(index), "query"),
      leave: () => hoverToken(selection, null),
      click: (index) => pinToken(selection, token(index), "query"),
    },
    abort,
  );
  return h("div", { class: "block" }, line, flow);
}
