// Feed-forward units of one layer, the strongest first: a click switches one, a drag several, a slider the
// weakest or the strongest. Required: units that are not named here are those that contribute less.

import { computed, type Signal, signal, untracked } from "@preact/signals-core";
import { css } from "../core/colour";
import { h, set, watch } from "../core/dom";
import type { Requests } from "../core/requests";
import { number, thousands } from "../core/words";
import { press } from "../parts/controls";
import type { Mask } from "./mask";
import { listenToPainting, rove } from "./painting";
import type { Scene } from "./scene";
import type { Unit } from "./types";

/** Units shown before more are asked for. */
const FEW = 64;

interface Contributions {
  /** Unit and contribution, largest first; of a wide layer, as many as are sent. */
  units: [number, number][];
  total: number;
  words: string;
}

type Place = [side: string, layer: number];

export function units(
  scene: Scene,
  counts: Record<string, number[]>,
  requests: Requests,
  abort: AbortSignal,
): HTMLElement {
  const { mask } = scene;
  const open = signal<Place | null>(null);
  const offIn = computed(() => {
    const found = new Map<string, number>();
    for (const [side, layer] of mask.shown.value.units) {
      found.set(`${side}/${layer}`, (found.get(`${side}/${layer}`) ?? 0) + 1);
    }
    return found;
  });
  const lines = Object.entries(counts).map(([side, layers]) => {
    const buttons = layers.flatMap((count, layer) => {
      if (count === 0) return [];
      const toggle = (): void => {
        const [s, l] = open.peek() ?? [];
        open.value = s === side && l === layer ? null : [side, layer];
      };
      const button = press("", toggle, abort, { class: "press" });
      watch(abort, () => {
        const off = offIn.value.get(`${side}/${layer}`) ?? 0;
        const [s, l] = open.value ?? [];
        button.textContent = off ? `${layer} · ${thousands(off)} of ${thousands(count)} off` : String(layer);
        set(button, "aria-expanded", s === side && l === layer);
        set(
          button,
          "aria-label",
          `${side}, layer ${layer}: ${thousands(off)} of ${thousands(count)} feed-forward units off`,
        );
      });
      return [button];
    });
    return h("div", { class: "line" }, h("span", { class: "name" }, side), ...buttons);
  });
  const place = h("div", {});
  const fetched = new Map<string, Promise<{ reply: Contributions }>>();
  let life = new AbortController();
  abort.addEventListener("abort", () => life.abort(), { once: true });
  watch(abort, () => {
    const at = open.value;
    life.abort();
    life = new AbortController();
    untracked(() =>
      place.replaceChildren(...(at ? [panel(scene, at, counts, requests, fetched, life.signal)] : [])),
    );
  });
  const title = h("div", { class: "title" }, "feed-forward units, by layer");
  const node = h("section", { class: "block", "aria-label": "Feed-forward units" }, title, ...lines, place);
  node.hidden = !Object.values(counts).some((layers) => layers.some((count) => count > 0));
  return node;
}

/** The units of one layer, once they are here. */
function panel(
  scene: Scene,
  [side, layer]: Place,
  counts: Record<string, number[]>,
  requests: Requests,
  fetched: Map<string, Promise<{ reply: Contributions }>>,
  abort: AbortSignal,
): HTMLElement {
  const label = `Units of ${side}, layer ${layer}`;
  const lack = h("div", { class: "caption", role: "status" }, "computing …");
  const node = h("div", { class: "panel", role: "group", "aria-label": label }, lack);
  const key = `${side}/${layer}`;
  const say = (words: string): void => {
    lack.textContent = words;
  };
  const asked = fetched.get(key) ?? requests.ask<Contributions>({ op: "units", side, layer }, say);
  fetched.set(key, asked);
  asked.then(
    ({ reply }) => {
      if (abort.aborted) return;
      const total = Math.max(reply.total, counts[side]?.[layer] ?? 0);
      node.replaceChildren(...bodyOf(scene, [side, layer], { ...reply, total }, abort));
    },
    (error: Error) => {
      fetched.delete(key);
      say(error.message);
      lack.setAttribute("role", "alert");
      lack.className = "problem";
    },
  );
  return node;
}

function bodyOf(
  { mask, ramp }: Scene,
  place: Place,
  { units: listed, total, words }: Contributions,
  abort: AbortSignal,
): HTMLElement[] {
  const most = Math.max(...listed.map(([, value]) => Math.abs(value)), 0);
  const shown = signal(FEW);
  const list = h("div", { class: "units", role: "group", "aria-label": "Units, the strongest first" });
  const line = h("div", { class: "caption", "aria-live": "polite" });
  const more = press("more", () => (shown.value += FEW), abort, { class: "link" });
  const ranks = new Map<HTMLElement, number>();
  const unitAt = (rank: number): Unit => [...place, listed[rank]?.[0] ?? 0];
  const cells = listed.map(([unit, value], rank) => {
    const cell = h("button", { type: "button", class: "unit", tabindex: rank === 0 ? 0 : -1 }, String(unit));
    cell.style.setProperty("--share", String(most > 0 ? Math.abs(value) / most : 0));
    cell.classList.toggle("negative", value < 0);
    ranks.set(cell, rank);
    return cell;
  });
  const inWords = (rank: number): string => {
    const [unit, value] = listed[rank] ?? [0, 0];
    return `unit ${unit}: ${mask.isOff("units", unitAt(rank)) ? "off" : "on"}, contribution ${number(value)}`;
  };
  watch(abort, () => {
    const { colours, negative } = ramp.value;
    list.style.setProperty("--for", css(colours[110] ?? [0, 0, 0]));
    list.style.setProperty("--against", css(negative[110] ?? [0, 0, 0]));
  });
  watch(abort, () => {
    list.replaceChildren(...cells.slice(0, shown.value));
    more.hidden = shown.value >= cells.length;
    more.textContent = `${thousands(Math.min(FEW, cells.length - shown.value))} more`;
  });
  const pointed: Signal<number | null> = signal(null);
  watch(abort, () => {
    for (const [cell, rank] of ranks) {
      set(cell, "aria-pressed", mask.isOff("units", unitAt(rank)));
      set(cell, "aria-label", inWords(rank));
    }
    const rest = total - listed.length;
    const others = rest > 0 ? ` · ${thousands(rest)} others contribute less than these ${listed.length}` : "";
    line.textContent = pointed.value === null ? `${words}${others}` : inWords(pointed.value);
  });
  const rankOf = (event: Event): number | null => ranks.get(event.target as HTMLElement) ?? null;
  const at = new Map(listed.map(([unit], rank) => [unit, rank]));
  listenToPainting<Unit>(
    list,
    mask,
    "units",
    {
      of: (event) => {
        const rank = rankOf(event);
        return rank === null ? null : unitAt(rank);
      },
      between: (from, to) => {
        const [a, b] = [at.get(from[2]) ?? 0, at.get(to[2]) ?? 0];
        const step = Math.sign(b - a) || 1;
        return Array.from({ length: Math.max(1, Math.abs(b - a)) }, (_, i) => unitAt(a + step * (i + 1)));
      },
    },
    abort,
  );
  for (const name of ["pointerover", "focusin"]) {
    list.addEventListener(name, (event) => (pointed.value = rankOf(event)), { signal: abort });
  }
  for (const name of ["pointerleave", "focusout"]) {
    list.addEventListener(name, () => (pointed.value = null), { signal: abort });
  }
  const isCell = (node: Element): node is HTMLElement => ranks.has(node as HTMLElement);
  rove(list, isCell, neighbour, abort);
  const sliders = [
    slider("that contribute least", lowest(mask, place, listed, total), abort),
    slider("that contribute most", highest(mask, place, listed), abort),
  ];
  return [h("div", { class: "line" }, ...sliders), list, more, line];
}

/** A run of units at one end of the order that is off, by its length. */
interface End {
  mask: Mask;
  /** Lengths that the slider can choose. */
  lengths: number[];
  parts: (length: number) => Unit[];
  /** How many are off now. */
  now: () => number;
}

/** Those not named contribute least of all, in no known order: all of them, or none. */
function lowest(mask: Mask, place: Place, listed: readonly [number, number][], total: number): End {
  const named = new Set(listed.map(([unit]) => unit));
  const rest = Array.from({ length: total }, (_, unit) => unit).filter((unit) => !named.has(unit));
  const ascending = listed.map(([unit]) => unit).reverse();
  const lengths = [
    ...(rest.length ? [0] : []),
    ...Array.from({ length: listed.length + 1 }, (_, i) => rest.length + i),
  ];
  const parts = (length: number): Unit[] =>
    length === 0
      ? []
      : [...rest, ...ascending.slice(0, length - rest.length)].map((unit): Unit => [...place, unit]);
  const isOff = (unit: number): boolean => mask.isOff("units", [...place, unit]);
  const now = (): number => {
    if (!rest.every(isOff)) return 0;
    const on = ascending.findIndex((unit) => !isOff(unit));
    return rest.length + (on < 0 ? ascending.length : on);
  };
  return { mask, lengths, parts, now };
}

function highest(mask: Mask, place: Place, listed: readonly [number, number][]): End {
  const lengths = Array.from({ length: listed.length + 1 }, (_, i) => i);
  const parts = (length: number): Unit[] => listed.slice(0, length).map(([unit]): Unit => [...place, unit]);
  const now = (): number => {
    const on = listed.findIndex(([unit]) => !mask.isOff("units", [...place, unit]));
    return on < 0 ? listed.length : on;
  };
  return { mask, lengths, parts, now };
}

function slider(words: string, { mask, lengths, parts, now }: End, abort: AbortSignal): HTMLElement {
  const input = h("input", { type: "range", min: 0, max: lengths.length - 1, step: 1 });
  const count = h("b", {});
  const text = h("span", { class: "caption" }, "switch off the ", count, ` ${words}`);
  set(input, "aria-label", `Switch off units ${words}`);
  let from: number | null = null;
  input.addEventListener(
    "input",
    () => {
      from ??= untracked(now);
      const to = lengths[Number(input.value)] ?? 0;
      const [before, after] = [parts(from), parts(to)];
      mask.drop();
      mask.paint("units", before, false);
      mask.paint("units", after, true);
    },
    { signal: abort },
  );
  input.addEventListener(
    "change",
    () => {
      from = null;
      mask.commit();
    },
    { signal: abort },
  );
  input.addEventListener("keydown", (event) => event.key.startsWith("Arrow") && event.stopPropagation(), {
    signal: abort,
  });
  watch(abort, () => {
    const length = now();
    const at = lengths.lastIndexOf(length);
    if (from === null) input.value = String(Math.max(0, at));
    count.textContent = thousands(length);
    set(input, "aria-valuetext", `${thousands(length)} units`);
  });
  return h("label", { class: "field" }, input, text);
}

/** Up and down go to the row above and below, wherever rows break. */
function neighbour(from: HTMLElement, key: string): HTMLElement | null | undefined {
  const all = [...(from.parentElement?.children ?? [])] as HTMLElement[];
  const at = all.indexOf(from);
  const wide = Math.max(
    1,
    all.findIndex(({ offsetTop }) => offsetTop !== all[0]?.offsetTop),
  );
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - wide, ArrowDown: at + wide, Home: 0 }[
    key
  ];
  return key === "End" ? all.at(-1) : all[to ?? at];
}
