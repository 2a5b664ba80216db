// The panel of direct logits: which logit is taken apart, and what each part of the model adds to it.
// Twin: jtviz/views/layer_panels/direct.py.
// Required: which row, token or class is explained is said, and asked for by pinned tokens, not hovered ones.

import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals-core";
import { h, set, watch } from "../core/dom";
import { synced } from "../core/synced";
import { tokenOn } from "../core/token";
import { thousands } from "../core/words";
import { choice } from "../parts/controls";
import { type Reply, type Step, waterfall } from "./direct-waterfall";
import { type Asked, told } from "./questions";
import { type Panel, type Scene, tokensOf } from "./scene";
import { strip } from "./strip";

type Detail = "layer" | "head";
type Amount = "strongest" | "all";

const DETAILS = [
  ["layer", "By layer"],
  ["head", "By head"],
] as const;
const EXACT =
  "Exact under frozen layer norm: what each part adds through the residual stream alone; what later layers " +
  "make of it is theirs, and what comes from other tokens is in the heads.";

export const direct: Panel = (scene, abort) => {
  const { selection, meta, traits, questions } = scene;
  const predicting = "decoder" in meta.depth ? "decoder" : "encoder";
  const detail = synced(traits, "detail", abort);
  const answer = synced(traits, "answer", abort);
  const against = synced(traits, "against", abort);
  const amount = signal<Amount>("strongest");
  const about = computed(() => ({
    row: tokenOn(selection, selection.pinned.value, predicting, "query"),
    answer: answer.value,
    against: against.value,
  }));
  const asked = questions.about<Reply>(
    () => ({ op: "direct", ...about.value, by: detail.value, whole: amount.value === "all" }),
    abort,
  );
  const reply = computed(() => asked.answer.value?.reply ?? null);
  const unfolded = signal<[stage: string, layer: number] | null>(null);
  const inside = questions.about<{ steps: Step[] }>(() => {
    const open = unfolded.value;
    return open && { op: "direct_units", ...about.value, stage: open[0], layer: open[1] };
  }, abort);
  const either: Asked<unknown> = {
    answer: asked.answer,
    isWaiting: computed(() => asked.isWaiting.value || inside.isWaiting.value),
    late: computed(() => asked.late.value || inside.late.value),
    problem: computed(() => asked.problem.value || inside.problem.value),
  };
  const isStale = computed(() => asked.isWaiting.value || asked.problem.value !== "");
  const node = h(
    "div",
    { class: "panel-direct" },
    rows(scene, predicting, reply, abort),
    h(
      "div",
      { class: "direct-asked" },
      ...token("Answer", "Logit of", answer, reply, abort),
      ...token("Against", "minus that of", against, reply, abort),
    ),
    h(
      "div",
      { class: "line direct-ways" },
      choice<Detail>("Heads", DETAILS, detail as Signal<Detail>, abort),
      amounts(amount, reply, abort),
      told(either, "taking the logit apart …", abort),
    ),
    waterfall(scene, { reply, unfolded, inside, isStale }, abort),
    notes(reply, abort),
  );
  return node;
};

/** The text of the side that predicts, with what each row predicts below it. */
function rows(
  scene: Scene,
  predicting: string,
  reply: ReadonlySignal<Reply | null>,
  abort: AbortSignal,
): HTMLElement {
  const { selection, meta, ramp } = scene;
  const own = { ...scene, side: computed(() => predicting) };
  const text = tokensOf(scene, predicting);
  const predicts = computed(() => reply.value?.predicts ?? (predicting === "decoder" ? meta.predicts : null));
  const shade = (index: number) => {
    const note = predicts.value?.[index] ?? "";
    const isRow = reply.value?.row === index;
    const title = `reading ${text[index] ?? ""}${note && `, predicting ${note}`}`;
    return { note, title, ...(isRow && { colour: ramp.value.colours[56] ?? ([0, 0, 0] as const) }) };
  };
  const tokens = strip(own, shade, abort, () => reply.value?.row ?? null);
  // A token can be pinned in a stage that has it.
  const first = meta.stages.find(({ query }) => query === predicting);
  tokens.addEventListener(
    "click",
    (event) => {
      const isToken = (event.target as Element).closest("[data-token]") !== null;
      const { query, key } = selection.current.peek();
      if (isToken && first && query !== predicting && key !== predicting) selection.toStage(first.name);
    },
    { capture: true, signal: abort },
  );
  const words = h("div", { class: "caption direct-said" });
  watch(abort, () => {
    const found = reply.value;
    const isClass = found !== null && found.row === null;
    tokens.hidden = isClass || (found === null && meta.predicts === null);
    const other = scene.side.value === predicting ? "" : `The ${predicting} predicts, so it is shown here. `;
    const row = found?.row ?? null;
    const from = `Below each token that is read: what its row predicts. `;
    const which = row === null ? "" : `Row ${thousands(row)} is explained; click a token for another.`;
    words.hidden = tokens.hidden && !isClass;
    words.textContent = isClass ? `${other}The whole text is read for a class.` : other + from + which;
  });
  return h("div", {}, words, tokens);
}

/** One token or class to name: typed, or one of the likeliest. */
function token(
  name: string,
  label: string,
  chosen: Signal<string | null>,
  reply: ReadonlySignal<Reply | null>,
  abort: AbortSignal,
): HTMLElement[] {
  const isAnswer = name === "Answer";
  const field = h("input", { type: "text", "aria-label": name, spellcheck: "false", autocomplete: "off" });
  const list = h("div", { role: "group", "aria-label": `${name}, likeliest here`, class: "group" });
  watch(abort, () => {
    field.value = chosen.value ?? "";
  });
  watch(abort, () => {
    field.placeholder = isAnswer ? (reply.value?.name ?? "") : "nothing";
  });
  const take = (): void => {
    chosen.value = field.value.trim() || null;
  };
  field.addEventListener("change", take, { signal: abort });
  field.addEventListener("keydown", ({ key }) => key === "Enter" && take(), { signal: abort });
  watch(abort, () => {
    const found = reply.value;
    const shown = (isAnswer ? found?.name : found?.against) ?? null;
    const offered = (found?.candidates ?? []).filter((one) => isAnswer || one[1] !== found?.name);
    list.hidden = offered.length === 0;
    list.replaceChildren(
      ...offered.map(([word, said, logit]) => {
        const small = h("small", { class: "caption" }, logit.toFixed(1).replace("-", "−"));
        const isShown = shown === said;
        const button = h(
          "button",
          { type: "button", class: "option", "aria-pressed": isShown, title: `logit ${logit.toFixed(3)}` },
          h("span", { dir: "auto" }, said),
          small,
        );
        button.addEventListener("click", () => {
          chosen.value = isShown ? null : word;
        });
        return button;
      }),
    );
  });
  return [h("span", { class: "caption" }, label), field, list];
}

/** Whether the weak ones are taken together; nothing to choose where all are few. */
function amounts(
  amount: Signal<Amount>,
  reply: ReadonlySignal<Reply | null>,
  abort: AbortSignal,
): HTMLElement {
  const options = [
    ["strongest", "Strongest"],
    ["all", "All"],
  ] as const;
  const node = choice<Amount>("Parts", options, amount, abort);
  watch(abort, () => {
    const found = reply.value;
    node.hidden =
      !found || (amount.value === "strongest" && found.steps.every(({ kind }) => kind !== "others"));
    set(node, "title", found ? `${thousands(found.count)} parts in all` : undefined);
  });
  return node;
}

function notes(reply: ReadonlySignal<Reply | null>, abort: AbortSignal): HTMLElement {
  const node = h("div", { class: "caption direct-notes" });
  watch(abort, () => {
    const found = reply.value;
    node.hidden = found === null;
    const more = (found?.notes ?? []).map((note) => ` ${note[0]?.toUpperCase()}${note.slice(1)}.`);
    node.textContent = EXACT + more.join("");
  });
  return node;
}
