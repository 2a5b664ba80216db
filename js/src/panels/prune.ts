// Switch heads off beside the picture of their attention, and draw the attention that is left.
// Required: whose attention is drawn is to be seen with the panel closed, too.

import { computed, signal, untracked } from "@preact/signals-core";
import { h, watch } from "../core/dom";
import { synced } from "../core/synced";
import type { Tiles } from "../core/tiles";
import type { Meta, Model } from "../core/types";
import { choice } from "../parts/controls";
import type { Scene } from "../parts/picture";
import { progress } from "../parts/progress";
import { Answer } from "../pruning/answer";
import { listenToKeys, pruningControls } from "../pruning/controls";
import { type Grid, headLegend, headStatus, heads } from "../pruning/heads";
import { countInWords, inTraits, Mask, NOTHING, sizeOf } from "../pruning/mask";
import { result } from "../pruning/result";
import { markedIn, movedOf } from "../pruning/scene";
import { given, type SwitchingTraits } from "../pruning/types";
import { waiting } from "../pruning/waiting";

const WORDS = {
  zero: "What a head that is off gives is zero",
  mean: "What a head that is off gives is its mean over the tokens, the same for each",
};
const HINT = "click a head or drag over several to switch them, shift-click to look at one · hold b: intact";

export function prune(scene: Scene, abort: AbortSignal): HTMLElement {
  const { selection } = scene;
  const traits = scene.model as unknown as Model<SwitchingTraits>;
  const mask = new Mask(inTraits(traits as never), abort);
  const ablation = synced(traits, "ablation", abort);
  const raw = synced(traits, "outcome", abort);
  const outcome = computed(() => given(raw.value));
  const [busy, problem] = [synced(traits, "busy_pruning", abort), synced(traits, "pruning_problem", abort)];
  // Forward passes of what is on the screen are short: nobody counts them.
  const share = signal(null);
  const answer = new Answer({ mask, ablation, outcome, busy, share, problem }, traits as never, abort);
  const pruned = {
    mask,
    answer,
    ablation,
    outcome,
    busy,
    ramp: scene.ramp,
    labelOf: (name: string) => selection.meta.stages.find((stage) => stage.name === name)?.label ?? name,
    look: ([stage, layer, head]: [string, number, number]) =>
      selection.choose({ stage, layer, heads: [head] }),
  };
  const grid: Grid = {
    stages: selection.meta.stages,
    mask,
    width: scene.width,
    ramp: scene.ramp,
    scores: signal({}),
    called: signal(""),
    moved: movedOf(pruned),
    marked: markedIn(selection),
    pointed: signal(null),
    look: pruned.look,
  };
  const marks = computed(() => (grid.moved?.value.size ? "× off · • its attention moved" : "× off"));
  const whose = choice(
    "Draw the attention of",
    [
      ["intact", "intact"],
      ["pruned", "pruned"],
    ],
    synced(traits, "draws", abort),
    abort,
  );
  const field = h("div", { class: "field" }, h("span", { class: "caption" }, "draw the attention of"), whose);
  watch(abort, () => {
    field.hidden = sizeOf(mask.settled.value) === 0;
  });
  const node = h(
    "section",
    { class: "panel", "aria-label": "Switch off" },
    h("div", { class: "line" }, ...pruningControls(pruned, WORDS, abort), field),
    heads(grid, abort),
    headLegend(grid, signal(""), marks, abort),
    headStatus(grid, scene.root, HINT, abort),
    result(pruned, abort),
    waiting(answer, abort),
    progress(busy, share, problem, abort),
  );
  listenToKeys(node, mask, abort);
  return node;
}

/** Draw what the traits say, with or without the panel; the words for it, where it is not the model as it is. */
export function prunedDrawn(model: object, meta: Meta, tiles: Tiles, abort: AbortSignal): HTMLElement {
  const node = h("div", { class: "caption", role: "note" });
  node.hidden = true;
  if (!meta.can_prune) return node;
  const traits = model as Model<SwitchingTraits>;
  const [draws, outcome] = [synced(traits, "draws", abort), synced(traits, "outcome", abort)];
  const mask = new Mask(inTraits(traits as never), abort);
  watch(abort, () => {
    const found = given(outcome.value);
    const isPruned = draws.value === "pruned" && sizeOf(mask.settled.value) > 0;
    const version = isPruned ? (found?.version ?? 0) : 0;
    node.hidden = version === 0;
    node.textContent = `attention of the model with ${countInWords(found?.state ?? NOTHING)} off`;
    untracked(() => tiles.draw(version));
  });
  return node;
}
