// The tokens that set a unit off most, each in its text: of the data set that was given, or of this text.
// Required: what takes long is computed when a button says so.

import { type ReadonlySignal, signal } from "@preact/signals-core";
import { colourAt, css, inkOn } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { listenToPointing } from "../core/pointing";
import { hoverToken, pinToken } from "../core/token";
import { number, thousands } from "../core/words";
import { press } from "../parts/controls";
import { isOf, largest, type Place } from "./neurons-place";
import { told } from "./questions";
import type { Scene } from "./scene";

interface Strongest {
  /** How many texts there are to look in; none where only this one is. */
  texts: number;
  /** How long it takes to look, where that is long and was not asked for. */
  seconds: number;
  /** Value, number of the text, position, the token, and what is before and after it. */
  rows: [number, number, number, string, string, string][];
  n: number;
}

/** Which way most of its letters are read: an excerpt may begin with a word of the other direction. */
export function directionOf(text: string): "ltr" | "rtl" {
  const letters = text.match(/\p{L}/gu)?.length ?? 0;
  const leftward = text.match(/[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}]/gu);
  return 2 * (leftward?.length ?? 0) > letters ? "rtl" : "ltr";
}

const WITHOUT = "give texts=[…] to show_layers to search a data set";

export function tokensOfUnit(
  scene: Scene,
  place: ReadonlySignal<Place>,
  unit: { readonly value: number | null },
  abort: AbortSignal,
): HTMLElement {
  const { ramp, selection, side } = scene;
  const searched = signal<readonly string[]>([]);
  const nameOf = ({ side: whose, layer }: Place): string => `${whose}/${layer}`;
  const asked = scene.questions.about<Strongest>(() => {
    if (unit.value === null) return null;
    const search = searched.value.includes(nameOf(place.value));
    return { op: "strongest", ...place.value, unit: unit.value, search };
  }, abort);
  const title = h("h4", { class: "title" });
  const rows = h("div", { role: "group" });
  const about = h("div", { class: "caption" });
  const search = press(
    "",
    () => {
      searched.value = [...searched.peek(), nameOf(place.peek())];
    },
    abort,
  );
  watch(abort, () => {
    const found = asked.answer.value;
    const here = found && isOf(found.question, place.value) ? found : null;
    const which = here ? String(here.question["unit"]) : "…";
    const { texts = 0, seconds = 0, rows: all = [], n = 0 } = here?.reply ?? {};
    title.textContent = `tokens that set unit ${which} off most, in ${texts ? "their texts" : "this text"}`;
    set(rows, "aria-label", `Tokens that set unit ${which} off most`);
    search.hidden = seconds === 0 || asked.isWaiting.value;
    search.textContent = `search ${thousands(texts)} texts (about ${lasting(seconds)})`;
    const of = texts ? `${thousands(texts)} texts` : `this text; ${WITHOUT}`;
    const scope = all.length > 0 ? "of" : "nothing sets it off: it is nought at all";
    about.textContent =
      here && seconds === 0 ? `${scope} ${thousands(n)} tokens, without special ones, in ${of}` : "";
    const most = largest(all.map(([value]) => value));
    rows.replaceChildren(
      ...all.map(([value, text, at, label, before, after]) => {
        const shade = most > 0 ? Math.round((255 * Math.abs(value)) / most) : 0;
        const colour = colourAt(ramp.value, shade, value);
        const mark = h("mark", {}, plain(label));
        mark.style.background = css(colour);
        mark.style.color = inkOn(colour);
        const snippet = h(
          "span",
          { class: "snippet", dir: directionOf(before + label + after) },
          h("span", { class: "before" }, plain(before)),
          mark,
          h("span", { class: "after" }, plain(after)),
        );
        const more = texts ? [h("span", { class: "often" }, `text ${text}`)] : [];
        const parts = [h("span", { class: "number" }, number(value)), snippet, ...more];
        return texts
          ? h("div", { class: "found row" }, ...parts)
          : h("button", { type: "button", class: "found row", "data-token": at }, ...parts);
      }),
    );
  });
  const tokenAt = (index: number) => ({ side: side.peek(), index });
  listenToPointing(
    rows,
    (event) => {
      const row = (event.target as Element | null)?.closest<HTMLElement>("[data-token]");
      return row ? Number(row.dataset["token"]) : null;
    },
    {
      enter: (index) => hoverToken(selection, tokenAt(index), "query"),
      leave: () => hoverToken(selection, null),
      click: (index) => pinToken(selection, tokenAt(index), "query"),
    },
    abort,
  );
  const below = [search, rows, about, told(asked, "searching …", abort)];
  return h("section", { class: "tokens-of" }, title, h("div", { class: "rows" }, ...below));
}

/** Text in one line. */
const plain = (text: string): string => text.replaceAll("\n", "⏎");

const lasting = (seconds: number): string =>
  seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
