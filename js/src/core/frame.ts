// What every view begins with: a root of its own in a shadow, its width, and the choices that it shares.
// Required: nothing is drawn outside the shadow root; the host's shortcuts stay away from it.

import type { RenderProps } from "@anywidget/types";
import { type Signal, signal } from "@preact/signals-core";
import { h } from "./dom";
import { makePage, type Page } from "./page";
import type { Choices, Model } from "./types";

/** As in base.css. */
const PADDING = 12;

/** Make the root of a view in `el`, and measure the room inside it for as long as it lives. */
export function openRoot(
  el: HTMLElement,
  name: string,
  styles: string,
  gone: AbortSignal,
): { root: HTMLElement; width: Signal<number> } {
  const root = h("div", { class: "jtviz", role: "region", "aria-label": name, tabindex: -1 });
  // Outside the shadow root, where JupyterLab's keyboard shortcuts look for it.
  el.dataset["lmSuppressShortcuts"] = "true";
  el.replaceChildren();
  const shadow = (el.shadowRoot ?? el.attachShadow({ mode: "open" })) as ShadowRoot;
  shadow.replaceChildren(h("style", {}, styles), root);
  const width = signal(0);
  const fit = (): void => {
    const inside = root.clientWidth - 2 * PADDING;
    if (inside > 0) width.value = inside;
  };
  fit();
  const sizes = new ResizeObserver(fit);
  sizes.observe(root);
  gone.addEventListener("abort", () => sizes.disconnect(), { once: true });
  return { root, width };
}

/** The choices that all views of the trace share; without a way to them, this view's own traits. */
export async function reachSelection(
  model: Model<Choices & { selection: string }>,
  host: RenderProps["host"] | undefined,
): Promise<{ choices: Model<Choices>; page: Page }> {
  if (!host) return { choices: model as unknown as Model<Choices>, page: makePage() };
  const reference = model.get("selection") as string;
  const shared = await host.getModel(reference);
  const { exports } = await host.getWidget<Page>(reference);
  return { choices: shared as unknown as Model<Choices>, page: exports };
}
