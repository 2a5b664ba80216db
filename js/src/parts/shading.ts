// Shade tokens by attention: keys by how much the query in focus looks at them, queries by how much they
// look at the key in focus; with no focus, keys by what they receive on average.

import { colourAt, css, inkOn } from "../core/colour";
import { count, shadeOf, tableOf } from "../core/scale";
import { strongest } from "../core/shown";
import type { Role } from "../core/types";
import { headsInWords, thousands } from "../core/words";
import { placed, type Scene } from "./picture";
import type { TokenList } from "./tokens";

export interface Shading {
  weights: Record<Role, Float32Array | undefined>;
  /** The weight that the full colour stands for. */
  max: number;
  words: string;
}

export const UNSHADED: Shading = { weights: { query: undefined, key: undefined }, max: 0, words: "" };

/** What the tokens of both sides are shaded by, now. */
export function shadingOf(scene: Scene): Shading {
  const shown = scene.shown.value;
  const { query, key } = placed(scene, scene.selection.focus.value);
  const weights: Shading["weights"] = { query: undefined, key: undefined };
  const together = (rows: Float32Array[] | undefined) => rows && shown.combine(rows);
  let what = "how much each key is looked at, mean over all queries";
  if (shown.members.length > 0) {
    if (query !== null) weights.key = together(shown.rows(query));
    else if (key !== null) weights.query = together(shown.columns(key));
    else {
      const found = shown.received();
      weights.key = together(found?.rows);
      if (found?.sampled) what = what.replace("all", thousands(found.sampled));
    }
  }
  if (query !== null) what = "what the query in focus looks at";
  else if (key !== null) what = "how much each query looks at the key in focus";
  const vector = weights.key ?? weights.query;
  const max = vector ? Math.abs(vector[strongest(vector)] ?? 0) : 0;
  return { weights, max, words: `shaded by ${what}, ${headsInWords(shown)}` };
}

export function applyShading(scene: Scene, lists: readonly TokenList[], { weights, max }: Shading): void {
  const ramp = scene.ramp.value;
  const kind = scene.settings.scale.value;
  const vector = weights.key ?? weights.query;
  const table = tableOf(kind, kind === "rank" && vector ? count(vector, 1, max) : undefined);
  for (const { role, buttons } of lists) {
    for (const [index, { style }] of buttons) {
      const weight = weights[role]?.[index];
      if (weight === undefined) {
        style.removeProperty("--shade");
        style.removeProperty("--ink-on");
        continue;
      }
      const colour = colourAt(ramp, shadeOf(table, weight, max), weight);
      style.setProperty("--shade", css(colour));
      style.setProperty("--ink-on", inkOn(colour));
    }
  }
}
