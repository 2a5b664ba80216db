// Take what is shown along: a figure, a page, the state as a dict.

import { h } from "../core/dom";
import { press } from "../parts/controls";
import type { Scene } from "../parts/picture";
import { copyText } from "./table";

const FORMATS = [
  ["svg", "SVG", "a vector figure of what is shown"],
  ["png", "PNG", "a picture of what is shown"],
  ["html", "HTML", "a page that works without a kernel or a network"],
] as const;

interface Saved {
  op: string;
  format: string;
  type: string;
  error?: string;
}

export function keep(scene: Scene, abort: AbortSignal): HTMLElement {
  const { model, selection } = scene;
  const said = h("span", { class: "caption", "aria-live": "polite", "aria-label": "Saved" });
  const ask = (format: string): void => {
    said.textContent = "drawing …";
    model.send({
      op: "save",
      format,
      hovered: selection.hovered.peek(),
      theme: scene.theme.peek().dark ? "dark" : "light",
    });
  };
  model.on("msg:custom", (reply: Saved, buffers: DataView[]) => {
    if (reply.op !== "saved" || abort.aborted) return;
    const [bytes] = buffers;
    said.textContent = reply.error ?? "";
    if (reply.error !== undefined || !bytes) return;
    const url = URL.createObjectURL(new Blob([bytes as unknown as ArrayBuffer], { type: reply.type }));
    const link = h("a", { href: url, download: `attention.${reply.format}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  });
  const buttons = FORMATS.map(([format, label, title]) =>
    press(label, () => ask(format), abort, { "aria-label": `Save as ${label}`, title }),
  );
  const copy = press("copy state", () => void copyText(stateOf(scene), copy), abort, {
    title: "A dict for view.restore(...)",
  });
  return h(
    "section",
    { class: "panel", "aria-label": "Keep" },
    h("div", { class: "line" }, h("span", { class: "name" }, "Save"), ...buttons, copy, said),
  );
}

/** The state as Python writes it. */
export function stateOf({ selection, settings }: Pick<Scene, "selection" | "settings">): string {
  const { stage, layer, heads, pinned } = selection;
  const state = { stage, layer, heads, pinned, ...settings };
  const lines = Object.entries(state).map(
    ([name, value]) => `${JSON.stringify(name)}: ${python(value.peek())}`,
  );
  return `{${lines.join(", ")}}`;
}

function python(value: unknown): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value as object)
      .map(([name, of]) => `${JSON.stringify(name)}: ${python(of)}`)
      .join(", ")}}`;
  }
  return JSON.stringify(value);
}
