// What an attribution view is drawn from: the parts, their scores by token or word, and who is in focus.

import { computed, type ReadonlySignal, type Signal } from "@preact/signals-core";
import { type Axis, axisOf } from "../core/axis";
import { type Ramp, rampOf } from "../core/colour";
import { type Selection, stageNamed } from "../core/selection";
import type { Theme } from "../core/theme";
import { hoverToken, roleOf, type Token } from "../core/token";
import type { Pins, Role, Span } from "../core/types";
import type { AttributionMeta, Part } from "./types";

/** As in jtviz/analysis/attribution/attribution.py. */
const TOLERANCE = 0.05;

export interface Scene {
  meta: AttributionMeta;
  selection: Selection;
  theme: ReadonlySignal<Theme>;
  width: ReadonlySignal<number>;
  parts: ReadonlySignal<Part[]>;
  bytes: ReadonlySignal<DataView>;
  part: Signal<number>;
  /** The part that the reader points at: shown for as long, and never told to the kernel. */
  pointed: Signal<number | null>;
  /** Several parts taken together: the first, and the one after the last. */
  span: Signal<Span | null>;
  mode: Signal<"text" | "matrix">;
  layer: Signal<number>;
  unit: Signal<"token" | "word">;
  annotate: Signal<boolean>;
}

/** The sides in the order that the kernel writes them. */
export const sidesOf = ({ sides }: AttributionMeta): string[] => Object.keys(sides);

export class Scores {
  readonly part: ReadonlySignal<Part | undefined>;
  readonly ramp: ReadonlySignal<Ramp>;
  /** The score that the full colour stands for, the same for all parts that are seen together. */
  readonly max: ReadonlySignal<number>;
  readonly #all: ReadonlySignal<Record<string, Float32Array>[]>;

  constructor(readonly scene: Scene) {
    this.part = computed(() => together(this.#shown().map((index) => scene.parts.value[index])));
    this.ramp = computed(() => rampOf(scene.theme.value.background, null, scene.theme.value.dark));
    this.#all = computed(() => read(scene));
    this.max = computed(() => {
      let max = 0;
      const isGrid = scene.mode.value === "matrix" && scene.parts.value.length > 1;
      for (const { name } of this.sides()) {
        const rows = isGrid ? scene.parts.value.map((_, part) => this.of(name, part)) : [this.shown(name)];
        for (const row of rows) for (const score of row) max = Math.max(max, Math.abs(score));
      }
      return max;
    });
  }

  /** The sides that have a score somewhere. */
  sides(): { name: string; axis: Axis }[] {
    const { meta, unit } = this.scene;
    return sidesOf(meta).map((name) => ({ name, axis: axisOf(meta.sides[name], unit.value) }));
  }

  /** How many layers the scores of a side have; 0 where they are of no layer. */
  layers(side: string): number {
    return this.part.value?.layers[sidesOf(this.scene.meta).indexOf(side)] ?? 0;
  }

  /** The parts that are shown: one, or a span of them. */
  #shown(): number[] {
    const { span, part, pointed } = this.scene;
    const one = pointed.value ?? part.value;
    const [from, to] = (pointed.value === null && span.value) || [one, one + 1];
    return Array.from({ length: to - from }, (_, i) => from + i);
  }

  /** Scores of what is shown: of one part, or the sum over a span of them. */
  shown(side: string): Float32Array {
    const [first, ...rest] = this.#shown().map((part) => this.of(side, part));
    if (!first || rest.length === 0) return first ?? new Float32Array(0);
    return first.map((score, i) => rest.reduce((sum, row) => sum + (row[i] ?? 0), score));
  }

  /** Scores of one part, summed into words where words are shown. */
  of(side: string, part: number): Float32Array {
    const all = this.#all.value[part]?.[side] ?? new Float32Array(0);
    const axis = axisOf(this.scene.meta.sides[side], this.scene.unit.value);
    const layers = this.scene.parts.value[part]?.layers[sidesOf(this.scene.meta).indexOf(side)] ?? 0;
    const layer = Math.max(0, Math.min(layers - 1, this.scene.layer.value));
    const row = layers > 0 ? all.subarray(layer * axis.tokens, (layer + 1) * axis.tokens) : all;
    if (!axis.place) return row;
    const out = new Float32Array(axis.size);
    row.forEach((score, token) => {
      const at = axis.at(token);
      out[at] = (out[at] ?? 0) + score;
    });
    return out;
  }

  /** The sum of the scores' sizes over all sides: what a share is a share of. */
  total(): number {
    let total = 0;
    for (const { name } of this.sides()) {
      for (const score of this.shown(name)) total += Math.abs(score);
    }
    return total;
  }
}

/** Several parts as one: what is explained, and how far the sum is off, are sums too. */
function together(parts: readonly (Part | undefined)[]): Part | undefined {
  const [first, ...rest] = parts;
  if (!first || rest.length === 0) return first;
  const sum = (of: (part: Part) => number | null): number | null =>
    parts.reduce<number | null>((all, part) => {
      const one = part ? of(part) : null;
      return all === null || one === null ? null : all + one;
    }, 0);
  const [value, base, delta] = [sum((p) => p.value) ?? 0, sum((p) => p.baseline_value), sum((p) => p.delta)];
  const difference = base === null ? null : value - base;
  const off = delta === null || !difference ? null : Math.abs(delta / difference);
  const scale = first.words.split(" of ")[0] ?? "";
  return {
    ...first,
    name: parts.map((part) => part?.name ?? "").join(""),
    words: `${scale} of ${parts.map((part) => part?.name ?? "").join(" + ")}`,
    value,
    probability: null,
    row: null,
    baseline_value: base,
    delta,
    relative_delta: off,
    is_complete: off === null || off <= TOLERANCE,
    notes: [...new Set(parts.flatMap((part) => part?.notes ?? []))],
  };
}

function read({ meta, parts, bytes }: Scene): Record<string, Float32Array>[] {
  const view = bytes.value;
  // A float view must start at a multiple of four, which a message's buffer need not: copy.
  const numbers = new Float32Array(
    (view.buffer as ArrayBuffer).slice(view.byteOffset, view.byteOffset + view.byteLength),
  );
  let start = 0;
  return parts.value.map(({ layers }) =>
    Object.fromEntries(
      sidesOf(meta).map((name, i) => {
        const length = Math.max(1, layers[i] ?? 0) * (meta.sides[name]?.text.length ?? 0);
        start += length;
        return [name, numbers.subarray(start - length, start)];
      }),
    ),
  );
}

/** Light a token here and wherever else it is drawn. */
export const hover = ({ selection }: Scene, token: Token | null): void => hoverToken(selection, token);

export function togglePin({ selection }: Scene, { side, index }: Token): void {
  const role = roleOf(selection, side);
  if (role) selection.togglePin(role, index);
}

/** Whether a token, or a word with it, is what the reader attends to. */
export function isAt({ selection }: Scene, pins: Pins, side: string, axis: Axis, index: number): boolean {
  const stage = stageNamed(selection.meta, selection.stage.value);
  const on = (role: Role): boolean => {
    const token = pins[role];
    return token !== null && stage[role] === side && axis.at(token) === index;
  };
  return on("key") || on("query");
}

/** Explain this part, and show every attention view the row that predicts it. */
export function choosePart({ selection, part, span, parts, meta }: Scene, index: number): void {
  part.value = index;
  span.value = null;
  const row = parts.peek()[index]?.row ?? null;
  if (row === null || parts.peek().length < 2) return;
  if (selection.current.peek().query !== "decoder") {
    const looking = meta.stages.filter(({ query }) => query === "decoder");
    const to = looking.find(({ name }) => name === "cross") ?? looking[0];
    if (to) selection.toStage(to.name);
  }
  selection.choose({ pinned: { query: row, key: null } });
}
