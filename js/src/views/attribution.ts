// The attribution view: what a prediction rests on. Twin: jtviz/views/attribution.py (the same traits).
// Required: how far the scores can be trusted is always to be seen; what is computed is said while it is.

import type { RenderProps } from "@anywidget/types";
import { signal } from "@preact/signals-core";
import { gauge } from "../attribution/gauge";
import { grid } from "../attribution/grid";
import { outputs } from "../attribution/outputs";
import { type Scene, Scores, sidesOf } from "../attribution/scene";
import { listen, strip } from "../attribution/strip";
import { trust } from "../attribution/trust";
import type { AttributionMeta, AttributionTraits } from "../attribution/types";
import baseStyles from "../core/base.css";
import { css } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { openRoot, reachSelection } from "../core/frame";
import { Selection } from "../core/selection";
import { synced } from "../core/synced";
import { watchTheme } from "../core/theme";
import type { Model } from "../core/types";
import { number, percent } from "../core/words";
import { choice, select, tick } from "../parts/controls";
import flowStyles from "../parts/flow.css";
import { progress } from "../parts/progress";
import styles from "./attribution.css";

async function render({ model, el, host, signal: gone }: RenderProps): Promise<void> {
  const traits = model as unknown as Model<AttributionTraits>;
  const meta = traits.get("meta") as AttributionMeta;
  const { choices, page } = await reachSelection(traits, host);
  if (gone.aborted) return;
  const selection = new Selection(meta, choices, page, gone);
  const { root, width } = openRoot(el, "jtviz attribution", baseStyles + flowStyles + styles, gone);

  const scene: Scene = {
    meta,
    selection,
    theme: watchTheme(root, gone),
    width,
    parts: synced(traits, "parts", gone),
    bytes: synced(traits, "scores", gone),
    part: synced(traits, "part", gone),
    pointed: signal(null),
    span: synced(traits, "span", gone),
    mode: synced(traits, "mode", gone),
    layer: synced(traits, "explained_layer", gone),
    unit: synced(traits, "unit", gone),
    annotate: synced(traits, "annotate", gone),
  };
  const scores = new Scores(scene);
  const { mode } = scene;
  const body = h("div", { class: "body" });
  root.append(
    controls(scene, scores, traits, gone),
    headline(scene, scores, gone),
    outputs(scene, gone),
    body,
    legend(scores, gone),
    gauge(scores, gone),
    trust(scene, synced(traits, "trusted", gone), traits, gone),
    statusLine(scene, scores, root, gone),
    progress(
      synced(traits, "busy", gone),
      synced(traits, "share", gone),
      synced(traits, "problem", gone),
      gone,
    ),
  );
  let life = new AbortController();
  gone.addEventListener("abort", () => life.abort(), { once: true });
  watch(gone, () => {
    const isGrid = mode.value === "matrix" && scene.parts.value.length > 1;
    life.abort();
    life = new AbortController();
    const { signal: alive } = life;
    body.replaceChildren(
      ...(isGrid
        ? [grid(scene, scores, alive)]
        : sidesOf(meta).map((side) => strip(scene, scores, side, alive))),
    );
  });
  listen(root, scene, scores, gone);
}

function controls(
  scene: Scene,
  scores: Scores,
  traits: Model<AttributionTraits>,
  gone: AbortSignal,
): HTMLElement {
  const method = synced(traits, "method", gone);
  const baseline = synced(traits, "baseline", gone);
  const { methods } = scene.meta;
  const methodField = select("Method", () => methods.map(([name, label]) => [name, label]), method, gone);
  const baselineField = select(
    "Baseline",
    () => {
      const known = scene.meta.baselines;
      const all = known.includes(baseline.value) ? known : [...known, baseline.value];
      return all.map((name) => [name, name.length > 24 ? `${name.slice(0, 23)}…` : name]);
    },
    baseline,
    gone,
  );
  const modes = choice(
    "Drawn as",
    [
      ["text", "Text"],
      ["matrix", "Matrix"],
    ],
    scene.mode,
    gone,
  );
  const layers = layerField(scene, scores, gone);
  watch(gone, () => {
    baselineField.hidden = !methods.find(([name]) => name === method.value)?.[3];
    modes.hidden = scene.parts.value.length < 2;
  });
  return h(
    "div",
    { class: "controls" },
    methodField,
    baselineField,
    layers,
    choice(
      "Unit",
      [
        ["token", "Tokens"],
        ["word", "Words"],
      ],
      scene.unit,
      gone,
    ),
    tick("numbers", scene.annotate, gone),
    modes,
  );
}

function layerField(scene: Scene, scores: Scores, gone: AbortSignal): HTMLElement {
  const input = h("input", { type: "range", min: 0, step: 1, "aria-label": "Layer explained" });
  const words = h("span", { class: "caption" });
  const field = h("label", { class: "field" }, h("span", { class: "caption" }, "Layer"), input, words);
  input.addEventListener(
    "input",
    () => {
      scene.layer.value = Number(input.value);
    },
    { signal: gone },
  );
  input.addEventListener("keydown", (event) => event.stopPropagation(), { signal: gone });
  watch(gone, () => {
    const count = Math.max(...sidesOf(scene.meta).map((side) => scores.layers(side)));
    field.hidden = count === 0;
    input.max = String(Math.max(0, count - 1));
    input.value = String(Math.min(count - 1, scene.layer.value));
    words.textContent = `${Math.min(count - 1, scene.layer.value)} of 0–${count - 1}`;
  });
  return field;
}

function headline(scene: Scene, scores: Scores, gone: AbortSignal): HTMLElement {
  const what = h("span", { class: "what" });
  const how = h("span", { class: "about" });
  watch(gone, () => {
    const part = scores.part.value;
    const [, label = "", about = ""] = scene.meta.methods.find(([name]) => name === part?.method) ?? [];
    const chance = part?.probability ?? null;
    what.textContent = part
      ? `${part.words} = ${number(part.value)}${chance === null ? "" : ` · probability ${percent(chance)}`}`
      : "";
    const against = part?.baseline ? `, against ${part.baseline}` : "";
    const steps = part?.n_steps ? `, ${part.n_steps} points` : "";
    how.textContent = part ? `${label}${against}${steps}: ${about}` : "";
  });
  const title = h("span", { class: "about" }, scene.meta.title);
  title.hidden = scene.meta.title === "";
  return h("div", { class: "headline" }, title, what, how);
}

function legend(scores: Scores, gone: AbortSignal): HTMLElement {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  const [least, most, words] = [h("span"), h("span"), h("span", { class: "words" })];
  watch(gone, () => {
    const isSigned = scores.part.value?.is_signed ?? true;
    const { colours, negative } = scores.ramp.value;
    const stops = [0, 64, 128, 191, 255];
    const up = stops.map((i) => css(colours[i] ?? [0, 0, 0]));
    const down = [...stops].reverse().map((i) => css(negative[i] ?? [0, 0, 0]));
    bar.style.background = `linear-gradient(to right, ${[...(isSigned ? down : []), ...up].join(", ")})`;
    const max = scores.max.value;
    [least.textContent, most.textContent] = [isSigned ? number(-max) : "0", number(max)];
    words.textContent = isSigned
      ? "speaks against · speaks for what is explained"
      : "matters little · matters much";
  });
  return h("div", { class: "legend" }, h("span", { class: "scale" }, least, bar, most), words);
}

function statusLine(scene: Scene, scores: Scores, root: HTMLElement, gone: AbortSignal): HTMLElement {
  const line = h("div", { role: "status", class: "status" });
  watch(gone, () => {
    const { query, key } = scene.selection.focus.value;
    const stage = scene.selection.current.value;
    const found: string[] = [];
    const total = scores.total();
    for (const { name, axis } of scores.sides()) {
      const token = stage.key === name && key !== null ? key : stage.query === name ? query : null;
      if (token === null) continue;
      const at = axis.at(token);
      const score = scores.shown(name)[at] ?? 0;
      const share = total > 0 ? ` (${percent(Math.abs(score) / total)} of all sizes)` : "";
      found.push(`${axis.labels[at]} ${number(score)}${share}`);
    }
    const words = found.join(" · ") || "hover a token to read its score, click to pin it";
    set(line, "aria-live", root.matches(":hover, :focus-within") ? "polite" : "off");
    if (line.textContent !== words) line.textContent = words;
  });
  return line;
}

export default { render };
