// Query tokens on the left, key tokens on the right, and curves between them (see curves.ts).

import { h, onceAFrame, watch } from "../core/dom";
import { number } from "../core/words";
import { FAINTEST, MOST, paintCurves, strongestInFocus, strongestInView } from "./curves";
import { explain, type Picture } from "./picture";
import { applyShading, type Shading, shadingOf } from "./shading";
import { fillTokens } from "./tokens";

const ROW = 24;
const TALLEST = 528;
const UNSHADED: Shading = { weights: { query: undefined, key: undefined }, max: 0, words: "" };

export const links: Picture = (scene, abort) => {
  const queries = h("div", { class: "column queries", role: "group" });
  const keys = h("div", { class: "column keys", role: "group" });
  const canvas = h("canvas", { "aria-hidden": "true" });
  const middle = h("div", { class: "middle" }, h("div", { class: "pane" }, canvas));
  const scroller = h("div", { class: "scroller" });
  const titles = [
    h("span", { class: "title query" }, "query"),
    h("span", { class: "title arrow" }, "looks at →"),
    h("span", { class: "title" }, "key"),
  ];
  scroller.append(...titles, queries, middle, keys);
  const buttons = fillTokens(scene, { query: queries, key: keys }, abort);
  watch(abort, () => {
    const { query, key } = buttons.value;
    const height = Math.max(query.length, key.length) * ROW;
    scroller.style.setProperty("--rows", `${height}px`);
    scroller.style.maxHeight = `${TALLEST + ROW}px`;
    scroller.classList.toggle("scrolls", height > TALLEST);
  });

  let stop = (): void => undefined;
  const draw = (): void => {
    const { focus, heads } = scene.selection;
    const { query, key } = focus.peek();
    const isFocused = query !== null || key !== null;
    applyShading(scene, buttons.peek(), isFocused ? shadingOf(scene) : UNSHADED);
    stop();
    const width = middle.clientWidth;
    const height = Math.min(TALLEST, Number.parseFloat(scroller.style.getPropertyValue("--rows")));
    if (width === 0) return;
    const top = scroller.scrollTop;
    const patterns = scene.patterns.peek();
    const { curves, left } = isFocused
      ? strongestInFocus(patterns, heads.peek(), focus.peek())
      : strongestInView(patterns, heads.peek(), Math.floor(top / ROW), Math.ceil((top + height) / ROW));
    const place = { width, height, row: ROW, top, thickness: isFocused ? 3 : 1.5 };
    stop = paintCurves(canvas, curves, heads.peek(), scene.theme.peek().dark, place);
    const isEmpty = curves.length === 0 && heads.peek().length > 0 && !scene.tiles.waiting.peek();
    const what = isFocused ? "of the token in focus" : "in view";
    const some =
      left > 0
        ? `; the ${MOST.toLocaleString("en")} strongest ${what} are drawn`
        : isEmpty
          ? `; no weight ${what} reaches ${number(FAINTEST)}, the least that is drawn`
          : "";
    // Of about one length, so that pointing at a token does not change the height of the view.
    const words = isFocused
      ? `opacity is the attention weight of a head; tokens are shaded by the mean of the heads${some}`
      : `one curve a head and pair of tokens; opacity is the attention weight${some}`;
    explain(scene, words, null);
  };
  const again = onceAFrame(() => !abort.aborted && draw());
  abort.addEventListener("abort", () => stop(), { once: true });
  // Also when it comes back into sight: what changed meanwhile was not drawn.
  const shown = new ResizeObserver(again);
  shown.observe(middle);
  abort.addEventListener("abort", () => shown.disconnect(), { once: true });
  scroller.addEventListener("scroll", again, { signal: abort, passive: true });
  watch(abort, () => {
    scene.width.value;
    buttons.value;
    scene.theme.value;
    scene.patterns.value;
    scene.selection.heads.value;
    scene.selection.focus.value;
    again();
  });
  return h("div", { class: "links" }, scroller);
};
