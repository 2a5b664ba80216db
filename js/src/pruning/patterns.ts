// Heads whose attention moved when others were switched off: small pictures before and after.
// Required: a picture is fetched only when it comes into sight; what cannot be had is said in its place.

import { signal, untracked } from "@preact/signals-core";
import type { Ramp } from "../core/colour";
import { h, prepare, watch } from "../core/dom";
import type { Requests } from "../core/requests";
import { percent } from "../core/words";
import { press } from "../parts/controls";
import { sizeOf } from "./mask";
import type { Scene } from "./scene";
import type { Head, Outcome } from "./types";

/** Side of a picture, in pixels, and how many are shown before more are asked for. */
const SIDE = 72;
const FEW = 6;

interface Pattern {
  shape: [2, number, number];
  max: number;
}

interface Fetched {
  reply: Pattern;
  bytes: Uint8Array;
}

export function patterns(scene: Scene, requests: Requests, abort: AbortSignal): HTMLElement {
  const list = h("div", { class: "moved" });
  const isAll = signal(false);
  const more = press("more", () => (isAll.value = true), abort, { class: "link" });
  const title = h("div", { class: "title" }, "attention that moved · before, after");
  const node = h("section", { class: "block", "aria-label": "Attention that moved" }, title, list, more);
  let life = new AbortController();
  abort.addEventListener("abort", () => life.abort(), { once: true });
  watch(abort, () => {
    const outcome = scene.outcome.value;
    life.abort();
    life = new AbortController();
    const { moved = [] } = outcome ?? {};
    const shown = moved.slice(0, isAll.value ? moved.length : FEW);
    more.hidden = shown.length === moved.length;
    more.textContent = `${moved.length - shown.length} more`;
    untracked(() => {
      const { signal: alive } = life;
      list.replaceChildren(
        ...(outcome ? shown.map(([...head]) => entry(scene, requests, outcome, head, alive)) : []),
      );
    });
  });
  watch(abort, () => {
    node.hidden = !scene.outcome.value?.moved.length || sizeOf(scene.mask.settled.value) === 0;
    list.classList.toggle("stale", scene.answer.isStale.value);
  });
  return node;
}

/** Pictures live as long as their outcome. */
const known = new WeakMap<Outcome, Map<string, Promise<Fetched>>>();

function entry(
  { ramp, look, labelOf }: Scene,
  requests: Requests,
  outcome: Outcome,
  [stage, layer, head, far]: [...Head, number],
  abort: AbortSignal,
): HTMLElement {
  const canvases = ["before", "after"].map((when) => h("canvas", { role: "img", "aria-label": when }));
  const lack = h("small", { class: "caption" }, "…");
  const name = `${labelOf(stage).toLowerCase()} ${layer}.${head}`;
  const node = h(
    "button",
    {
      type: "button",
      class: "entry",
      "aria-label": `${name}: its attention moved by ${percent(far)}; look at it in the attention views`,
    },
    h("span", {}, name, " ", h("b", {}, percent(far))),
    h("span", { class: "pictures" }, ...canvases, lack),
  );
  node.addEventListener("click", () => look([stage, layer, head]), { signal: abort });
  for (const canvas of canvases) canvas.hidden = true;
  const fetched = signal<Fetched | null>(null);
  whenSeen(
    node,
    () => {
      const all = known.get(outcome) ?? new Map<string, Promise<Fetched>>();
      known.set(outcome, all);
      const key = `${stage}/${layer}/${head}`;
      const asked =
        all.get(key) ??
        requests
          .ask<Pattern>({ op: "pattern", stage, layer, head }, (words) => {
            lack.textContent = words;
          })
          .then(({ reply, buffers: [bytes] }) => ({ reply, bytes: bytesOf(bytes) }));
      all.set(key, asked);
      asked.then(
        (found) => {
          if (!abort.aborted) fetched.value = found;
        },
        (error: Error) => {
          all.delete(key);
          lack.textContent = error.message;
        },
      );
    },
    abort,
  );
  watch(abort, () => {
    const found = fetched.value;
    if (!found) return;
    lack.hidden = true;
    canvases.forEach((canvas, i) => {
      canvas.hidden = false;
      draw(canvas, found.reply.shape, found.bytes, i, ramp.value);
    });
  });
  return node;
}

const bytesOf = (view: DataView | undefined): Uint8Array =>
  view ? new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength) : new Uint8Array();

/** Both in one scale: the byte is the shade. */
function draw(
  canvas: HTMLCanvasElement,
  [, rows, columns]: Pattern["shape"],
  bytes: Uint8Array,
  which: number,
  ramp: Ramp,
): void {
  const image = new ImageData(Math.max(1, columns), Math.max(1, rows));
  const pixels = new Uint32Array(image.data.buffer);
  const part = bytes.subarray(which * rows * columns, (which + 1) * rows * columns);
  part.forEach((byte, i) => {
    pixels[i] = ramp.pixels[byte] ?? 0;
  });
  const small = new OffscreenCanvas(image.width, image.height);
  small.getContext("2d")?.putImageData(image, 0, 0);
  const context = prepare(canvas, SIDE, SIDE);
  context.imageSmoothingEnabled = Math.max(rows, columns) > SIDE;
  context.drawImage(small, 0, 0, SIDE, SIDE);
}

function whenSeen(node: Element, act: () => void, abort: AbortSignal): void {
  const sights = new IntersectionObserver((entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    sights.disconnect();
    act();
  });
  sights.observe(node);
  abort.addEventListener("abort", () => sights.disconnect(), { once: true });
}
