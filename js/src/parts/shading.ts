// Shade tokens by attention: keys by how much the query in focus looks at them, queries by how much they
// look at the key in focus; with no focus, keys by what they receive on average.

import { css, inkOn, shade } from "../core/colour";
import { mean, strongest } from "../core/patterns";
import type { Role } from "../core/types";
import { headsInWords } from "../core/words";
import type { Scene } from "./picture";

export interface Shading {
  weights: Record<Role, Float32Array | undefined>;
  /** The weight that the full colour stands for. */
  max: number;
  words: string;
}

/** What the tokens of both sides are shaded by, now. */
export function shadingOf(scene: Scene): Shading {
  const patterns = scene.patterns.value;
  const heads = scene.selection.heads.value;
  const { query, key } = scene.selection.focus.value;
  const weights: Shading["weights"] = { query: undefined, key: undefined };
  const average = (rows: Float32Array[] | undefined, length: number) => rows && mean(rows, length);
  if (heads.length > 0) {
    if (query !== null) weights.key = average(patterns.row(query, heads), patterns.keys);
    else if (key !== null) weights.query = average(patterns.column(key, heads), patterns.queries);
    else weights.key = average(patterns.received(heads), patterns.keys);
  }
  const shown = weights.key ?? weights.query;
  const what =
    query !== null
      ? "what the query in focus looks at"
      : key !== null
        ? "how much each query looks at the key in focus"
        : "how much each key is looked at, mean over all queries";
  return {
    weights,
    max: shown ? (shown[strongest(shown)] ?? 0) : 0,
    words: `shaded by ${what}, ${headsInWords(heads)}`,
  };
}

export function applyShading(scene: Scene, buttons: Record<Role, HTMLElement[]>, shading: Shading): void {
  const colours = scene.ramp.value;
  for (const role of ["query", "key"] as const) {
    for (const [i, button] of buttons[role].entries()) {
      const weight = shading.weights[role]?.[i];
      if (weight === undefined) {
        button.style.removeProperty("--shade");
        button.style.removeProperty("--ink-on");
        continue;
      }
      const colour = shade(colours, weight, shading.max);
      button.style.setProperty("--shade", css(colour));
      button.style.setProperty("--ink-on", inkOn(colour));
    }
  }
}
