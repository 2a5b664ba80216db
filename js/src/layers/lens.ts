// The panel of the lens: what would be predicted if the model ended after each layer.
// Twin: jtviz/views/layer_panels/lens.py. Required: only positions in sight, and a few beside, are asked for.

import { computed, signal } from "@preact/signals-core";
import { css } from "../core/colour";
import { h, watch } from "../core/dom";
import { synced } from "../core/synced";
import { pinToken, tokenOn } from "../core/token";
import { number, thousands } from "../core/words";
import { choice, select } from "../parts/controls";
import { paths } from "./lens-path";
import {
  type Column,
  chance,
  columnsOf,
  type LensReply,
  MEASURES,
  type Measure,
  mostOf,
  type Path,
  pathOf,
} from "./lens-rows";
import { type Place, show, sightOf, table } from "./lens-table";
import { tuned } from "./lens-tuned";
import { type Question, told } from "./questions";
import { layerName, type Panel, type Scene, tokensOf } from "./scene";
import type { TunedAbout } from "./types";

/** Positions are asked for in steps of this many, and at most so many at once. */
const STEP = 8;
const MOST = 64;
/** Tokens that are followed beside the answer. */
const FOLLOWED = 3;

export const lens: Panel = (scene, abort) => {
  const { traits, selection, meta } = scene;
  const side = "decoder" in meta.depth ? "decoder" : "encoder";
  const depth = meta.depth[side] ?? 1;
  const text = tokensOf(scene, side);
  const through = synced(traits, "through", abort);
  const colour = synced(traits, "lens_colour", abort);
  const aboutTuned = synced(traits, "tuned_about", abort);
  const about = computed(() => ("number" in aboutTuned.value ? (aboutTuned.value as TunedAbout) : null));
  const isTuned = computed(() => through.value === "tuned");
  const lacks = computed(() => isTuned.value && !about.value);
  const start = signal(0);
  const sight = sightOf(start, scene.width, text.length);

  /** What names the lens; another tuned one has another number. */
  const looking = computed(() =>
    isTuned.value ? { through: "tuned", tuned: about.value?.number ?? 0 } : { through: "logit" },
  );
  const spanOf = (first: number, last: number): Question => ({
    op: "lens",
    ...looking.value,
    first,
    last: Math.min(text.length, last, first + MOST),
  });
  const inSight = computed((): [number, number] => {
    const [first, last] = sight.value;
    return [Math.floor(first / STEP) * STEP, Math.ceil(last / STEP) * STEP];
  });
  const asked = scene.questions.about<LensReply>(
    () => (lacks.value ? null : spanOf(...inSight.value)),
    abort,
  );
  // What comes next, once what is in sight is here.
  const ahead = scene.questions.about<LensReply>(() => {
    const [first, last] = inSight.value;
    const isBusy = lacks.value || asked.isWaiting.value || !asked.answer.value;
    return isBusy || last >= text.length ? null : spanOf(last, last + Math.max(STEP, last - first));
  }, abort);
  const vocabulary = signal(2);
  const columns = signal<ReadonlyMap<number, Column>>(new Map());
  let seenBy = "";
  watch(abort, () => {
    const { through: kind, tuned: which } = looking.value as Record<string, unknown>;
    const answers = [asked.answer.value, ahead.answer.value];
    const name = JSON.stringify([kind, which]);
    // What another lens saw is not kept.
    const known = name === seenBy ? columns.peek() : new Map<number, Column>();
    seenBy = name;
    const fresh = answers.flatMap((answer) => {
      const isOfThis =
        answer && JSON.stringify([answer.question["through"], answer.question["tuned"]]) === name;
      if (!isOfThis) return [];
      vocabulary.value = answer.reply.vocabulary;
      return [...columnsOf(answer)];
    });
    columns.value = new Map([...known, ...fresh]);
  });
  const most = computed(() => {
    const all = [...columns.value.values()].flatMap(({ cells }) => cells);
    return mostOf(colour.value, all, vocabulary.value);
  });

  const at = signal<Place | null>(null);
  const pinned = computed(() => tokenOn(selection, selection.pinned.value, side, "query"));
  const followed = signal<{ row: number | null; tokens: number[] }>({ row: null, tokens: [] });
  const pick = ({ layer, row }: Place): void => {
    const id = columns.peek().get(row)?.cells[layer]?.tokens[0]?.id;
    const before = pinned.peek();
    const old = followed.peek().row === row ? followed.peek().tokens : [];
    const isAnswer = id === columns.peek().get(row)?.answer.id;
    const tokens = id === undefined || isAnswer || old.includes(id) ? old : [...old, id].slice(-FOLLOWED);
    followed.value = { row, tokens };
    show(scene, side);
    if (before !== row) pinToken(selection, { side, index: row }, "query");
  };
  const askedPath = scene.questions.about<Pick<Path, "row" | "tokens" | "words">>(() => {
    const row = pinned.value;
    if (row === null || lacks.value) return null;
    const tokens = followed.value.row === row ? followed.value.tokens : [];
    return { op: "lens_path", ...looking.value, row, tokens };
  }, abort);
  const path = computed(() => (askedPath.answer.value ? pathOf(askedPath.answer.value) : null));

  const shown = h(
    "div",
    { class: "block" },
    table({ scene, side, depth, columns, colour, most, sight, start, at, pick }, abort),
    legend(scene, colour, most, abort),
    told(asked, "reading what each layer predicts …", abort),
    detail(scene, side, columns, at, pinned, abort),
  );
  watch(abort, () => {
    shown.hidden = lacks.value;
  });
  const close = (): void => {
    const row = pinned.peek();
    if (row !== null) pinToken(selection, { side, index: row }, "query");
  };
  const remove = (id: number): void => {
    const { row, tokens } = followed.peek();
    followed.value = { row, tokens: tokens.filter((other) => other !== id) };
  };
  const title = computed(() => {
    const row = path.value?.row ?? 0;
    return `position ${row}, reading ${text[row] ?? ""}`;
  });
  return h(
    "div",
    { class: "panel-lens" },
    h(
      "div",
      { class: "line" },
      choice(
        "Through",
        [
          ["logit", "Logit lens"],
          ["tuned", "Tuned lens"],
        ],
        through,
        abort,
      ),
      select<Measure>("Colour", () => MEASURES, colour, abort),
    ),
    explanation(scene, side, abort),
    tuned(
      scene,
      about,
      synced(traits, "training", abort),
      synced(traits, "training_problem", abort),
      isTuned,
      abort,
    ),
    shown,
    paths(scene, path, vocabulary, { title, remove, close }, abort),
    told(askedPath, "following the tokens …", abort),
  );
};

/** What the table is, in words. */
function explanation(scene: Scene, side: string, abort: AbortSignal): HTMLElement {
  const line = h("p", { class: "about" });
  watch(abort, () => {
    const where =
      side === "decoder"
        ? "what the decoder reads; a cell: the token that would come next if the model ended after that layer"
        : "what the encoder reads; a cell: the token that would stand there if the model ended after that layer";
    const other =
      scene.side.value === side
        ? ""
        : ` The ${scene.side.value} predicts no tokens; a click shows the ${side}.`;
    line.textContent = `Rows: layers, the last on top. Columns: ${where}. Bold: the model’s own answer.${other}`;
  });
  return line;
}

function legend(
  { ramp }: Scene,
  colour: { value: Measure },
  most: { value: number },
  abort: AbortSignal,
): HTMLElement {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  const [least, top, words] = [h("span", {}), h("span", {}), h("span", { class: "words" })];
  watch(abort, () => {
    const { colours } = ramp.value;
    const stops = Array.from({ length: 9 }, (_, i) => css(colours[Math.round((i / 8) * 255)] ?? [0, 0, 0]));
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    const by = colour.value;
    least.textContent = by === "rank" ? thousands(most.value) : "0";
    top.textContent = by === "rank" ? "1" : by === "probability" ? "1" : `${number(most.value)} nats`;
    const said: Record<Measure, string> = {
      probability: "probability of the token in the cell",
      entropy: "entropy: how undecided the layer is, up to the most so far",
      divergence: "KL(last layer ‖ this layer): how far from what the model says, up to the most so far",
      rank: "rank of the model’s answer in the layer, log scale; 1 is the likeliest",
    };
    words.textContent = said[by];
  });
  return h("div", { class: "legend" }, h("span", { class: "scale" }, least, bar, top), words);
}

/** The likeliest tokens of the cell that is pointed at, in a place of their own. */
function detail(
  scene: Scene,
  side: string,
  columns: { value: ReadonlyMap<number, Column> },
  at: { value: Place | null },
  pinned: { value: number | null },
  abort: AbortSignal,
): HTMLElement {
  const text = tokensOf(scene, side);
  const place = h("div", { class: "lens-place" });
  const list = h("ol", { class: "lens-top", "aria-label": "The likeliest tokens" });
  const numbers = h("div", { class: "lens-numbers" });
  const node = h("div", { class: "status lens-detail", role: "status" }, place, list, numbers);
  watch(abort, () => {
    const layer = scene.side.value === side ? scene.layer.value : (scene.meta.depth[side] ?? 1) - 1;
    const where = at.value ?? (pinned.value === null ? null : { layer, row: pinned.value });
    const column = where ? columns.value.get(where.row) : undefined;
    const cell = where ? column?.cells[where.layer] : undefined;
    if (!(where && column && cell)) {
      place.textContent =
        "point at a cell to read its likeliest tokens · click to follow them through the layers";
      list.replaceChildren();
      numbers.textContent = "";
      return;
    }
    place.textContent = `${layerName(where.layer)} · position ${where.row}, reading ${text[where.row] ?? ""}`;
    list.replaceChildren(
      ...cell.tokens.map(({ id, word, probability }) =>
        h(
          "li",
          { class: id === column.answer.id ? "agrees" : "", title: word },
          h("span", { dir: "auto" }, word),
          h("small", {}, chance(probability)),
        ),
      ),
    );
    const { entropy, divergence, rank, answerProbability } = cell;
    numbers.textContent =
      `entropy ${number(entropy)} nats · KL ${number(divergence)} nats · ` +
      `the answer ${column.answer.word} has rank ${thousands(rank)}, ${chance(answerProbability)}`;
  });
  return node;
}
