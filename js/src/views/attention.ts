// The attention view. Twin: jtviz/views/attention.py (the same traits).
// Required: everything is reachable by mouse and by keyboard; nothing is drawn outside the shadow root.

import type { RenderProps } from "@anywidget/types";
import { signal, untracked } from "@preact/signals-core";
import baseStyles from "../core/base.css";
import { h, set, watch } from "../core/dom";
import { openRoot, reachSelection } from "../core/frame";
import { Selection } from "../core/selection";
import { settingsOf } from "../core/settings";
import { prefetch } from "../core/shown";
import { watchTheme } from "../core/theme";
import { Tiles } from "../core/tiles";
import type { AttentionTraits, Meta, Mode, Model } from "../core/types";
import { alignment } from "../panels/alignment";
import { generated } from "../panels/generated";
import { keep } from "../panels/keep";
import { overview } from "../panels/overview";
import { products } from "../panels/products";
import { prune, prunedDrawn } from "../panels/prune";
import { search } from "../panels/search";
import { table } from "../panels/table";
import { weightsPanel } from "../panels/weights";
import { checkBadge } from "../parts/badge";
import { choice, layerSlider, MODES, panelTabs, stageTabs } from "../parts/controls";
import { headSelector } from "../parts/heads";
import { legend, problem, statusLine } from "../parts/legend";
import { links } from "../parts/links";
import { matrix } from "../parts/matrix";
import { makeScene, type Picture, type Scene } from "../parts/picture";
import { text } from "../parts/text";
import { listenToTokens } from "../parts/tokens";
import gridStyles from "../pruning/heads.css";
import resultStyles from "../pruning/result.css";
import styles from "./attention.css";

/** With the table open, the picture gets the rest from this width on. */
const BESIDE = 720;
const TABLE = 280;
const PICTURES: Record<Mode, Picture> = { links, matrix, text };

async function render({ model, el, host, signal: gone }: RenderProps): Promise<void> {
  const traits = model as unknown as Model<AttentionTraits>;
  const meta = traits.get("meta") as Meta;
  const { choices, page } = await reachSelection(traits, host);
  if (gone.aborted) return;
  const selection = new Selection(meta, choices, page, gone);
  const settings = settingsOf(traits, gone);
  const tiles = new Tiles(meta, traits, page, gone);
  // First of all effects, so that only wishes of the place just left are dropped.
  watch(gone, () => {
    selection.stage.value;
    selection.layer.value;
    settings.weighting.value;
    untracked(() => tiles.forget());
  });

  const { root, width: inner } = openRoot(
    el,
    "jtviz attention",
    baseStyles + (HAS_KERNEL ? gridStyles + resultStyles : "") + styles,
    gone,
  );
  const width = signal(0);
  const isBeside = (): boolean => settings.panels.value.includes("table") && inner.value >= BESIDE;
  watch(gone, () => {
    width.value = inner.value - (isBeside() ? TABLE : 0);
  });

  const base = {
    model: traits,
    root,
    selection,
    settings,
    tiles,
    theme: watchTheme(root, gone),
    legend: signal({ words: "", max: null }),
    target: signal({ query: null, key: null }),
    found: signal(null),
  };
  const scene = makeScene({ ...base, width });
  const around: Scene = { ...scene, width: inner };
  const naming = h(
    "div",
    { class: "naming" },
    h("span", { class: "caption", "aria-hidden": "true" }, "Rows named by token"),
    choice(
      "Rows named by token",
      [
        ["read", "read"],
        ["predicted", "predicted"],
      ],
      settings.row_labels,
      gone,
    ),
  );
  watch(gone, () => {
    naming.hidden = selection.current.value.query !== "decoder" || meta.predicts === null;
  });
  const body = h("div", { class: "body", role: "tabpanel" });
  const check = checkBadge(selection, gone);
  const below = legend(scene, gone);
  below.append(check.sums, check.badge);
  const drawn = HAS_KERNEL ? prunedDrawn(traits, meta, tiles, gone) : "";
  watch(gone, () => {
    // What was checked is the model as it is.
    check.badge.hidden = tiles.drawn.value !== 0;
  });
  const panels = panelsOf(meta);
  const beside = h("div", { class: "beside" }, body);
  root.append(
    h(
      "div",
      { class: "controls" },
      stageTabs(selection, gone),
      layerSlider(selection, gone),
      choice("Drawn as", MODES, settings.mode, gone),
    ),
    h("div", { class: "controls" }, headSelector(scene, gone), naming),
    h(
      "div",
      { class: "controls" },
      panelTabs(
        panels.map(([name, label]) => [name, label]),
        settings.panels,
        gone,
      ),
      search(scene, gone),
    ),
    ...panels.filter(([, , , where]) => where === "above").map((panel) => whenOpen(around, panel, gone)),
    drawn,
    beside,
    problem(scene, gone),
    below,
    statusLine(scene, gone),
    check.more,
    ...panels.filter(([, , , where]) => where === "below").map((panel) => whenOpen(around, panel, gone)),
  );
  beside.append(
    ...panels.filter(([, , , where]) => where === "beside").map((panel) => whenOpen(around, panel, gone)),
  );
  watch(gone, () => beside.classList.toggle("two", isBeside()));
  watch(gone, () => set(body, "aria-busy", tiles.waiting.value));
  watch(gone, () => set(body, "aria-label", `${selection.current.value.label} attention`));
  showPicture(scene, body, gone);
  listenToTokens(root, scene, gone);
  listenToKeys(root, selection, gone);
  followPins(scene, gone);
  watch(gone, () => {
    const shown = scene.shown.value;
    if (!tiles.waiting.value) prefetch(tiles, shown);
  });
}

type Panel = [
  string,
  string,
  (scene: Scene, abort: AbortSignal) => HTMLElement,
  "above" | "beside" | "below",
];

/** The panels that this trace has something for. */
function panelsOf(meta: Meta): Panel[] {
  const panels: Panel[] = [
    ["overview", "All heads", overview, "above"],
    ["weights", "What is shown", weightsPanel, "above"],
    ["table", "Numbers", table, "beside"],
    ["products", "Query × key", products, "below"],
  ];
  if (HAS_KERNEL && meta.can_prune) panels.push(["prune", "Switch off", prune, "above"]);
  if (meta.sides["decoder"]?.generated?.length) panels.push(["generated", "Generated", generated, "above"]);
  if (meta.stages.some(({ name }) => name === "cross") && meta.predicts) {
    panels.push(["alignment", "Alignment", alignment, "below"]);
  }
  panels.push(["keep", "Keep", keep, "below"]);
  return panels;
}

/** A panel lives only while it is open. */
function whenOpen(scene: Scene, [name, , make]: Panel, gone: AbortSignal): HTMLElement {
  const place = h("div", { class: `place ${name}` });
  let life = new AbortController();
  let isOpen = false;
  gone.addEventListener("abort", () => life.abort(), { once: true });
  watch(gone, () => {
    const wanted = scene.settings.panels.value.includes(name);
    if (wanted === isOpen) return;
    isOpen = wanted;
    life.abort();
    life = new AbortController();
    untracked(() => place.replaceChildren(...(wanted ? [make(scene, life.signal)] : [])));
  });
  return place;
}

function showPicture(scene: Scene, body: HTMLElement, gone: AbortSignal): void {
  let life = new AbortController();
  gone.addEventListener("abort", () => life.abort(), { once: true });
  watch(gone, () => {
    const picture = PICTURES[scene.settings.mode.value];
    life.abort();
    life = new AbortController();
    untracked(() => body.replaceChildren(picture(scene, life.signal)));
  });
}

/** A token pinned elsewhere, out of sight here, is brought into sight. */
function followPins(scene: Scene, gone: AbortSignal): void {
  let before = JSON.stringify(scene.selection.pinned.peek());
  watch(gone, () => {
    const pinned = scene.selection.pinned.value;
    if (JSON.stringify(pinned) === before) return;
    before = JSON.stringify(pinned);
    if (!scene.root.matches(":hover, :focus-within")) scene.target.value = pinned;
  });
}

/** Left and right walk the layers, up and down the heads, Escape unpins and unmarks. */
function listenToKeys(root: HTMLElement, selection: Selection, abort: AbortSignal): void {
  // What returns false did nothing, and leaves the key to the notebook.
  const actions: Record<string, () => unknown> = {
    ArrowLeft: () => selection.toLayer(selection.layer.peek() - 1),
    ArrowRight: () => selection.toLayer(selection.layer.peek() + 1),
    ArrowUp: () => selection.walkHeads(-1),
    ArrowDown: () => selection.walkHeads(1),
    Escape: () => selection.letGo(),
  };
  root.addEventListener(
    "keydown",
    (event) => {
      const field = event.target as HTMLElement;
      // JupyterLab takes Enter from a field before it says that it changed: leaving it does.
      if (event.key === "Enter" && field.matches("input")) {
        field.blur();
        field.focus();
      }
      const action = actions[event.key];
      if (!action || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      // A field keeps the keys that it knows.
      if (field.matches("input, select, textarea")) return;
      if (action() === false) return;
      // Else the notebook would take the arrows to walk its cells.
      event.preventDefault();
      event.stopPropagation();
    },
    { signal: abort },
  );
}

export default { render };
