// The pruning view: what the model loses when heads and feed-forward units are switched off.
// Twin: jtviz/views/pruning.py (the same traits).
// Required: a result is shown for what is off now, or said not to be; that Python is silent is said, too.

import type { RenderProps } from "@anywidget/types";
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals-core";
import baseStyles from "../core/base.css";
import { rampOf } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { openRoot, reachSelection } from "../core/frame";
import { Requests } from "../core/requests";
import { Selection } from "../core/selection";
import { synced } from "../core/synced";
import { watchTheme } from "../core/theme";
import type { Model } from "../core/types";
import { select } from "../parts/controls";
import { progress } from "../parts/progress";
import { Answer } from "../pruning/answer";
import { listenToKeys, pruningControls } from "../pruning/controls";
import figureStyles from "../pruning/figures.css";
import { type Grid, headLegend, headStatus, heads } from "../pruning/heads";
import gridStyles from "../pruning/heads.css";
import { inTraits, Mask } from "../pruning/mask";
import { explained, interaction } from "../pruning/more";
import { patterns } from "../pruning/patterns";
import { result } from "../pruning/result";
import resultStyles from "../pruning/result.css";
import { markedIn, movedOf, type Scene } from "../pruning/scene";
import { given, type Later, type PruningMeta, type PruningTraits } from "../pruning/types";
import { units } from "../pruning/units";
import { waiting } from "../pruning/waiting";
import styles from "./pruning.css";

const ABOUT =
  "Ablation measures the model as it is, without training again: a part whose absence changes nothing here " +
  "may be backed up by others.";
const HINT =
  "hover a head to read its numbers · click or drag switches, shift-click looks at it · hold b: intact";

async function render({ model, el, host, signal: gone }: RenderProps): Promise<void> {
  const traits = model as unknown as Model<PruningTraits>;
  const meta = traits.get("meta") as PruningMeta;
  const { choices, page } = await reachSelection(traits, host);
  if (gone.aborted) return;
  const selection = new Selection(meta, choices, page, gone);
  const { root, width } = openRoot(
    el,
    "jtviz pruning",
    baseStyles + figureStyles + gridStyles + resultStyles + styles,
    gone,
  );
  const theme = watchTheme(root, gone);
  const one = <K extends keyof PruningTraits>(name: K): Signal<PruningTraits[K]> =>
    synced(traits, name, gone);
  const mask = new Mask(inTraits(traits as never), gone);
  const ablation = one("ablation");
  const outcome = ready(one("outcome"));
  const [busy, share, problem] = [one("busy"), one("share"), one("problem")];
  const answer = new Answer({ mask, ablation, outcome, busy, share, problem }, traits as never, gone);
  const scene: Scene = {
    mask,
    answer,
    ablation,
    outcome,
    busy,
    ramp: computed(() => rampOf(theme.value.background, null, theme.value.dark)),
    labelOf: (name) => meta.stages.find((stage) => stage.name === name)?.label ?? name,
    look: ([stage, layer, head]) => selection.choose({ stage, layer, heads: [head] }),
  };
  const [colouring, colourings, scoresWords] = [one("colouring"), one("colourings"), one("scores_words")];
  const scores = one("scores");
  const grid: Grid = {
    stages: meta.stages,
    mask,
    width,
    ramp: scene.ramp,
    scores: computed(() => given(scores.value) ?? {}),
    called: computed(
      () => colourings.value.find(([name]) => name === colouring.value)?.[1].toLowerCase() ?? "score",
    ),
    moved: movedOf(scene),
    marked: markedIn(selection),
    pointed: signal(null),
    look: scene.look,
  };
  const marks = computed(() => {
    const moves = (grid.moved?.value.size ?? 0) > 0;
    return `× off${moves ? " · • its attention moved: the larger, the further" : ""}`;
  });

  const field = select(
    "Coloured by",
    () => colourings.value.map(([name, label]) => [name, label]),
    colouring,
    gone,
  );
  watch(gone, () => {
    const words = colourings.value.find(([name]) => name === colouring.value)?.[2] ?? "";
    set(field, "title", words);
  });
  const title = h("div", { class: "about" }, meta.title);
  title.hidden = meta.title === "";
  const requests = new Requests(traits as never);
  const [parts, explanation] = [ready(one("interaction")), ready(one("explained"))];
  watch(gone, () => {
    parts.value;
    explanation.value;
    answer.answered();
  });
  const ask = (op: "interact" | "explain"): void => {
    traits.send({ op });
    answer.ask();
  };
  root.append(
    h("div", { class: "controls" }, ...pruningControls(scene, meta.words, gone), field),
    title,
    h("div", { class: "wide" }, heads(grid, gone)),
    headLegend(grid, scoresWords, marks, gone),
    headStatus(grid, root, HINT, gone),
    units(scene, meta.units, requests, gone),
    result(scene, gone),
    waiting(answer, gone),
    progress(busy, share, problem, gone),
    patterns(scene, requests, gone),
    interaction(scene, parts, ask, gone),
    explained(scene, explanation, ask, gone),
    h("p", { class: "about foot" }, ABOUT),
  );
  listenToKeys(root, mask, gone);
}

/** A trait that is empty until it was computed. */
const ready = <T extends object>(trait: ReadonlySignal<Later<T>>): ReadonlySignal<T | null> =>
  computed(() => given<T>(trait.value));

export default { render };
