// What the model wrote, token by token, with its probability: scrub to see what each looked at.

import { css, inkOn, rampOf } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { number, percent } from "../core/words";
import type { Scene } from "../parts/picture";

/** Tokens shown at once, at most. */
const WINDOW = 240;

export function generated(scene: Scene, abort: AbortSignal): HTMLElement {
  const { selection } = scene;
  const side = selection.meta.sides["decoder"];
  const written = side?.generated ?? [];
  const [first = 0] = written;
  const strip = h("div", { class: "strip", role: "group", "aria-label": "Generated tokens" });
  const line = h("p", { class: "about", "aria-live": "polite", "aria-label": "Written" });
  const slider = h("input", {
    type: "range",
    min: 0,
    max: written.length - 1,
    "aria-label": "Written token",
  });
  /** The row that predicts a token is the one before it. */
  const look = (index: number): void => {
    const token = written[index];
    if (token === undefined || token === 0) return;
    const { stages } = selection.meta;
    if (selection.current.peek().query !== "decoder") {
      selection.toStage(stages.find((stage) => stage.name === "cross")?.name ?? "decoder");
    }
    selection.choose({ pinned: { query: token - 1, key: null } });
    scene.target.value = { query: token - 1, key: null };
  };
  slider.addEventListener("input", () => look(Number(slider.value)), { signal: abort });
  slider.addEventListener("keydown", (event) => event.stopPropagation(), { signal: abort });
  strip.addEventListener(
    "click",
    (event) => {
      const token = (event.target as Element).closest<HTMLElement>("[data-written]");
      if (token) look(Number(token.dataset["written"]));
    },
    { signal: abort },
  );
  watch(abort, () => {
    const { background, dark } = scene.theme.value;
    const ramp = rampOf(background, null, dark).colours;
    const pinned = selection.pinned.value.query;
    const isDecoder = selection.current.value.query === "decoder";
    const at = isDecoder && pinned !== null ? written.indexOf(pinned + 1) : -1;
    const start = Math.max(0, Math.min(at - WINDOW / 2, written.length - WINDOW));
    strip.replaceChildren(
      ...(start > 0 ? [`… ${start} before `] : []),
      ...written.slice(start, start + WINDOW).map((token, i) => {
        const chance = side?.probability?.[token] ?? null;
        const name = side?.text[token] ?? "";
        const button = h(
          "button",
          {
            type: "button",
            class: "token written",
            "data-written": start + i,
            dir: "auto",
            "aria-pressed": start + i === at,
            title: chance === null ? name : `${name}: probability ${number(chance)}`,
          },
          name,
        );
        if (chance !== null) {
          const colour = ramp[Math.round(chance * 120)] ?? background;
          button.style.setProperty("--shade", css(colour));
          button.style.setProperty("--ink-on", inkOn(colour));
          button.append(h("small", {}, percent(chance)));
        }
        set(button, "data-state", start + i === at ? "pinned" : "idle");
        return button;
      }),
    );
    if (at >= 0) slider.value = String(at);
  });
  watch(abort, () => {
    const shown = scene.shown.value;
    const pinned = selection.pinned.value.query;
    const token = pinned === null || shown.stage.query !== "decoder" ? -1 : written.indexOf(pinned + 1);
    const prompt =
      first > 1 || (first === 1 && !side?.special.includes(0))
        ? `prompt of ${first} token${first === 1 ? "" : "s"}, then `
        : "";
    if (token < 0 || pinned === null) {
      line.textContent = `${prompt}${written.length} tokens written; choose one to see what it looked at`;
      return;
    }
    const name = side?.text[written[token] ?? 0] ?? "";
    const chance = side?.probability?.[written[token] ?? 0];
    const sure = chance == null ? "" : ` with probability ${number(chance)}`;
    const rows = shown.rows(shown.query.at(pinned));
    let share = "";
    if (rows && shown.stage.key === "decoder" && first > 0 && shown.members.length > 0) {
      const row = shown.combine(rows);
      let [before, all] = [0, 0];
      row.forEach((weight, i) => {
        all += Math.abs(weight);
        if (shown.key.first(i) < first) before += Math.abs(weight);
      });
      if (all > 0)
        share = `: ${percent(before / all)} of its attention on the prompt, ${percent(1 - before / all)} on what was written`;
    }
    line.textContent = `${name} was written${sure}${share}`;
  });
  return h("section", { class: "panel", "aria-label": "Generated" }, strip, slider, line);
}
