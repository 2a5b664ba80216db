// What is computed only when it is asked for: how parts back each other up, and the explanation of both models.

import type { ReadonlySignal } from "@preact/signals-core";
import { colourAt, css, inkOn } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { number } from "../core/words";
import { press } from "../parts/controls";
import { figures } from "./figures";
import { keyOf, sizeOf } from "./mask";
import type { Scene } from "./scene";
import type { Explained, Interaction, Off } from "./types";

type Ask = (op: "interact" | "explain") => void;

export function interaction(
  scene: Scene,
  found: ReadonlySignal<Interaction | null>,
  ask: Ask,
  abort: AbortSignal,
): HTMLElement {
  const { mask } = scene;
  const lack = (): string =>
    sizeOf(mask.settled.value) < 2 ? "switch off two parts or more to compare them alone and together" : "";
  const body = h("div", {});
  watch(abort, () => {
    const now = found.value;
    body.replaceChildren(
      ...(now
        ? [
            h("p", { class: "about" }, now.words),
            figures(
              "alone and together",
              ["effect"],
              [
                ...now.alone.map(([name, value]): [string, number] => [name, value]),
                ["sum of these", now.sum],
                ["together", now.joint],
              ],
            ),
            ...(now.pairs.length
              ? [
                  figures(
                    "by pairs",
                    ["together", "interaction"],
                    now.pairs.map(([a, b, joint, extra]) => [`${a} + ${b}`, joint, extra]),
                  ),
                ]
              : []),
          ]
        : []),
    );
  });
  return asked(
    scene,
    "how parts back each other up",
    "compare alone and together",
    "interact",
    found,
    lack,
    ask,
    body,
    abort,
  );
}

export function explained(
  scene: Scene,
  found: ReadonlySignal<Explained | null>,
  ask: Ask,
  abort: AbortSignal,
): HTMLElement {
  const body = h("div", {});
  const lack = (): string => (sizeOf(scene.mask.settled.value) === 0 ? "switch something off first" : "");
  watch(abort, () => {
    const now = found.value;
    const { ramp } = scene;
    const sizes = now?.sides.flatMap(([, , before, after]) => [...before, ...after]) ?? [];
    const most = Math.max(0, ...sizes.map(Math.abs));
    const strip = (name: string, tokens: readonly string[], scores: readonly number[]): HTMLElement => {
      const nodes = tokens.map((token, i) => {
        const score = scores[i] ?? 0;
        const colour = colourAt(ramp.value, most > 0 ? Math.round((255 * Math.abs(score)) / most) : 0, score);
        const words = `${token}: ${number(score)}`;
        const node = h(
          "span",
          { class: "token", role: "listitem", "aria-label": words, title: words },
          token,
        );
        node.style.setProperty("--shade", css(colour));
        node.style.setProperty("--ink-on", inkOn(colour));
        return node;
      });
      return h(
        "div",
        {},
        h("div", { class: "title", "aria-hidden": "true" }, name),
        h("div", { class: "flow", role: "list", "aria-label": name }, ...nodes),
      );
    };
    body.replaceChildren(
      ...(now
        ? [
            h("p", { class: "about" }, now.words),
            ...now.sides.flatMap(([side, tokens, before, after]) => {
              const of = now.sides.length > 1 ? `, ${side}` : "";
              return [strip(`intact${of}`, tokens, before), strip(`pruned${of}`, tokens, after)];
            }),
            h(
              "p",
              { class: "about" },
              now.correlation === null
                ? "too few tokens for a correlation"
                : `correlation of the two: ${number(now.correlation)} · full colour: ${number(most)} in both`,
            ),
          ]
        : []),
    );
  });
  return asked(scene, "explain again", "explain both", "explain", found, lack, ask, body, abort);
}

/** What is folded away until somebody asks, and marked when it is of another choice. */
function asked(
  { mask, busy }: Scene,
  title: string,
  label: string,
  op: "interact" | "explain",
  found: ReadonlySignal<{ state: Off } | null>,
  lack: () => string,
  ask: Ask,
  body: HTMLElement,
  abort: AbortSignal,
): HTMLElement {
  const button = press(label, () => ask(op), abort);
  const why = h("span", { class: "caption" });
  watch(abort, () => {
    const now = found.value;
    const isOld = now !== null && keyOf(now.state) !== keyOf(mask.settled.value);
    const reason = lack();
    button.disabled = reason !== "" || busy.value !== "" || (now !== null && !isOld);
    why.textContent = [isOld ? "this is of another choice" : "", reason].filter(Boolean).join(" · ");
    body.classList.toggle("stale", isOld);
    set(body, "aria-hidden", now ? undefined : true);
  });
  return h("details", {}, h("summary", {}, title), h("div", { class: "line" }, button, why), body);
}
