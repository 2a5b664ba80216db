// What each layer knows, one tab for each way to look. Twin: jtviz/views/layers.py (the same traits).
// Required: a tab asks the kernel for numbers only while it is open.

import type { RenderProps } from "@anywidget/types";
import { computed, signal } from "@preact/signals-core";
import baseStyles from "../core/base.css";
import { rampOf } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { openRoot, reachSelection } from "../core/frame";
import { Requests } from "../core/requests";
import { Selection } from "../core/selection";
import { synced } from "../core/synced";
import { watchTheme } from "../core/theme";
import type { Model } from "../core/types";
import { direct } from "../layers/direct";
import directStyles from "../layers/direct.css";
import { features } from "../layers/features";
import featureStyles from "../layers/features.css";
import heatmapStyles from "../layers/heatmap.css";
import { lens } from "../layers/lens";
import lensStyles from "../layers/lens.css";
import { neurons } from "../layers/neurons";
import neuronsStyles from "../layers/neurons.css";
import { Questions } from "../layers/questions";
import { layerName, type Panel, type Scene } from "../layers/scene";
import { similarity } from "../layers/similarity";
import similarityStyles from "../layers/similarity.css";
import { trajectories } from "../layers/trajectories";
import type { LayersMeta, LayersTraits, Tab } from "../layers/types";
import { slider } from "../parts/controls";
import flowStyles from "../parts/flow.css";
import { progress } from "../parts/progress";
import styles from "./layers.css";

const PANELS: Record<Tab, Panel> = { features, trajectories, similarity, lens, neurons, direct };
const SIDES: Record<string, string> = { encoder: "Encoder", decoder: "Decoder" };

async function render({ model, el, host, signal: gone }: RenderProps): Promise<void> {
  const traits = model as unknown as Model<LayersTraits>;
  const meta = traits.get("meta") as LayersMeta;
  const { choices, page } = await reachSelection(traits, host);
  if (gone.aborted) return;
  const selection = new Selection(meta, choices, page, gone);
  const { root, width } = openRoot(
    el,
    "jtviz layers",
    baseStyles +
      flowStyles +
      styles +
      heatmapStyles +
      featureStyles +
      neuronsStyles +
      similarityStyles +
      lensStyles +
      directStyles,
    gone,
  );
  const theme = watchTheme(root, gone);
  const hidden = synced(traits, "hidden_layer", gone);
  const side = computed(() => selection.current.value.query);
  const depth = computed(() => meta.depth[side.value] ?? 1);
  const layer = computed(() => Math.min(hidden.value, depth.value - 1));
  // Layer 0 of the Selection is both what enters it and what it returned: the one of them chosen last is shown.
  let isAtStart = hidden.peek() === 0;
  const scene: Scene = {
    meta,
    selection,
    theme,
    ramp: computed(() => rampOf(theme.value.background, null, theme.value.dark)),
    width,
    side,
    layer,
    depth,
    toLayer: (to) => {
      const next = Math.max(0, Math.min(depth.peek() - 1, to));
      if (next === layer.peek()) return;
      isAtStart = next === 0;
      // In two messages, of which Python may hear either one first.
      selection.toLayer(next - 1);
      traits.set("hidden_layer", next);
      traits.save_changes();
    },
    questions: new Questions(new Requests(traits as never)),
    traits,
  };
  // A layer that is chosen elsewhere; Python hears of it from there, and may have gone on when this is seen.
  let isFollowing = false;
  const follow = (to: number): void => {
    isFollowing = true;
    traits.set("hidden_layer", isAtStart && to === 0 ? 0 : to + 1);
    isFollowing = false;
  };
  traits.on("change:hidden_layer", () => {
    if (!isFollowing) isAtStart = traits.get("hidden_layer") === 0;
  });
  let before = selection.layer.peek();
  follow(before);
  watch(gone, () => {
    const now = selection.layer.value;
    if (now !== before) follow(now);
    before = now;
  });
  const tab = synced(traits, "tab", gone);
  const body = h("div", { class: "body", role: "tabpanel", id: "body" });
  root.append(
    h("div", { class: "controls" }, tabs(meta, tab, body, gone)),
    h("div", { class: "controls" }, sides(scene, gone), layers(scene, gone)),
    body,
    progress(synced(traits, "busy", gone), synced(traits, "share", gone), signal(""), gone),
  );
  let life = new AbortController();
  gone.addEventListener("abort", () => life.abort(), { once: true });
  watch(gone, () => {
    const [, label, lack] = meta.tabs.find(([name]) => name === tab.value) ?? ["", "", ""];
    const panel = lack ? absent(lack) : PANELS[tab.value];
    life.abort();
    life = new AbortController();
    set(body, "aria-label", label);
    // Not to be drawn anew when what the panel reads changes.
    const { signal: alive } = life;
    queueMicrotask(() => {
      if (!alive.aborted) body.replaceChildren(panel(scene, alive));
    });
  });
  listenToKeys(root, scene, gone);
}

/** What a tab shows that this model cannot have: why. */
const absent =
  (lack: string): Panel =>
  () =>
    h("div", { class: "about", role: "status" }, lack);

/** One stop of the Tab key; the arrows walk, and a press opens: what a tab shows may take a while to compute. */
function tabs(meta: LayersMeta, tab: { value: Tab }, body: HTMLElement, gone: AbortSignal): HTMLElement {
  const buttons = meta.tabs.map(([name, label, lack]) => {
    const more = lack === "" ? {} : { title: lack, "aria-disabled": true, "aria-description": lack };
    const tags = { type: "button", role: "tab", class: "tab", "data-label": label, "aria-controls": body.id };
    const button = h("button", { ...tags, ...more }, label);
    button.addEventListener("click", () => (tab.value = name), { signal: gone });
    watch(gone, () => {
      set(button, "aria-selected", tab.value === name);
      button.tabIndex = tab.value === name ? 0 : -1;
    });
    return button;
  });
  const node = h("div", { role: "tablist", "aria-label": "What is shown", class: "group tabs" }, ...buttons);
  const walk = (event: KeyboardEvent): void => {
    const [at, count] = [buttons.indexOf(event.target as HTMLButtonElement), buttons.length];
    const to = { ArrowLeft: at - 1 + count, ArrowRight: at + 1, Home: 0, End: count - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    buttons[to % count]?.focus();
  };
  node.addEventListener("keydown", walk, { signal: gone });
  return node;
}

/** Whose stream: of a model with two sides. */
function sides({ meta, selection, side }: Scene, gone: AbortSignal): HTMLElement {
  const names = Object.keys(meta.depth);
  const buttons = names.map((name) => {
    const button = h("button", { type: "button", class: "option" }, SIDES[name] ?? name);
    button.addEventListener("click", () => selection.toStage(name), { signal: gone });
    watch(gone, () => set(button, "aria-pressed", side.value === name));
    return button;
  });
  const node = h("div", { role: "group", "aria-label": "Side", class: "group" }, ...buttons);
  node.hidden = names.length < 2;
  return node;
}

function layers(scene: Scene, gone: AbortSignal): HTMLElement {
  const last = computed(() => scene.depth.value - 1);
  const said = (at: number): string => layerName(at);
  return slider("Layer", { at: scene.layer, last, said, choose: scene.toLayer }, gone);
}

function listenToKeys(root: HTMLElement, scene: Scene, gone: AbortSignal): void {
  root.addEventListener(
    "keydown",
    (event) => {
      const target = event.composedPath()[0] as Element;
      if (target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step !== undefined) scene.toLayer(scene.layer.peek() + step);
      else if (event.key !== "Escape" || !scene.selection.letGo()) return;
      event.preventDefault();
    },
    { signal: gone },
  );
}

export default { render };
