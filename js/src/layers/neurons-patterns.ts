// Activations as few patterns: the text coloured by them, and each pattern's weight along it.
// Required: a pattern has the same colour and number everywhere; it is computed when the slider rests.

import { computed, type ReadonlySignal, signal } from "@preact/signals-core";
import { css, headColour, inkOn, type Rgb, toLab, toRgb } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { listenToPointing } from "../core/pointing";
import { synced } from "../core/synced";
import { tokenOn } from "../core/token";
import { number, percent } from "../core/words";
import { press, slider } from "../parts/controls";
import { digits } from "../parts/figures";
import { sparkline } from "./neurons-line";
import { floats, isOf, type Place } from "./neurons-place";
import { told } from "./questions";
import { type Scene, tokensOf } from "./scene";
import { strip } from "./strip";

interface Factors {
  /** The strongest units of each pattern. */
  units: number[][];
  /** What is left out, 0 to 1. */
  left_out: number;
  converged: boolean;
  steps: number;
}

const MOST = 16;
/** Milliseconds that the slider rests before patterns are looked for. */
const REST = 250;
/** A weight below this has no number. */
const FAINT = 0.05;

export function patterns(scene: Scene, place: ReadonlySignal<Place>, abort: AbortSignal): HTMLElement[] {
  const { selection, side, theme } = scene;
  const components = synced(scene.traits, "components", abort);
  const count = computed(() => tokensOf(scene, side.value).length);
  const most = computed(() => Math.max(1, Math.min(MOST, count.value)));
  const wanted = computed(() => Math.min(components.value, most.value));
  const resting = signal(wanted.peek());
  watch(abort, () => {
    const now = wanted.value;
    const timer = setTimeout(() => {
      resting.value = now;
    }, REST);
    return () => clearTimeout(timer);
  });
  const asked = scene.questions.about<Factors>(
    () => ({ op: "factors", ...place.value, components: Math.min(resting.value, most.value) }),
    abort,
  );
  const kept = signal<number | null>(null);
  const pointed = signal<number | null>(null);
  const found = computed(() => {
    const answer = asked.answer.value;
    if (!(answer && isOf(answer.question, place.value))) return null;
    const all = floats(answer.buffers[0]);
    const weights = answer.reply.units.map((_, i) => all.subarray(i * count.value, (i + 1) * count.value));
    return { ...answer.reply, weights, best: strongest(weights, count.value) };
  });
  watch(abort, () => {
    found.value;
    kept.value = null;
    pointed.value = null;
  });
  const [shown, unit] = [synced(scene.traits, "neurons", abort), synced(scene.traits, "unit", abort)];
  const look = (one: number): void => {
    unit.value = one;
    shown.value = "units";
  };
  const alone = computed(() => pointed.value ?? kept.value);
  const shade = (index: number) => {
    const { best = [], weights = [] } = found.value ?? {};
    const pattern = alone.value ?? best[index] ?? 0;
    const weight = weights[pattern]?.[index];
    if (weight === undefined) return { note: " " };
    const { background, dark } = theme.value;
    const said = alone.value === null ? (weight < FAINT ? "" : String(pattern)) : digits(weight);
    return {
      colour: blend(background, headColour(pattern, dark), weight),
      note: said || " ",
      title: `pattern ${pattern}: ${number(weight)}`,
    };
  };
  const at = computed(() => wanted.value - 1);
  const last = computed(() => most.value - 1);
  const choose = (to: number): void => {
    components.value = Math.max(1, Math.min(most.peek(), to + 1));
  };
  const said = (to: number): string => String(to + 1);
  const control = slider("Patterns", { at, last, said, choose }, abort);
  control.addEventListener(
    "keydown",
    (event) => {
      const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (step === undefined) return;
      // Elsewhere these keys go through the layers.
      event.preventDefault();
      event.stopPropagation();
      choose(at.peek() + step);
    },
    { signal: abort },
  );
  const line = h("div", { class: "line" }, control, told(asked, "", abort));
  const status = h("div", { role: "status", class: "status" });
  watch(abort, () => {
    const text = tokensOf(scene, side.value);
    const index = tokenOn(selection, selection.hovered.value, side.value, "query");
    const { weights = [] } = found.value ?? {};
    const one = alone.value;
    const what =
      one === null
        ? "each token in the colour of its strongest pattern, deeper where there is more of it"
        : `shaded by how much of pattern ${one} is in each token; 1 is the most`;
    const here = index === null ? null : weights.map((row, i) => `${i}: ${number(row[index] ?? 0)}`);
    const said = one === null ? here?.join(", ") : here?.[one];
    status.textContent = here === null ? what : `${text[index ?? 0] ?? ""} · pattern ${said}`;
  });
  const rows = h("div", { class: "patterns", role: "group", "aria-label": "Patterns" });
  const about = h("div", { class: "caption" });
  let life = new AbortController();
  abort.addEventListener("abort", () => life.abort(), { once: true });
  watch(abort, () => {
    const now = found.value;
    life.abort();
    life = new AbortController();
    rows.style.minHeight = `${24 * wanted.value}px`;
    rows.replaceChildren(...(now?.weights ?? []).map((_, i) => row(i)));
    about.textContent = now ? inWords(now) : "";
  });
  const row = (pattern: number): HTMLElement => {
    const { weights = [], units = [] } = found.peek() ?? {};
    const own = weights[pattern] ?? new Float32Array();
    const text = tokensOf(scene, side.peek());
    const words = topTokens(own, text);
    const chip = h(
      "button",
      {
        type: "button",
        class: "chip",
        "data-pattern": pattern,
        "aria-label": `Pattern ${pattern}, most in ${words}`,
      },
      String(pattern),
    );
    watch(life.signal, () => {
      const colour = headColour(pattern, theme.value.dark);
      chip.style.background = css(colour);
      chip.style.color = inkOn(colour);
      set(chip, "aria-pressed", kept.value === pattern);
    });
    const links = (units[pattern] ?? []).map((unit) =>
      press(String(unit), () => look(unit), life.signal, {
        class: "link",
        "aria-label": `Look at unit ${unit}`,
      }),
    );
    return h(
      "div",
      { class: "pattern" },
      chip,
      sparkline(scene, own, pattern, life.signal),
      h("span", { class: "words", dir: "auto", title: words }, words),
      h("span", { class: "often" }, ...links),
    );
  };
  const patternOf = (event: Event): number | null => {
    const chip = (event.target as Element | null)?.closest<HTMLElement>("[data-pattern]");
    return chip ? Number(chip.dataset["pattern"]) : null;
  };
  listenToPointing(
    rows,
    patternOf,
    {
      enter: (pattern) => {
        pointed.value = pattern;
      },
      leave: () => {
        pointed.value = null;
      },
      click: (pattern) => {
        kept.value = kept.peek() === pattern ? null : pattern;
      },
    },
    abort,
  );
  const head = h(
    "div",
    { class: "title pattern" },
    h("span", {}, ""),
    h("span", {}, "weight along the text"),
    h("span", {}, "most in"),
    h("span", { class: "often" }, "strongest units"),
  );
  return [line, strip(scene, shade, abort), status, head, rows, about];
}

function inWords({ left_out, converged, steps, units }: Factors): string {
  const which = units.length === 1 ? "this pattern leaves" : `these ${units.length} patterns leave`;
  const late = converged
    ? ""
    : ` The solver had not arrived after ${steps} steps: take the patterns as rough.`;
  return (
    `Activations are taken apart by non-negative matrix factorisation; ${which} out ${percent(left_out)} of ` +
    `them. Negative activations count as zero; special tokens, in italics, are included.${late}`
  );
}

/** The strongest pattern of each token. */
export function strongest(weights: readonly Float32Array[], count: number): Uint8Array {
  const best = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    for (let k = 1; k < weights.length; k++) {
      if ((weights[k]?.[i] ?? 0) > (weights[best[i] ?? 0]?.[i] ?? 0)) best[i] = k;
    }
  }
  return best;
}

/** The tokens with most of a pattern, each once. */
export function topTokens(weights: Float32Array, text: readonly string[]): string {
  const order = [...weights.keys()].sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0));
  const words = new Set<string>();
  for (const index of order) {
    if ((weights[index] ?? 0) < FAINT || words.size === 4) break;
    words.add(text[index] ?? "");
  }
  return [...words].join(" · ");
}

/** A colour over the background, even to the eye. */
export function blend(background: Rgb, colour: Rgb, share: number): Rgb {
  const [from, to] = [toLab(background), toLab(colour)];
  const mix = (i: 0 | 1 | 2): number => from[i] + (to[i] - from[i]) * Math.max(0, Math.min(1, share));
  return toRgb([mix(0), mix(1), mix(2)]);
}
