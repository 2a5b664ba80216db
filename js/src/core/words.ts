// What a picture says in words: names of tokens, and the line under the picture.

import { mean, type Patterns, strongest } from "./patterns";
import type { Selection } from "./selection";
import type { Meta, Stage } from "./types";

/** A weight as it is written everywhere: three digits. */
export function number(weight: number): string {
  if (weight > 0 && weight < 1e-4) return "< 0.0001";
  return weight === 0 || weight >= 0.1 ? weight.toFixed(3) : weight.toPrecision(3);
}

export function headsInWords(heads: readonly number[]): string {
  if (heads.length === 0) return "no head";
  return heads.length === 1 ? `head ${heads[0]}` : `mean of ${heads.length} heads`;
}

/** What a decoder row predicts, where that is known. */
export function predicted(meta: Meta, stage: Stage, query: number): string | undefined {
  return stage.query === "decoder" ? meta.predicts?.[query] : undefined;
}

/** Label of each row: the token read there or, on request, the token predicted there. */
export function rowLabels(meta: Meta, stage: Stage, labels: "read" | "predicted"): string[] {
  const read = meta.sides[stage.query]?.text ?? [];
  return labels === "read" ? read : read.map((text, i) => predicted(meta, stage, i) ?? text);
}

/** The status line: where the reader is and the exact number of what is in focus. */
export function status(selection: Selection, patterns: Patterns): string {
  const { meta } = selection;
  const stage = selection.current.value;
  const heads = selection.heads.value;
  const { query, key } = selection.focus.value;
  const keys = meta.sides[stage.key]?.text ?? [];
  const place = [stage.label, `layer ${selection.layer.value}`, headsInWords(heads)];
  const line = (...more: string[]): string => [...place, ...more].join(" · ");
  if (heads.length === 0) return line("click a head to show it");
  if (query === null && key === null) return line("hover a token to read its numbers, click to pin it");
  if (query === null && key !== null) {
    const column = patterns.column(key, heads);
    if (!column) return line(`${keys[key]} is read`, patterns.absence);
    const weights = mean(column, patterns.queries);
    const most = strongest(weights);
    return line(
      `${keys[key]} is looked at most when ${reading(meta, stage, most)} ${number(weights[most] ?? 0)}`,
    );
  }
  const row = patterns.row(query ?? 0, heads);
  if (!row) return line(reading(meta, stage, query ?? 0), patterns.absence);
  const weights = mean(row, patterns.keys);
  const target = key ?? strongest(weights);
  const verb = key === null ? "looks most at" : "looks at";
  return line(reading(meta, stage, query ?? 0), `${verb} ${keys[target]} ${number(weights[target] ?? 0)}`);
}

/** What the truth check of a layer found: for the badge, and in full. */
export function checkInWords(stage: Stage, layer: number): { checked: boolean; short: string; long: string } {
  const { difference = null, tolerance = 0 } = stage.checks[layer] ?? {};
  const place = `${stage.label} layer ${layer}`;
  if (difference === null) {
    const long = `${place}: this attention was computed elsewhere, so there is no output of a model to compare it with.`;
    return { checked: false, short: "not checked", long };
  }
  const found =
    difference === 0
      ? "equal the model’s own output to the last digit"
      : `differ from the model’s own output by at most ${exponent(difference)}`;
  const long =
    `${place}: recomputed rows times the values ${found}; rounding allows ${exponent(tolerance)}. ` +
    "trace.check() lists every layer.";
  return { checked: true, short: "✓ checked", long };
}

/** What rows sum to, where that is not one; else empty. */
export function sumsInWords(stage: Stage, layer: number): string {
  const [least, most] = stage.checks[layer]?.sums ?? [1, 1];
  if (Math.max(1 - least, most - 1) <= 0.01) return "";
  const sums = `each row sums to ${least.toFixed(2)}–${most.toFixed(2)}`;
  return most <= 1.01 ? `${sums}; the rest looks at no token (a sink)` : `${sums}, not to 1`;
}

function exponent(value: number): string {
  return value.toExponential(0).replace("e-", "e−");
}

function reading(meta: Meta, stage: Stage, query: number): string {
  const read = `reading ${meta.sides[stage.query]?.text[query] ?? ""}`;
  const next = predicted(meta, stage, query);
  return next === undefined ? read : `${read}, predicting ${next}`;
}
