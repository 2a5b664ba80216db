// Feed-forward units of the layer that is shown: one by one, or in patterns. Twin:
// jtviz/views/layer_panels/neurons.py.

import { h, watch } from "../core/dom";
import { synced } from "../core/synced";
import { choice } from "../parts/controls";
import { patterns } from "./neurons-patterns";
import { placeOf } from "./neurons-place";
import { units } from "./neurons-units";
import type { Panel } from "./scene";

export const neurons: Panel = (scene, abort) => {
  const shown = synced(scene.traits, "neurons", abort);
  const body = h("div", {});
  const about = h("span", { class: "about" });
  const place = placeOf(scene);
  watch(abort, () => {
    const { layer, side } = place.value;
    const which = scene.layer.value === 0 ? ", the first there is" : "";
    const many = shown.value === "units" ? "activations" : "patterns of the activations";
    about.textContent = `${many} of the feed-forward units of layer ${layer} of the ${side}${which}`;
  });
  let life = new AbortController();
  abort.addEventListener("abort", () => life.abort(), { once: true });
  watch(abort, () => {
    const draw = shown.value === "units" ? units : patterns;
    life.abort();
    life = new AbortController();
    const { signal: alive } = life;
    // Not to be drawn anew when what it reads changes.
    queueMicrotask(() => {
      if (!alive.aborted) body.replaceChildren(...draw(scene, place, alive));
    });
  });
  const what = choice(
    "What the text is coloured by",
    [
      ["units", "Units"],
      ["patterns", "Patterns"],
    ],
    shown,
    abort,
  );
  return h("div", { class: "panel-neurons" }, h("div", { class: "line" }, what, about), body);
};
