// What the model says intact and pruned, side by side, and how far apart that is.
// Required: a result of another choice is never shown as if it were of this one; differences are to be
// seen without colour.

import { colourAt, css, inkOn } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { number } from "../core/words";
import { countInWords, sizeOf } from "./mask";
import type { Scene } from "./scene";
import type { Outcome, Said } from "./types";

export function result(scene: Scene, abort: AbortSignal): HTMLElement {
  const { mask, answer } = scene;
  const state = h("div", { class: "caption state", role: "status", "aria-label": "State of the result" });
  const body = h("div", { class: "said" });
  const node = h("section", { class: "result", "aria-label": "What the model says" }, body, state);
  watch(abort, () => {
    const outcome = scene.outcome.value;
    const isNone = sizeOf(mask.settled.value) === 0;
    body.replaceChildren(...(outcome ? told(scene, outcome, isNone) : []));
  });
  watch(abort, () => {
    const isOld = answer.isStale.value && !mask.isIntact.value;
    body.classList.toggle("stale", isOld);
    set(body, "aria-busy", isOld);
    const isNone = sizeOf(mask.settled.value) === 0;
    const { seconds = null } = scene.outcome.value ?? {};
    state.textContent = isNone
      ? "nothing is off: click a head"
      : answer.isComing && !answer.isWaiting.value
        ? "computing …"
        : isOld
          ? "this is not the result of what is off now"
          : seconds === null
            ? ""
            : `computed in ${seconds < 0.095 ? "less than 0.1" : seconds.toFixed(1)} s`;
  });
  return node;
}

/** The parts of a result. With nothing off, and while it is compared, the second is the intact model too. */
function told(scene: Scene, outcome: Outcome, isNone: boolean): HTMLElement[] {
  const isIntact = isNone || scene.mask.isIntact.value;
  const now = isIntact ? outcome.intact : outcome.pruned;
  // An old result keeps its own heading: it is not of what is off now.
  const name = isIntact ? "Intact, to compare" : `With ${countInWords(outcome.state)} off`;
  const values: Pair[] = [["", outcome.intact.value, isNone ? null : now.value]];
  const parts: HTMLElement[] = [];
  if (outcome.kind === "text") {
    const columns = [column("Intact", outcome.intact, !isIntact)];
    if (!isNone) columns.push(column(name, now, !isIntact, true));
    parts.push(h("div", { class: "columns" }, ...columns));
  }
  parts.push(pairs(outcome.score_words, values, isNone ? "" : name.toLowerCase()));
  if (outcome.kind !== "text") {
    const title = outcome.kind === "next" ? "Next token" : "Class";
    const rows = together(outcome.intact, now).map(([word, a, b]): Pair => [word, a, isNone ? null : b]);
    parts.push(pairs(title, rows, isNone ? "" : name.toLowerCase()));
  }
  if (!isNone) {
    const apart = h("div", { class: "apart" }, ...distance(scene, outcome));
    // Compared with itself, the model is at no distance; the room stays, so that nothing jumps.
    apart.classList.toggle("unseen", isIntact);
    parts.push(apart);
  }
  const notes = outcome.notes.map((note) => h("li", {}, note));
  if (notes.length) parts.push(h("ul", { class: "notes", "aria-label": "Notes" }, ...notes));
  return parts;
}

/** What only one of the two says is struck out in the intact text, and underlined in the other. */
function column(name: string, { pieces, text }: Said, isMarked: boolean, isNow = false): HTMLElement {
  const marked = pieces.map(([kind, piece]) => {
    if (!isMarked || kind === "same") return piece;
    return h(isNow ? "ins" : "del", {}, piece);
  });
  const flow = h("div", { class: "model-text", dir: "auto" }, ...(marked.length ? marked : [text]));
  return h(
    "div",
    { class: "saying", role: "group", "aria-label": name },
    h("div", { class: "title" }, name),
    flow,
  );
}

type Pair = [name: string, intact: number | null, now: number | null];

/** The probabilities of both, the intact ones first. */
function together(intact: Said, now: Said): Pair[] {
  const [before, after] = [new Map(intact.top), new Map(now.top)];
  const names = [...before.keys(), ...[...after.keys()].filter((name) => !before.has(name))];
  return names.map((name) => [name, before.get(name) ?? null, after.get(name) ?? null]);
}

/** Two bars a row, the intact above. */
function pairs(title: string, rows: readonly Pair[], name: string): HTMLElement {
  const sizes = rows.flatMap(([, a, b]) => [Math.abs(a ?? 0), Math.abs(b ?? 0)]);
  const isNamed = rows.some(([word]) => word !== "");
  // A probability is a share of one; anything else, of the largest.
  const most = Math.max(...sizes) <= 1 ? 1 : Math.max(...sizes);
  const bar = (which: string, value: number | null): HTMLElement => {
    const node = h("span", { class: `pair ${which}` });
    node.style.setProperty("--share", String(value === null ? 0 : Math.abs(value) / most));
    return node;
  };
  const said = (value: number | null): string => (value === null ? "–" : number(value));
  const lines = rows.map(([word, a, b]) => {
    const difference = a === null || b === null ? null : b - a;
    return h(
      "tr",
      {},
      ...(isNamed ? [h("th", { scope: "row", dir: "auto" }, word)] : []),
      h("td", { class: "bars", "aria-hidden": "true" }, bar("before", a), ...(name ? [bar("after", b)] : [])),
      h("td", {}, said(a)),
      ...(name
        ? [
            h("td", { class: "now" }, said(b)),
            h("td", { class: "change" }, difference === null ? "" : signed(difference)),
          ]
        : []),
    );
  });
  const names = ["intact", ...(name ? ["now", "change"] : [])];
  const heads = names.map((word) => h("th", { scope: "col" }, word));
  return h(
    "table",
    { class: "pairs", "aria-label": name ? `${title}, intact and ${name}` : title },
    h("caption", {}, title),
    h("thead", {}, h("tr", {}, h("td", { colspan: isNamed ? 2 : 1 }), ...heads)),
    h("tbody", {}, ...lines),
  );
}

const signed = (value: number): string => `${value > 0 ? "+" : ""}${number(value)}`;

/** How far the predictions are apart, as a whole and by token. */
function distance({ ramp }: Scene, { kl, kl_words, rows }: Outcome): HTMLElement[] {
  if (kl === null) return [];
  const line = h(
    "div",
    { class: "line" },
    h("span", {}, `KL divergence ${number(kl)} nats`),
    h("span", { class: "about" }, kl_words),
  );
  if (rows.length < 2) return [line];
  const most = Math.max(...rows.map(([, value]) => value));
  const tokens = rows.map(([label, value]) => {
    const words = `${label}: ${number(value)} nats`;
    const token = h("span", { class: "token", role: "listitem", "aria-label": words, title: words }, label);
    const colour = colourAt(ramp.value, most > 0 ? Math.round((255 * value) / most) : 0, 1);
    token.style.setProperty("--shade", css(colour));
    token.style.setProperty("--ink-on", inkOn(colour));
    return token;
  });
  const strip = h(
    "div",
    { class: "flow", role: "list", "aria-label": "KL divergence of each token" },
    ...tokens,
  );
  const title = `by token of the output · full colour: ${number(most)} nats`;
  return [line, h("div", {}, h("div", { class: "title" }, title), strip)];
}
