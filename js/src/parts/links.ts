// Query tokens on the left, key tokens on the right, and curves between them (see curves.ts).
// Required: of a long text only the tokens in sight have nodes; the keys can be moved against the queries.

import { computed, signal, untracked } from "@preact/signals-core";
import { h, onceAFrame, watch } from "../core/dom";
import { count, shadeOf, tableOf } from "../core/scale";
import { marksOn } from "../core/token";
import { ROLES, type Role } from "../core/types";
import { number, thousands, weightInWords } from "../core/words";
import { type Curve, FAINTEST, MOST, paintCurves, strongestInFocus, strongestInView } from "./curves";
import { explain, hueOf, type Picture, placed } from "./picture";
import { applyShading, shadingOf, UNSHADED } from "./shading";
import { TokenList } from "./tokens";

const ROW = 24;
const TALLEST = 528;
/** Up to this many tokens all have nodes; of more, those in sight and a few around them. */
const MANY = 160;
const AROUND = 8;
/** What is left of the opacity of a curve that steps back. */
const BACK = 0.15;

export const links: Picture = (scene, abort) => {
  const columns = {
    query: h("div", { class: "column queries", role: "group" }),
    key: h("div", { class: "column keys", role: "group" }),
  };
  const canvas = h("canvas", { "aria-hidden": "true" });
  const middle = h("div", { class: "middle" }, h("div", { class: "pane" }, canvas));
  const align = h("button", { type: "button", class: "link" }, "key ↕ align");
  const scroller = h(
    "div",
    { class: "scroller" },
    h("span", { class: "title query" }, "query"),
    h("span", { class: "title arrow" }, "looks at →"),
    h("span", { class: "title" }, h("span", {}, "key"), align),
    columns.query,
    middle,
    columns.key,
  );
  const lists = {
    query: new TokenList(scene, "query", columns.query, abort),
    key: new TokenList(scene, "key", columns.key, abort),
  };
  /** Rows that the keys stand below where they would. */
  const shift = signal(0);
  const sizes = computed(() => [scene.shown.value.query.size, scene.shown.value.key.size] as const);
  const top = signal(0);
  const rowsInSight = Math.ceil(TALLEST / ROW) + 1;
  const inSight = (role: Role): [number, number] => {
    const size = sizes.value[role === "query" ? 0 : 1];
    const first = Math.floor(top.value / ROW) - (role === "key" ? shift.value : 0);
    return [Math.max(0, Math.min(size, first)), Math.max(0, Math.min(size, first + rowsInSight))];
  };
  const isLong = computed(() => Math.max(...sizes.value) > MANY);

  watch(abort, () => {
    const height = Math.max(sizes.value[0], sizes.value[1] + shift.value) * ROW;
    scroller.style.setProperty("--rows", `${height}px`);
    scroller.style.maxHeight = `${TALLEST + ROW}px`;
    scroller.classList.toggle("scrolls", height > TALLEST);
    scroller.classList.toggle("many", isLong.value);
    align.hidden = shift.value === 0;
  });
  align.addEventListener(
    "click",
    () => {
      shift.value = 0;
    },
    { signal: abort },
  );
  watch(abort, () => {
    for (const role of ROLES) {
      // Also when tokens get other names.
      void lists[role].labels;
      const [from, to] = isLong.value ? inSight(role) : [0, sizes.value[role === "query" ? 0 : 1]];
      const first = isLong.value ? Math.max(0, from - AROUND) : 0;
      const last = isLong.value ? Math.min(sizes.value[role === "query" ? 0 : 1], to + AROUND) : to;
      columns[role].style.paddingTop = `${(first + (role === "key" ? shift.value : 0)) * ROW}px`;
      lists[role].show(Array.from({ length: last - first }, (_, i) => first + i));
    }
  });
  watch(abort, () => {
    const { query, key } = placed(scene, scene.target.value);
    const middleRow = Math.floor(rowsInSight / 2);
    if (query !== null) scroller.scrollTop = (query - middleRow) * ROW;
    if (key === null || !isLong.peek()) {
      if (key !== null && query === null) scroller.scrollTop = (key - middleRow) * ROW;
      return;
    }
    // Beside the query where one is meant, or where the reader looks.
    const at = query ?? Math.floor(scroller.scrollTop / ROW) + middleRow;
    shift.value = query === null || query === key ? 0 : at - key;
    if (query === null) scroller.scrollTop = (key - middleRow) * ROW;
  });

  let stop = (): void => undefined;
  const draw = (): void => {
    const { focus } = scene.selection;
    const shown = scene.shown.peek();
    const at = placed(scene, focus.peek());
    const isFocused = at.query !== null || at.key !== null;
    const both = ROLES.map((role) => lists[role]);
    applyShading(scene, both, isFocused ? shadingOf(scene) : UNSHADED);
    stop();
    const width = middle.clientWidth;
    const height = Math.min(TALLEST, Number.parseFloat(scroller.style.getPropertyValue("--rows")));
    if (width === 0) return;
    const { scale, per, threshold, weighting, top_k, top_mass } = shown.chosen;
    const isPlain = weighting === "raw" && scale === "linear" && per === "picture";
    const floor = Math.max(threshold, isPlain ? FAINTEST : 0);
    const { curves, left } = isFocused
      ? strongestInFocus(shown, at, floor)
      : strongestInView(shown, inSight("query"), isLong.peek() ? inSight("key") : [0, shown.key.size], floor);
    const max = isPlain ? 1 : Math.abs(curves[0]?.weight ?? 0);
    const most = new Map<number, number>();
    for (const { query, weight } of curves) most.set(query, Math.max(most.get(query) ?? 0, Math.abs(weight)));
    const table = tableOf(
      scale,
      scale === "rank"
        ? count(
            curves.map(({ weight }) => weight),
            1,
            max,
          )
        : undefined,
    );
    const opacity = ({ query, weight }: Curve): number => {
      const full = per === "row" ? (most.get(query) ?? max) : max;
      return isPlain ? Math.abs(weight) : shadeOf(table, weight, full) / 255;
    };
    const marks = ROLES.map((role) =>
      untracked(() => marksOn(scene.selection, shown.stage[role], shown[role])),
    );
    const areMarked = !isFocused && marks.some(({ size }) => size > 0);
    /** With tokens marked and none in focus, the curves of others step back. */
    const drawn = (curve: Curve): number =>
      !areMarked || marks[0]?.has(curve.query) || marks[1]?.has(curve.key)
        ? opacity(curve)
        : BACK * opacity(curve);
    const place = {
      width,
      height,
      row: ROW,
      top: scroller.scrollTop,
      shift: shift.peek(),
      thickness: isFocused ? 3 : 1.5,
    };
    const hues = shown.members.map((member) => hueOf(member, shown.place.layer));
    const visible = curves.filter((curve) => opacity(curve) >= FAINTEST);
    stop = paintCurves(canvas, visible, hues, scene.theme.peek().dark, drawn, place);
    const isEmpty = visible.length === 0 && hues.length > 0 && !scene.tiles.waiting.peek();
    const what = isFocused ? "of the token in focus" : "in view";
    const some =
      left > 0
        ? `; the ${thousands(MOST)} strongest ${what} are drawn`
        : isEmpty
          ? `; no weight ${what} reaches ${number(Math.max(floor, FAINTEST * max))}, the least that is drawn`
          : "";
    const kept = [
      top_k > 0 ? `the ${top_k} strongest of each row` : "",
      top_mass < 1 ? `${Math.round(top_mass * 100)} % of each row` : "",
    ];
    const name = weightInWords(shown);
    const full = isPlain
      ? name
      : `${name}, full at ${per === "row" ? "each row’s largest" : number(max)}${scale === "linear" ? "" : `, ${scale} scale`}`;
    const filtered = kept
      .filter(Boolean)
      .map((words) => `; ${words}`)
      .join("");
    const [from, to] = inSight("query");
    const window = isLong.peek()
      ? `; queries ${thousands(from)} to ${thousands(to - 1)} of ${thousands(shown.query.size)}, keys ${inSight(
          "key",
        )
          .map((k, i) => thousands(k - i))
          .join(" to ")}`
      : "";
    // Of about one length, so that pointing at a token does not change the height of the view.
    const words = isFocused
      ? `opacity is the ${full} of a head; tokens are shaded by the ${shown.chosen.combine} of the heads`
      : `one curve a head and pair of tokens; opacity is the ${full}${areMarked ? "; those of marked tokens stand out" : ""}`;
    explain(scene, words + filtered + some + window, null);
  };
  const again = onceAFrame(() => !abort.aborted && draw());
  abort.addEventListener("abort", () => stop(), { once: true });
  // Also when it comes back into sight: what changed meanwhile was not drawn.
  const resized = new ResizeObserver(again);
  resized.observe(middle);
  abort.addEventListener("abort", () => resized.disconnect(), { once: true });
  scroller.addEventListener(
    "scroll",
    () => {
      top.value = scroller.scrollTop;
    },
    { signal: abort, passive: true },
  );
  watch(abort, () => {
    scene.width.value;
    scene.theme.value;
    scene.shown.value;
    scene.selection.focus.value;
    scene.selection.marked.value;
    shift.value;
    top.value;
    again();
  });
  return h("div", { class: "links" }, scroller);
};
