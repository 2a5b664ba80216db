// The buttons that zoom a picture.

import { h } from "../core/dom";

export function zoomTools(
  zoomBy: (factor: number) => void,
  fit: () => void,
  abort: AbortSignal,
): HTMLElement {
  const button = (label: string, name: string, act: () => void): HTMLButtonElement => {
    const node = h("button", { type: "button", class: "option", "aria-label": name, title: name }, label);
    node.addEventListener("click", act, { signal: abort });
    return node;
  };
  return h(
    "div",
    { class: "group zoom", role: "group", "aria-label": "Zoom" },
    button("+", "Zoom in", () => zoomBy(2)),
    button("−", "Zoom out", () => zoomBy(0.5)),
    button("fit", "Show everything", fit),
  );
}
