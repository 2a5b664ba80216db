// The importance view: what the heads of a model are worth over a data set.
// Twin: jtviz/views/importance.py (the same traits).
// Required: a score is never read without its standard error, nor one method without the others.

import type { RenderProps } from "@anywidget/types";
import { computed, type Signal, signal } from "@preact/signals-core";
import baseStyles from "../core/base.css";
import { rampOf } from "../core/colour";
import { h, watch } from "../core/dom";
import { openRoot } from "../core/frame";
import { synced } from "../core/synced";
import { watchTheme } from "../core/theme";
import type { Model } from "../core/types";
import { number, thousands } from "../core/words";
import { choice, select } from "../parts/controls";
import { listenToKeys, steps } from "../pruning/controls";
import { figures } from "../pruning/figures";
import figureStyles from "../pruning/figures.css";
import { type Grid, headInWords, headLegend, headStatus, heads, scoreOf } from "../pruning/heads";
import gridStyles from "../pruning/heads.css";
import { keyOf, Mask, NOTHING, nameOf, type Store } from "../pruning/mask";
import resultStyles from "../pruning/result.css";
import type { Head, ImportanceMeta, ImportanceTraits, Method, Off } from "../pruning/types";
import styles from "./importance.css";

/** With more methods than this, they are a list. */
const FEW = 4;
/** Units named of each layer. */
const UNITS = 8;
const HINT = "hover a head to read its scores · click or drag switches, shift-click pins it";

function render({ model, el, signal: gone }: RenderProps): void {
  const traits = model as unknown as Model<ImportanceTraits>;
  const meta = traits.get("meta") as ImportanceMeta;
  const { root, width } = openRoot(
    el,
    "jtviz importance",
    baseStyles + figureStyles + gridStyles + resultStyles + styles,
    gone,
  );
  const theme = watchTheme(root, gone);
  const one = <K extends keyof ImportanceTraits>(name: K): Signal<ImportanceTraits[K]> =>
    synced(traits, name, gone);
  const [methods, method, pinned] = [one("methods"), one("method"), one("pointed")];
  const mask = new Mask(inHeads(one("off"), gone), gone);
  const current = computed(() => methods.value.find(({ name }) => name === method.value) ?? methods.value[0]);
  const grid: Grid = {
    stages: meta.stages,
    mask,
    width,
    ramp: computed(() => rampOf(theme.value.background, null, theme.value.dark)),
    scores: computed(() => current.value?.scores ?? {}),
    called: computed(() => current.value?.label.toLowerCase() ?? "score"),
    errors: computed(() => current.value?.errors ?? null),
    marked: pinned,
    pointed: signal(null),
    look: (head) => {
      const old = pinned.peek();
      pinned.value = old && nameOf(old) === nameOf(head) ? null : head;
    },
  };
  const about = h("div", { class: "about" });
  const legendWords = computed(() => `${current.value?.words ?? ""}; the other hue: better without it`);
  watch(gone, () => {
    const { source = "" } = current.value ?? {};
    about.textContent = [
      meta.title,
      `${thousands(meta.n)} example${meta.n === 1 ? "" : "s"}`,
      meta.metric,
      ...(source ? [`method: ${source}`] : []),
    ]
      .filter(Boolean)
      .join(" · ");
  });
  root.append(
    h("div", { class: "controls" }, methodField(methods.peek(), method, gone), steps(mask, gone)),
    about,
    h("div", { class: "wide" }, heads(grid, gone)),
    headLegend(grid, legendWords, signal("× off"), gone),
    headStatus(grid, root, HINT, gone),
    allMethods(grid, methods, pinned, gone),
    agreement(one("agreement"), gone),
    strongest(one("units"), gone),
    notes(one("notes"), gone),
  );
  listenToKeys(root, mask, gone, false);
}

/** Steps that live in this view; the heads that are off are a trait, which others may change too. */
function inHeads(off: Signal<Head[]>, gone: AbortSignal): Store {
  let all: Off[] = [{ ...NOTHING, heads: off.peek() }];
  let at = 0;
  return {
    read: () => [all, at],
    write: (now, to) => {
      [all, at] = [now, to];
      off.value = now[to]?.heads ?? [];
    },
    listen: (heard) => {
      watch(gone, () => {
        const now = { ...NOTHING, heads: off.value };
        if (keyOf(now) === keyOf(all[at] ?? NOTHING)) return;
        all = [...all.slice(0, at + 1), now];
        at = all.length - 1;
        heard();
      });
    },
  };
}

function methodField(all: readonly Method[], method: Signal<string>, gone: AbortSignal): HTMLElement {
  const options = all.map(({ name, label }): [string, string] => [name, label]);
  if (all.length > FEW) return select("Method", () => options, method, gone);
  const node = choice("Method", options, method, gone);
  node.querySelectorAll("button").forEach((button, i) => {
    button.title = all[i]?.words ?? "";
  });
  return node;
}

/** The head pointed at, or pinned, by every method. */
function allMethods(
  grid: Grid,
  methods: Signal<Method[]>,
  pinned: Signal<Head | null>,
  gone: AbortSignal,
): HTMLElement {
  const node = h("div", { class: "caption by-method" });
  watch(gone, () => {
    const head = grid.pointed.value ?? pinned.value;
    const said = methods.value.flatMap(({ label, scores, errors }) => {
      const score = head && scoreOf(scores, head);
      if (score === null) return [];
      const error = head && scoreOf(errors, head);
      return [`${label} ${number(score)}${error === null ? "" : ` ± ${number(error)}`}`];
    });
    const isPinned = head !== null && grid.pointed.value === null;
    // The line keeps its height, so that nothing below moves while heads are pointed at.
    node.textContent = head
      ? `${isPinned ? `${headInWords(grid, head).split(":")[0]}: ` : ""}${said.join(" · ") || "no score"}`
      : " ";
  });
  return node;
}

function agreement(found: Signal<ImportanceTraits["agreement"]>, gone: AbortSignal): HTMLElement {
  const node = h("div", { class: "block wide" });
  watch(gone, () => {
    const { names = [], values = [] } = found.value;
    node.hidden = names.length < 2;
    const rows = names.map((name, i): [string, ...number[]] => [name, ...(values[i] ?? [])]);
    const digits = (value: number): string => value.toFixed(2).replace("-", "−");
    const title = "do the methods agree? rank correlation over the heads, 1: the same order";
    node.replaceChildren(...(node.hidden ? [] : [figures(title, names, rows, digits)]));
  });
  return node;
}

function strongest(found: Signal<ImportanceTraits["units"]>, gone: AbortSignal): HTMLElement {
  const body = h("div", {});
  const node = h("details", {}, h("summary", {}, "strongest feed-forward units"), body);
  watch(gone, () => {
    const sides = Object.entries(found.value ?? {});
    node.hidden = sides.length === 0;
    const lines = sides.flatMap(([side, layers]) =>
      layers.map((all, layer) => {
        const named = all.slice(0, UNITS).map(([unit, score, error]) => {
          const words = `${number(score)}${error === null ? "" : ` ± ${number(error)}`}`;
          return h("span", { class: "unit-score", title: words }, h("b", {}, String(unit)), ` ${words}`);
        });
        return h("div", { class: "line" }, h("span", { class: "name" }, `${side} ${layer}`), ...named);
      }),
    );
    body.replaceChildren(...lines);
  });
  return node;
}

function notes(said: Signal<string[]>, gone: AbortSignal): HTMLElement {
  const node = h("ul", { class: "notes", "aria-label": "Notes" });
  watch(gone, () => {
    node.replaceChildren(...said.value.map((note) => h("li", {}, note)));
    node.hidden = said.value.length === 0;
  });
  return node;
}

export default { render };
