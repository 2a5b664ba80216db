// The strongest units of a token, the text shaded by one of them, and the tokens that set it off most.
// Required: a unit that is pointed at shades the text at once; pinned, it stays until its layer is left.

import { computed, type ReadonlySignal, signal } from "@preact/signals-core";
import { colourAt, css } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { listenToPointing } from "../core/pointing";
import { synced } from "../core/synced";
import { tokenOn } from "../core/token";
import { number, percent, thousands } from "../core/words";
import { floats, focusOf, isOf, largest, type Place } from "./neurons-place";
import { tokensOfUnit } from "./neurons-tokens";
import { told } from "./questions";
import { type Scene, tokensOf } from "./scene";
import { strip } from "./strip";

const OFTEN = "the share of the other tokens that set the unit off at least half as much";

interface Units {
  /** Unit, activation at the token, and the share of other tokens where it is at least half as strong. */
  units: [number, number, number][];
  total: number;
}

export function units(scene: Scene, place: ReadonlySignal<Place>, abort: AbortSignal): HTMLElement[] {
  const { questions, side, ramp, selection } = scene;
  const pinned = synced(scene.traits, "unit", abort);
  const pointed = signal<number | null>(null);
  const focus = focusOf(scene);
  const asked = questions.about<Units>(() => ({ op: "units", ...place.value, token: focus.value }), abort);
  const alone = questions.about<object>(
    () => (pinned.value === null ? null : { op: "unit", ...place.value, unit: pinned.value }),
    abort,
  );
  // A unit of another layer has only its number in common.
  let before = place.peek();
  watch(abort, () => {
    if (!isOf({ ...before }, place.value)) pinned.value = null;
    before = place.value;
  });
  /** The strongest units of this layer, and their activations at all tokens. */
  const listed = computed(() => {
    const found = asked.answer.value;
    if (!(found && isOf(found.question, place.value))) return null;
    return { ...found.reply, token: Number(found.question["token"]), all: floats(found.buffers[0]) };
  });
  const own = computed(() => {
    const found = alone.answer.value;
    return found && isOf(found.question, place.value)
      ? { unit: Number(found.question["unit"]), column: floats(found.buffers[0]) }
      : null;
  });
  const columnOf = (unit: number): Float32Array | null => {
    if (own.value?.unit === unit) return own.value.column;
    const { units: rows = [], all = new Float32Array() } = listed.value ?? {};
    const at = rows.findIndex(([other]) => other === unit);
    const length = all.length / Math.max(1, rows.length);
    return at < 0 ? null : all.subarray(at * length, (at + 1) * length);
  };
  const chosen = computed(() => pinned.value ?? listed.value?.units[0]?.[0] ?? null);
  const shown = computed(() => {
    const unit = pointed.value ?? chosen.value;
    const column = unit === null ? null : columnOf(unit);
    return unit === null || !column ? null : { unit, column, most: largest(column) };
  });
  const shade = (index: number) => {
    const { unit, column, most: top } = shown.value ?? { unit: 0, column: [], most: 0 };
    const value = column[index];
    if (value === undefined) return {};
    const colour = colourAt(ramp.value, top > 0 ? Math.round((255 * Math.abs(value)) / top) : 0, value);
    return { colour, title: `unit ${unit}: ${number(value)}` };
  };
  const words = h("span", {});
  const least = h("span", {});
  const most = h("span", {});
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  const scale = h("span", { class: "scale" }, least, bar, most);
  const status = h("div", { role: "status", class: "status" }, scale, words);
  watch(abort, () => {
    const { unit, column, most: top } = shown.value ?? { unit: null, column: [], most: 0 };
    const { colours, negative } = ramp.value;
    const isSigned = column.some((value) => value < 0);
    scale.hidden = unit === null;
    least.textContent = isSigned ? number(-top) : "0";
    most.textContent = number(top);
    const stops = Array.from({ length: 9 }, (_, i) => css(colours[Math.round((255 * i) / 8)] ?? [0, 0, 0]));
    const below = Array.from({ length: 9 }, (_, i) =>
      css(negative[255 - Math.round((255 * i) / 8)] ?? [0, 0, 0]),
    );
    bar.style.background = `linear-gradient(to right, ${[...(isSigned ? below : []), ...stops].join(", ")})`;
    const hovered = tokenOn(selection, selection.hovered.value, side.value, "query");
    const at = hovered ?? focus.value;
    const token = tokensOf(scene, side.value)[at] ?? "";
    words.textContent =
      unit === null ? "" : `activation of unit ${unit} · at ${token} ${number(column[at] ?? 0)}`;
  });
  const rows = list({ scene, pinned, pointed, listed, columnOf }, abort);
  const columns = h("div", { class: "columns" }, rows, tokensOfUnit(scene, place, chosen, abort));
  return [
    strip(scene, shade, abort, () => focus.value),
    h("div", { class: "line" }, status, told(asked, "reading the text once more …", abort)),
    columns,
  ];
}

interface Listed {
  scene: Scene;
  pinned: { value: number | null; peek(): number | null };
  pointed: { value: number | null };
  listed: { readonly value: (Units & { token: number }) | null };
  columnOf(unit: number): Float32Array | null;
}

/** The strongest units of the token in focus; the one that is pinned below them, if it is none of them. */
function list({ scene, pinned, pointed, listed, columnOf }: Listed, abort: AbortSignal): HTMLElement {
  const title = h("h4", { class: "title" });
  const rows = h("div", { role: "group" });
  const other = h("div", { class: "other" });
  const node = h("section", { class: "units-of" }, title, h("div", { class: "rows" }, rows, other));
  /** The unit that is pinned, where it is not among the strongest. */
  const extra = computed(() => {
    const [unit, found] = [pinned.value, listed.value];
    if (unit === null || !found || found.units.some(([one]) => one === unit)) return null;
    const value = columnOf(unit)?.[found.token];
    return value === undefined ? null : { unit, value };
  });
  const most = computed(() => largest((listed.value?.units ?? []).map(([, value]) => value)));
  /** Where bars begin: on the left, or in the middle where some go the other way. */
  const zero = computed(() => {
    const isNegative = listed.value?.units.some(([, value]) => value < 0) || (extra.value?.value ?? 0) < 0;
    return isNegative ? 0.5 : 0;
  });
  const row = (unit: number, value: number, share: number | null): HTMLElement => {
    const bar = h("span", { class: "bar-fill" });
    const size = most.value > 0 ? (Math.abs(value) / most.value) * (1 - zero.value) : 0;
    bar.style.left = `${100 * (value < 0 ? zero.value - size : zero.value)}%`;
    bar.style.width = `${100 * size}%`;
    bar.style.background = css(colourAt(scene.ramp.value, 150, value));
    const axis = h("span", { class: "bar-axis" }, bar);
    axis.style.setProperty("--zero", String(zero.value));
    const often = share === null ? "" : percent(share);
    const more = often ? `, at least half as much at ${often} of the other tokens` : "";
    const name = `unit ${unit}: ${number(value)}${more}`;
    return h(
      "button",
      { type: "button", class: "row", "data-unit": unit, "aria-label": name, title: name },
      h("span", { class: "name" }, String(unit)),
      axis,
      h("span", { class: "number" }, number(value)),
      h("span", { class: "often" }, often),
    );
  };
  watch(abort, () => {
    const found = listed.value;
    const label = (found && tokensOf(scene, scene.side.value)[found.token]) ?? "";
    title.replaceChildren(
      h(
        "span",
        {},
        found
          ? `${found.units.length ? "strongest" : "none"} of ${thousands(found.total)} units ${found.units.length ? "at" : "is set off by"} `
          : "strongest units",
        h("b", {}, label),
      ),
      h("span", { class: "often", title: OFTEN }, "also strong at"),
    );
    set(rows, "aria-label", `Units that ${label} sets off most`);
    rows.replaceChildren(...(found?.units ?? []).map((one) => row(...one)));
  });
  watch(abort, () => {
    other.replaceChildren(...(extra.value ? [row(extra.value.unit, extra.value.value, null)] : []));
  });
  watch(abort, () => {
    listed.value;
    extra.value;
    zero.value;
    scene.ramp.value;
    for (const button of node.querySelectorAll("[data-unit]")) {
      set(button, "aria-pressed", Number(button.getAttribute("data-unit")) === pinned.value);
    }
  });
  listenToPointing(
    node,
    (event) => {
      const found = (event.target as Element | null)?.closest<HTMLElement>("[data-unit]");
      return found ? Number(found.dataset["unit"]) : null;
    },
    {
      enter: (unit) => {
        pointed.value = unit;
      },
      leave: () => {
        pointed.value = null;
      },
      click: (unit) => {
        pinned.value = pinned.peek() === unit ? null : unit;
      },
    },
    abort,
  );
  return node;
}
