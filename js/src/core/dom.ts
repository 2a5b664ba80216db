// Small helpers for plain DOM. Text always goes in as text, never as HTML.

import { effect } from "@preact/signals-core";

type Attributes = Record<string, string | number | boolean | undefined>;

/**
 * Make an element.
 *
 * @example
 * h("button", { role: "tab", class: "tab" }, "Encoder")
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) set(node, name, value);
  node.append(...children);
  return node;
}

/** Set an attribute only when it changes; `undefined` removes it. */
export function set(node: Element, name: string, value: string | number | boolean | undefined): void {
  if (value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** Run `fn` now and whenever a signal that it read changes, until `signal` aborts. */
export function watch(signal: AbortSignal, fn: () => void): void {
  signal.addEventListener("abort", effect(fn), { once: true });
}

/** Run `draw` at most once a frame, however often it is asked for. */
export function onceAFrame(draw: () => void): () => void {
  let asked = 0;
  return () => {
    if (asked) return;
    asked = requestAnimationFrame(() => {
      asked = 0;
      draw();
    });
  };
}

/** Size a canvas to its CSS box at the screen's resolution and return a cleared context. */
export function prepare(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = Math.max(1, Math.min(3, globalThis.devicePixelRatio || 1));
  const [w, h_] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h_) canvas.height = h_;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("jtviz needs a browser with a 2-D canvas.");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** A text cut so that it fits. */
export function fitted(context: CanvasRenderingContext2D, text: string, room: number): string {
  if (context.measureText(text).width <= room) return text;
  let short = text;
  while (short.length > 1 && context.measureText(`${short}…`).width > room) short = short.slice(0, -1);
  return `${short}…`;
}
