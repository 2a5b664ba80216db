// What is on top of raw attention, what is hidden, what is kept, and how it is coloured.

import { computed, type Signal, signal } from "@preact/signals-core";
import { h, watch } from "../core/dom";
import { isThrough } from "../core/settings";
import type { Role, Span } from "../core/types";
import { amount, choice, press, select, tick } from "../parts/controls";
import type { Scene } from "../parts/picture";

export function weightsPanel(scene: Scene, abort: AbortSignal): HTMLElement {
  const { settings: s, selection } = scene;
  const { meta } = selection;
  const about = h("p", { class: "about" });
  watch(abort, () => {
    about.textContent = meta.weightings.find(([name]) => name === s.weighting.value)?.[1] ?? "";
  });
  const weightings = (): [string, string, string?][] =>
    meta.weightings.map(([name, , lack]) => [name, NAMES[name] ?? name, lack || isOff(name)]);
  const isOff = (name: string): string =>
    name === "rollout" && selection.stage.value === "cross" ? "not in cross attention" : "";
  watch(abort, () => {
    if (isOff(s.weighting.value)) s.weighting.value = "raw";
  });
  const everyLayer = computed(() => s.also.value.length > 0);
  const layers = press(
    "all layers",
    () => {
      const { heads } = selection.current.peek();
      const chosen = selection.heads.peek();
      s.also.value = everyLayer.peek()
        ? []
        : heads.flatMap((count, layer) =>
            layer === selection.layer.peek()
              ? []
              : chosen.filter((head) => head < count).map((head): [number, number] => [layer, head]),
          );
    },
    abort,
  );
  watch(abort, () => {
    layers.textContent = everyLayer.value ? "this layer only" : "all layers";
    layers.disabled = s.weighting.value === "relevance";
  });
  const combine = choice(
    "Heads together",
    [
      ["mean", "mean"],
      ["max", "max"],
      ["sum", "sum"],
    ],
    s.combine,
    abort,
  );
  watch(abort, () => combine.classList.toggle("idle", isThrough(s.weighting.value)));
  const hide = h("input", {
    type: "text",
    "aria-label": "Hide tokens that read",
    placeholder: "token …",
    size: 8,
  });
  hide.addEventListener(
    "change",
    () => {
      if (hide.value && !s.hide.peek().includes(hide.value)) s.hide.value = [...s.hide.peek(), hide.value];
      hide.value = "";
    },
    { signal: abort },
  );
  const chips = h("span", { class: "chips" });
  watch(abort, () => {
    chips.replaceChildren(
      ...s.hide.value.map((text) =>
        press(
          `${text} ×`,
          () => {
            s.hide.value = s.hide.peek().filter((other) => other !== text);
          },
          abort,
          {
            "aria-label": `Show ${text} again`,
          },
        ),
      ),
    );
  });
  const row = (name: string, ...nodes: Node[]): HTMLElement =>
    h(
      "div",
      { class: "line", role: "group", "aria-label": name },
      h("span", { class: "name", "aria-hidden": "true" }, name),
      ...nodes,
    );
  return h(
    "section",
    { class: "panel", "aria-label": "What is shown" },
    row("Weights", select("Weighting", weightings, s.weighting, abort), about),
    row("Together", combine, layers, unitChoice(scene, abort)),
    row(
      "Hide",
      tick("special tokens", s.hide_special, abort),
      tick("first token", s.hide_first, abort),
      hide,
      chips,
      tick("make the rest sum to one", s.renormalise, abort),
    ),
    row("Only", spans(scene, "query", s.query_span, abort), spans(scene, "key", s.key_span, abort)),
    row(
      "Keep",
      amount("strongest of each row", s.top_k, { min: 0, step: 1, unit: "(0: all)" }, abort),
      amount("share of each row", s.top_mass, { min: 1, max: 100, step: 1, unit: "%", factor: 100 }, abort),
      amount("weights from", s.threshold, { min: 0, step: "any" }, abort),
    ),
    row(
      "Colour",
      choice(
        "Scale",
        [
          ["linear", "linear"],
          ["sqrt", "√"],
          ["log", "log"],
          ["rank", "rank"],
        ],
        s.scale,
        abort,
      ),
      choice(
        "Full colour",
        [
          ["picture", "largest of all"],
          ["row", "of each row"],
        ],
        s.per,
        abort,
      ),
      choice(
        "Pooled by",
        [
          ["max", "max"],
          ["mean", "mean"],
        ],
        s.pool,
        abort,
      ),
      tick("hatch where a query cannot look", s.show_mask, abort),
      tick("numbers in the cells", s.annotate, abort),
    ),
  );
}

const NAMES: Record<string, string> = {
  raw: "raw attention",
  value: "× |value|",
  output: "× |value W_O|",
  gradient: "× gradient",
  rollout: "rollout",
  relevance: "relevance",
};

function unitChoice(scene: Scene, abort: AbortSignal): HTMLElement {
  const node = choice(
    "Unit",
    [
      ["token", "tokens"],
      ["word", "words"],
    ],
    scene.settings.unit,
    abort,
  );
  node.title = "A word as key is the sum over its tokens, as query the mean over them.";
  return node;
}

/** Named parts of a side to choose from; a part set from Python is named by its tokens. */
function spans(scene: Scene, role: Role, chosen: Signal<Span | null>, abort: AbortSignal): HTMLElement {
  const name = signal("");
  const named = computed((): [string, string][] => {
    const { stage } = scene.shown.value;
    const own = (scene.selection.meta.spans[stage[role]] ?? []).map(([label, from, to]): [string, string] => [
      `${from}-${to}`,
      label,
    ]);
    const now = chosen.value?.join("-");
    if (now && !own.some(([value]) => value === now)) own.push([now, `tokens ${now.replace("-", " to ")}`]);
    return [["", `all ${role === "query" ? "queries" : "keys"}`], ...own];
  });
  watch(abort, () => {
    name.value = chosen.value?.join("-") ?? "";
  });
  watch(abort, () => {
    const [from = 0, to = 0] = name.value.split("-").map(Number);
    if (name.value !== (chosen.peek()?.join("-") ?? "")) chosen.value = name.value ? [from, to] : null;
  });
  return select(role === "query" ? "queries of" : "keys of", () => named.value, name, abort);
}
