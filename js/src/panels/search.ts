// Find a token or a phrase, and go there.

import { signal } from "@preact/signals-core";
import { h, set, watch } from "../core/dom";
import type { Side } from "../core/types";
import { press } from "../parts/controls";
import type { Found, Scene } from "../parts/picture";

interface Index {
  text: string;
  /** Where each token starts in the text. */
  starts: number[];
}

const indices = new WeakMap<Side, Index>();

/** A side as running text, made once. */
function indexOf(side: Side): Index {
  let index = indices.get(side);
  if (!index) {
    const gap = new Set(side.gap);
    const parts: string[] = [];
    let at = 0;
    const starts = side.text.map((token, i) => {
      const lower = token.toLowerCase(); // which may be longer: İ
      const part = (i > 0 && gap.has(i) ? " " : "") + lower;
      parts.push(part);
      at += part.length;
      return at - lower.length;
    });
    index = { text: parts.join(""), starts };
    indices.set(side, index);
  }
  return index;
}

/** Tokens that hold a phrase, in order, at most a thousand. */
export function find(side: Side, phrase: string, name: string): Found[] {
  const { text, starts } = indexOf(side);
  const wanted = phrase.toLowerCase();
  const found: Found[] = [];
  if (!wanted) return found;
  for (
    let at = text.indexOf(wanted), token = 0;
    at >= 0 && found.length < 1000;
    at = text.indexOf(wanted, at + 1)
  ) {
    while (token + 1 < starts.length && (starts[token + 1] ?? 0) <= at) token++;
    let stop = token + 1;
    while (stop < starts.length && (starts[stop] ?? 0) < at + wanted.length) stop++;
    if (found.at(-1)?.start !== token) found.push({ side: name, start: token, stop });
  }
  return found;
}

export function search(scene: Scene, abort: AbortSignal): HTMLElement {
  const field = h("input", {
    type: "search",
    "aria-label": "Find a token or phrase",
    placeholder: "find …",
    size: 10,
  });
  const count = h("span", { class: "caption", "aria-live": "polite", "aria-label": "Found" });
  const hits = signal<Found[]>([]);
  const at = signal(0);
  const go = (step: number): void => {
    if (hits.peek().length) at.value = (at.peek() + step + hits.peek().length) % hits.peek().length;
  };
  const [back, next] = [
    press("↑", () => go(-1), abort, { "aria-label": "Previous" }),
    press("↓", () => go(1), abort, { "aria-label": "Next" }),
  ];
  const read = (): void => {
    const { stage } = scene.shown.peek();
    const { sides } = scene.selection.meta;
    const phrase = field.value.trim();
    hits.value = [...new Set([stage.query, stage.key])].flatMap((name) => {
      const side = sides[name];
      return side ? find(side, phrase, name) : [];
    });
    at.value = 0;
  };
  field.addEventListener("input", read, { signal: abort });
  field.addEventListener(
    "keydown",
    (event) => {
      event.stopPropagation();
      if (event.key === "Enter") go(event.shiftKey ? -1 : 1);
      if (event.key === "Escape") {
        field.value = "";
        read();
      }
    },
    { signal: abort },
  );
  watch(abort, () => {
    const all = hits.value;
    const hit = all[at.value];
    back.hidden = next.hidden = all.length < 2;
    const more = all.length === 1000 ? "1,000 or more" : all.length;
    count.textContent = field.value.trim() ? (hit ? `${at.value + 1} of ${more}` : "not found") : "";
    set(field, "aria-invalid", count.textContent === "not found" ? true : undefined);
    scene.found.value = hit ?? null;
    if (!hit) return;
    const { stage } = scene.shown.peek();
    scene.target.value = {
      query: stage.query === hit.side ? hit.start : null,
      key: stage.key === hit.side ? hit.start : null,
    };
  });
  return h("div", { class: "search" }, field, count, back, next);
}
