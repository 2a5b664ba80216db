// The tuned lens: trained here on texts that are typed in, and what that gained.

import { type ReadonlySignal, signal } from "@preact/signals-core";
import { h, set, watch } from "../core/dom";
import { number, thousands } from "../core/words";
import { amount, press } from "../parts/controls";
import { figures } from "../pruning/figures";
import { layerName, type Scene } from "./scene";
import type { TunedAbout } from "./types";

export function tuned(
  scene: Scene,
  about: ReadonlySignal<TunedAbout | null>,
  training: ReadonlySignal<boolean>,
  problem: ReadonlySignal<string>,
  isOpen: ReadonlySignal<boolean>,
  abort: AbortSignal,
): HTMLElement {
  const said = signal("");
  const steps = signal(250);
  const texts = h("textarea", {
    rows: 4,
    "aria-label": "Texts to train on, one a line",
    placeholder: "One text a line; not the one that is looked at",
    spellcheck: "false",
  });
  const ask = async (op: "lens_train" | "lens_stop"): Promise<void> => {
    said.value = "";
    const late = (words: string): void => {
      said.value = words;
    };
    try {
      if (op === "lens_train") {
        await scene.questions.once({ op: "lens_train", texts: texts.value, steps: steps.peek() }, late);
      } else await scene.questions.once({ op: "lens_stop" }, late);
      said.value = "";
    } catch (error) {
      said.value = error instanceof Error ? error.message : String(error);
    }
  };
  const train = press("Train", () => void ask("lens_train"), abort);
  const stop = press("Stop", () => void ask("lens_stop"), abort);
  const words =
    "A tuned lens translates each layer into the last layer’s terms, by an affine map that is trained on texts " +
    "(Belrose et al. 2023). The model is not changed.";
  const limits = { min: 1, max: 100_000, step: 1 };
  const form = h(
    "div",
    { class: "lens-form" },
    h("p", { class: "about" }, words),
    texts,
    h("div", { class: "line" }, amount("Steps", steps, limits, abort), train, stop),
  );
  const alert = h("div", { role: "alert", class: "problem" });
  const summary = h("summary", {});
  const gained = h("div", { class: "lens-gained" });
  const more = h("details", {}, summary, gained);
  const warning = h("p", { class: "lens-warning", role: "status" });
  more.append(form);
  const node = h("section", { class: "block lens-tuned", "aria-label": "Tuned lens" }, warning, more, alert);
  watch(abort, () => {
    node.hidden = !isOpen.value;
    const found = about.value;
    if (!found) more.open = true;
    warning.hidden = !found?.seen;
    warning.textContent =
      "This text is one that the lens was trained on: it looks better here than on a text that it never saw.";
    gained.hidden = !found;
    if (!found) {
      summary.textContent = "No tuned lens yet: train one";
      return;
    }
    const mean = (all: number[]): number => all.reduce((sum, x) => sum + x, 0) / Math.max(1, all.length);
    summary.textContent =
      `trained on ${thousands(found.rows)} tokens: divergence from the last layer ${number(mean(found.before))} → ` +
      `${number(mean(found.after))} nats, mean over layers`;
    const rows = found.before.map((before, layer): [string, number, number] => [
      layerName(layer),
      before,
      found.after[layer] ?? 0,
    ]);
    gained.replaceChildren(
      figures(
        "KL divergence from the last layer over those tokens, nats",
        ["logit lens", "tuned lens"],
        rows.reverse(),
      ),
    );
  });
  // What was trained is shown rather than the form.
  let before = about.peek()?.number ?? 0;
  watch(abort, () => {
    const now = about.value?.number ?? 0;
    if (now !== before) more.open = false;
    before = now;
  });
  watch(abort, () => {
    train.hidden = training.value;
    stop.hidden = !training.value;
    set(texts, "readonly", training.value ? true : undefined);
    const why = said.value || problem.value;
    alert.hidden = why === "";
    alert.textContent = why;
  });
  return node;
}
