// What a picture says in words: names of tokens, and the line under the picture.

import type { Selection } from "./selection";
import { type Shown, strongest } from "./shown";
import type { Meta, Stage } from "./types";

/** A weight as it is written everywhere: three digits. */
export function number(weight: number): string {
  const size = Math.abs(weight);
  if (size > 0 && size < 1e-4) return weight > 0 ? "< 0.0001" : "> −0.0001";
  const digits = size === 0 || size >= 0.1 ? size.toFixed(size < 100 ? 3 : 1) : size.toPrecision(3);
  return weight < 0 ? `−${digits}` : digits;
}

export const thousands = (count: number): string => count.toLocaleString("en");

export const percent = (share: number): string =>
  `${share > 0 && share < 0.095 ? (100 * share).toPrecision(2) : Math.round(100 * share)} %`;

export function headsInWords({ members, place, chosen }: Shown): string {
  const [first] = members;
  if (!first) return "no head";
  const layers = new Set(members.map(({ layer }) => layer)).size;
  if (chosen.weighting === "relevance") return "all layers";
  if (chosen.weighting === "rollout") return `layers 0 to ${first.layer}`;
  if (members.length === 1) {
    return first.layer === place.layer ? `head ${first.head}` : `layer ${first.layer} head ${first.head}`;
  }
  const where = layers > 1 ? ` of ${layers} layers` : "";
  return `${chosen.combine} of ${members.length} heads${where}`;
}

/** What the weights are called, where they are not plain attention. */
export function weightInWords({ chosen: { weighting } }: Shown): string {
  const names: Record<string, string> = {
    raw: "attention weight",
    value: "attention × |value|",
    output: "attention × |value W_O|",
    gradient: "attention × gradient",
    rollout: "rollout",
    relevance: "relevance",
  };
  return names[weighting] ?? weighting;
}

/** What a decoder row predicts, where that is known. */
export function predicted(meta: Meta, stage: Stage, query: number): string | undefined {
  return stage.query === "decoder" ? meta.predicts?.[query] : undefined;
}

/** The status line: where the reader is and the exact number of what is in focus. */
export function status(selection: Selection, shown: Shown): string {
  const { stage, members } = shown;
  const focus = selection.focus.value;
  const query = focus.query === null ? null : shown.query.at(focus.query);
  const key = focus.key === null ? null : shown.key.at(focus.key);
  const names = shown.key.labels;
  const place = [stage.label, `layer ${selection.layer.value}`, headsInWords(shown)];
  const line = (...more: string[]): string => [...place, ...more].join(" · ");
  if (members.length === 0) return line("click a head to show it");
  if (query === null && key === null) return line("hover a token to read its numbers, click to pin it");
  if (query === null) {
    const column = shown.columns(key ?? 0);
    if (!column) return line(`${names[key ?? 0]} is read`, shown.absence);
    const weights = shown.combine(column);
    const most = strongest(weights);
    return line(
      `${names[key ?? 0]} is looked at most when ${reading(selection.meta, shown, most)} ${number(weights[most] ?? 0)}`,
    );
  }
  const rows = shown.rows(query, true);
  if (!rows) return line(reading(selection.meta, shown, query), shown.absence);
  const weights = shown.combine(rows);
  const target = key ?? strongest(weights);
  const verb = key === null ? "looks most at" : "looks at";
  const at = `${verb} ${names[target]} ${number(weights[target] ?? 0)}`;
  return line(reading(selection.meta, shown, query), at);
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

/** A query as it is spoken of: the token read there, and what it predicts. */
export function reading(meta: Meta, { stage, query: axis }: Shown, query: number): string {
  const read = `reading ${axis.labels[query] ?? ""}`;
  const next = axis.place ? undefined : predicted(meta, stage, query);
  return next === undefined ? read : `${read}, predicting ${next}`;
}
