// The panel of similarity: the tokens of a layer with each other, one token with itself across layers, and
// layers with each other over this text. Twin: jtviz/views/layer_panels/similarity.py.
// Required: one colour scale for all layers and tokens; what makes everything look alike is said beside it.

import { computed, type ReadonlySignal, signal } from "@preact/signals-core";
import { h, watch } from "../core/dom";
import { listenToPointing } from "../core/pointing";
import { synced } from "../core/synced";
import { hoverToken, pinToken, tokenOn } from "../core/token";
import { number, thousands } from "../core/words";
import { choice, tick } from "../parts/controls";
import type { Block } from "./cells";
import { heatmap } from "./heatmap";
import type { HeatmapOptions, Reading } from "./heatmap-options";
import { told } from "./questions";
import { layerName, marksOf, type Panel, type Scene, tokensOf } from "./scene";
import { strip } from "./strip";
import type { SimilarityTraits } from "./types";

type Compared = SimilarityTraits["compared"];

const COMPARED: readonly (readonly [Compared, string])[] = [
  ["tokens", "Tokens"],
  ["itself", "One token across layers"],
  ["layers", "Layers"],
];

/** From this mean on, tokens are said to look alike all of them. */
const ALIKE = 0.5;

interface Near {
  tokens: number[];
  values: number[];
  /** Over all pairs of tokens. */
  mean: number;
}

interface Aligned extends Block {
  /** Over how many of them. */
  tokens: number;
  /** What so few make of it; empty where there are enough. */
  few: string;
}

interface Centring {
  centred: ReadonlySignal<boolean>;
}

type Part = (scene: Scene, how: Centring, abort: AbortSignal) => HTMLElement;

export const similarity: Panel = (scene, abort) => {
  const compared = synced(scene.traits, "compared", abort);
  const centred = synced(scene.traits, "centred", abort);
  const centring = tick("centred: without the layer’s mean vector", centred, abort);
  const body = h("div", {});
  const parts: Record<Compared, Part> = { tokens, itself, layers };
  let life = new AbortController();
  abort.addEventListener("abort", () => life.abort(), { once: true });
  watch(abort, () => {
    const part = parts[compared.value];
    life.abort();
    life = new AbortController();
    const { signal: alive } = life;
    // Centring changes no alignment of layers.
    const isIdle = compared.value === "layers";
    centring.classList.toggle("idle", isIdle);
    for (const box of centring.querySelectorAll("input")) box.disabled = isIdle;
    // Not to be drawn anew when what the part reads changes.
    queueMicrotask(() => {
      if (!alive.aborted) body.replaceChildren(part(scene, { centred }, alive));
    });
  });
  const controls = h(
    "div",
    { class: "controls" },
    choice("What is compared", COMPARED, compared, abort),
    centring,
  );
  return h("div", { class: "panel-similarity" }, controls, body);
};

/** The token of the side that is pinned, or pointed at, in whichever view. */
const tokenAt =
  ({ selection, side }: Scene, which: "hovered" | "pinned") =>
  (): number | null =>
    tokenOn(selection, selection[which].value, side.value, "query");

/** The token that is spoken of: pinned, else pointed at, else the first. */
const focusOf = (scene: Scene): ReadonlySignal<number> =>
  computed(() => tokenAt(scene, "pinned")() ?? tokenAt(scene, "hovered")() ?? 0);

const named = (scene: Scene, token: number): string =>
  `${token} ${tokensOf(scene, scene.side.value)[token] ?? ""}`;

const without = ({ centred }: Centring): string =>
  centred.value ? ", the mean vector of the layer subtracted" : "";

function tokens(scene: Scene, how: Centring, abort: AbortSignal): HTMLElement {
  const { selection, side, layer } = scene;
  const across = signal<number | null>(null);
  const text = computed(() => tokensOf(scene, side.value));
  const lines = {
    count: () => text.value.length,
    label: (token: number) => text.value[token] ?? "",
    isText: true,
    marked: marksOf(scene),
  };
  const map = heatmap<Block>(
    {
      name: () => `Cosine similarity ${layerName(layer.value)}, ${side.value}: tokens down and across`,
      kinds: ["token", "token"],
      rows: { ...lines, hovered: tokenAt(scene, "hovered"), pinned: tokenAt(scene, "pinned") },
      columns: { ...lines, turned: true, hovered: () => across.value, pinned: () => null },
      question: (part) => ({
        op: "similar",
        side: side.value,
        layer: layer.value,
        centred: how.centred.value,
        ...part,
      }),
      limit: () => 1,
      isSquare: true,
      isWritten: true,
      legend: () =>
        `cosine similarity of the row’s token and the column’s, ${layerName(layer.value)}${without(how)}: ` +
        "1 is the same direction, −1 the opposite",
      hint: "hover a cell to read it, click to pin its row",
      say: ({ row, column, ...reading }) =>
        column === null
          ? `token ${named(scene, row)} · ${layerName(layer.value)}`
          : `${named(scene, row)} and ${named(scene, column)} · cosine similarity ${valued(reading)}`,
      hover: (row, column) => {
        across.value = column;
        hoverToken(selection, row === null ? null : { side: side.peek(), index: row }, "query");
      },
      click: (row) => pinToken(selection, { side: side.peek(), index: row }, "query"),
    },
    scene,
    abort,
  );
  return h("div", {}, map.node, neighbours(scene, how, abort));
}

/** The tokens most like the one in focus, to point at and pin. */
function neighbours(scene: Scene, how: Centring, abort: AbortSignal): HTMLElement {
  const { selection, side, layer } = scene;
  const focus = focusOf(scene);
  const asked = scene.questions.about<Near>(
    () => ({
      op: "nearest",
      side: side.value,
      layer: layer.value,
      token: focus.value,
      centred: how.centred.value,
    }),
    abort,
  );
  const name = h("span", { class: "name" });
  const list = h("span", { class: "flow" });
  const mean = h("div", { class: "caption" });
  watch(abort, () => {
    const found = asked.answer.value;
    if (!found) return;
    const { tokens, values, mean: all } = found.reply;
    const token = Number(found.question["token"]);
    const isAlone = tokens.length === 0;
    name.textContent = isAlone
      ? "a single token: there is none to compare it with"
      : `Most like ${named(scene, token)}:`;
    list.replaceChildren(
      ...tokens.map((index, i) => {
        const label = h("span", {}, tokensOf(scene, side.value)[index] ?? "");
        const value = h("small", { dir: "ltr" }, number(values[i] ?? 0));
        const more = { "data-token": index, dir: "auto", "aria-label": `Token ${named(scene, index)}` };
        return h("button", { type: "button", class: "token", ...more }, label, value);
      }),
    );
    const alike =
      all > ALIKE && !how.centred.value ? "; all look alike: “centred” takes away what they share" : "";
    mean.textContent = isAlone ? "" : `mean over all pairs of tokens ${number(all)}${alike}`;
  });
  const of = (event: Event): number | null => {
    const button = (event.target as Element | null)?.closest<HTMLElement>("[data-token]");
    return button ? Number(button.dataset["token"]) : null;
  };
  const token = (index: number) => ({ side: side.peek(), index });
  listenToPointing(
    list,
    of,
    {
      // Pointing at a token would change what the list is of, while nothing is pinned.
      enter: (index) => {
        if (tokenAt(scene, "pinned")() !== null) hoverToken(selection, token(index), "query");
      },
      leave: () => hoverToken(selection, null),
      click: (index) => pinToken(selection, token(index), "query"),
    },
    abort,
  );
  const line = h("div", { class: "near", role: "group", "aria-label": "Most alike" }, name, list);
  return h("div", { class: "block" }, line, mean, told(asked, "", abort));
}

const valued = ({ value, among }: Pick<Reading, "value" | "among">): string => {
  if (value === null) return "…";
  if (Number.isNaN(value)) return "none: a layer is the same for all tokens";
  return number(value) + (among ? ` (${among})` : "");
};

/** Layers down and across: the row of the layer shown is framed, and one that is clicked is shown. */
function ofLayers(
  scene: Scene,
  measure: string,
  what: Pick<HeatmapOptions, "name" | "question" | "legend" | "isPositive" | "hint">,
): HeatmapOptions {
  const [down, across] = [signal<number | null>(null), signal<number | null>(null)];
  const count = (): number => scene.depth.value;
  const label = (at: number): string => (at === 0 ? "before layer 0" : layerName(at));
  return {
    ...what,
    kinds: ["layer", "layer"],
    rows: { count, label, hovered: () => down.value, pinned: () => scene.layer.value },
    columns: { count, label, turned: true, hovered: () => across.value, pinned: () => null },
    limit: () => 1,
    isSquare: true,
    isWritten: true,
    say: ({ row, column, ...reading }) =>
      // The row of the layer shown is framed without being pointed at.
      column === null ? what.hint : `${label(row)} and ${label(column)} · ${measure} ${valued(reading)}`,
    hover: (row, column) => {
      down.value = row;
      across.value = column;
    },
    click: (row) => scene.toLayer(row),
  };
}

function itself(scene: Scene, how: Centring, abort: AbortSignal): HTMLElement {
  const focus = focusOf(scene);
  const { side } = scene;
  const map = heatmap<Block>(
    ofLayers(scene, "cosine similarity", {
      name: () => `Cosine similarity of token ${named(scene, focus.value)} to itself: layers down and across`,
      question: (part) => ({
        op: "itself",
        side: side.value,
        token: focus.value,
        centred: how.centred.value,
        ...part,
      }),
      legend: () =>
        `cosine similarity of token ${named(scene, focus.value)} in the row’s layer to itself in the ` +
        `column’s${without(how)}`,
      hint: "pin a token above · click a cell to show its row’s layer",
    }),
    scene,
    abort,
  );
  return h(
    "div",
    {},
    strip(scene, () => ({}), abort),
    map.node,
  );
}

function layers(scene: Scene, _: Centring, abort: AbortSignal): HTMLElement {
  const map = heatmap<Aligned>(
    ofLayers(scene, "linear CKA", {
      name: () => `Linear CKA of layers, ${scene.side.value}: layers down and across`,
      question: (part) => ({ op: "aligned", side: scene.side.value, ...part }),
      legend: () =>
        "linear CKA of the row’s layer and the column’s: 1 where the tokens of one are those of the other " +
        "but for rotation and scale",
      isPositive: true,
      hint: "hover a cell to read it, click to show its row’s layer",
    }),
    scene,
    abort,
  );
  const over = h("p", { class: "about" });
  watch(abort, () => {
    const reply = map.asked.answer.value?.reply;
    over.textContent = reply ? `Over the ${thousands(reply.tokens)} tokens of this text. ${reply.few}` : "";
  });
  const more = h(
    "p",
    { class: "about" },
    "Over many texts, or between two models: ",
    h("code", {}, "jtviz.analysis.cka(read(a, texts), read(b, texts))"),
    ", with ",
    h("code", {}, "jtviz.analysis.read"),
    ".",
  );
  return h("div", {}, map.node, over, more);
}
