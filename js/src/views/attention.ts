// The attention view. Twin: jtviz/views/attention.py (the same traits).
// Required: everything is reachable by mouse and by keyboard; nothing is drawn outside the shadow root.

import type { RenderProps } from "@anywidget/types";
import { signal, untracked } from "@preact/signals-core";
import { h, set, watch } from "../core/dom";
import { makePage, type Page } from "../core/page";
import { prefetch } from "../core/patterns";
import { Selection } from "../core/selection";
import { watchTheme } from "../core/theme";
import { Tiles } from "../core/tiles";
import type { AttentionTraits, Choices, Meta, Mode, Model } from "../core/types";
import { checkBadge } from "../parts/badge";
import { choice, layerSlider, MODES, stageTabs } from "../parts/controls";
import { headSelector } from "../parts/heads";
import { legend, problem, statusLine } from "../parts/legend";
import { links } from "../parts/links";
import { matrix } from "../parts/matrix";
import { makeScene, type Picture, type Scene } from "../parts/picture";
import { text } from "../parts/text";
import { listenToTokens } from "../parts/tokens";
import styles from "./attention.css";

/** As in attention.css. */
const PADDING = 12;
const PICTURES: Record<Mode, Picture> = { links, matrix, text };

async function render({ model, el, host, signal: gone }: RenderProps): Promise<void> {
  const traits = model as unknown as Model<AttentionTraits>;
  const meta = traits.get("meta") as Meta;
  const { choices, page } = await reachSelection(traits, host);
  if (gone.aborted) return;
  const selection = new Selection(meta, choices, page, gone);
  const tiles = new Tiles(meta, traits, page, gone);
  // First of all effects, so that only wishes of the place just left are dropped.
  watch(gone, () => {
    selection.stage.value;
    selection.layer.value;
    untracked(() => tiles.forget());
  });

  const root = h("div", { class: "jtviz", role: "region", "aria-label": "jtviz attention", tabindex: -1 });
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

  const mode = synced(traits, "mode", gone);
  const rows = synced(traits, "row_labels", gone);
  const scene = makeScene({
    root,
    selection,
    tiles,
    rows,
    width,
    theme: watchTheme(root, gone),
    legend: signal({ words: "", max: null }),
  });
  const labels = choice(
    "Rows named by token",
    [
      ["read", "read"],
      ["predicted", "predicted"],
    ],
    rows,
    gone,
  );
  const naming = h(
    "div",
    { class: "naming" },
    h("span", { class: "caption", "aria-hidden": "true" }, "Rows named by token"),
    labels,
  );
  watch(gone, () => {
    naming.hidden = selection.current.value.query !== "decoder" || meta.predicts === null;
  });
  const body = h("div", { class: "body", role: "tabpanel" });
  const check = checkBadge(selection, gone);
  const below = legend(scene, gone);
  below.append(check.sums, check.badge);
  root.append(
    h(
      "div",
      { class: "controls" },
      stageTabs(selection, gone),
      layerSlider(selection, gone),
      choice("Drawn as", MODES, mode, gone),
    ),
    h("div", { class: "controls" }, headSelector(selection, scene.theme, gone), naming),
    body,
    problem(tiles.error, gone),
    below,
    statusLine(scene, gone),
    check.more,
  );
  watch(gone, () => set(body, "aria-busy", tiles.waiting.value));
  watch(gone, () => set(body, "aria-label", `${selection.current.value.label} attention`));
  showPicture(scene, mode, body, gone);
  listenToTokens(root, selection, gone);
  listenToKeys(root, selection, gone);
  watch(gone, () => {
    const { layer, stage } = { layer: selection.layer.value, stage: selection.current.value };
    tiles.version.value;
    if (!tiles.waiting.value) prefetch(tiles, stage, layer);
  });
}

/** The choices that all views of the trace share; without a way to them, this view's own traits. */
async function reachSelection(
  model: Model<AttentionTraits>,
  host: RenderProps["host"] | undefined,
): Promise<{ choices: Model<Choices>; page: Page }> {
  if (!host) return { choices: model as unknown as Model<Choices>, page: makePage() };
  const reference = model.get("selection") as string;
  const shared = await host.getModel(reference);
  const { exports } = await host.getWidget<Page>(reference);
  return { choices: shared as unknown as Model<Choices>, page: exports };
}

/** A trait of this view as a signal, both ways. */
function synced<K extends "mode" | "row_labels">(model: Model<AttentionTraits>, name: K, abort: AbortSignal) {
  const value = signal(model.get(name) as AttentionTraits[K]);
  model.on(`change:${name}`, () => {
    value.value = model.get(name) as AttentionTraits[K];
  });
  watch(abort, () => {
    if (value.value === model.get(name)) return;
    model.set(name, value.value as never);
    model.save_changes();
  });
  return value;
}

function showPicture(
  scene: Scene,
  mode: ReturnType<typeof signal<Mode>>,
  body: HTMLElement,
  gone: AbortSignal,
): void {
  let life = new AbortController();
  gone.addEventListener("abort", () => life.abort(), { once: true });
  watch(gone, () => {
    const picture = PICTURES[mode.value as Mode];
    life.abort();
    life = new AbortController();
    body.replaceChildren(picture(scene, life.signal));
  });
}

/** Left and right walk the layers, up and down the heads, Escape unpins. */
function listenToKeys(root: HTMLElement, selection: Selection, abort: AbortSignal): void {
  // What returns false did nothing, and leaves the key to the notebook.
  const actions: Record<string, () => unknown> = {
    ArrowLeft: () => selection.toLayer(selection.layer.peek() - 1),
    ArrowRight: () => selection.toLayer(selection.layer.peek() + 1),
    ArrowUp: () => selection.walkHeads(-1),
    ArrowDown: () => selection.walkHeads(1),
    Escape: () => selection.unpin(),
  };
  root.addEventListener(
    "keydown",
    (event) => {
      const action = actions[event.key];
      if (!action || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      if (action() === false) return;
      // Else the notebook would take the arrows to walk its cells.
      event.preventDefault();
      event.stopPropagation();
    },
    { signal: abort },
  );
}

export default { render };
