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

function reading(meta: Meta, stage: Stage, query: number): string {
  const read = `reading ${meta.sides[stage.query]?.text[query] ?? ""}`;
  const next = predicted(meta, stage, query);
  return next === undefined ? read : `${read}, predicting ${next}`;
}
