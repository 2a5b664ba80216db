// The panel of trajectories: how the chart below it is laid out (jtviz/views/paths.py), what it tells, and
// the text, to find its tokens there. Twin: jtviz/views/layer_panels/trajectories.py.

import { signal } from "@preact/signals-core";
import { h, set, watch } from "../core/dom";
import { synced } from "../core/synced";
import { percent, thousands } from "../core/words";
import { choice, press, select } from "../parts/controls";
import { told } from "./questions";
import type { Panel, Scene } from "./scene";
import { strip } from "./strip";
import type { TrajectoriesTraits } from "./types";

interface Reply {
  /** Shares of the variance; null where there are none. */
  explained: number[] | null;
  /** What one thing an axis is taken by; empty where it is not. */
  notes: string[];
  /** Tokens that the plane was fitted to. */
  fitted: number;
  /** Why there is no UMAP, if there is none. */
  lack: string;
}

const PLANES = ["1 × 2", "1 × 3", "2 × 3"] as const;

export const trajectories: Panel = (scene, abort) => {
  const projection = synced(scene.traits, "projection", abort);
  const plane = synced(scene.traits, "plane", abort);
  const marking = synced(scene.traits, "marking", abort);
  const asked = scene.questions.about<Reply>(
    () => ({ op: "trajectories", side: scene.side.value, method: projection.value }),
    abort,
  );
  const lack = signal("");
  watch(abort, () => {
    const { reply } = asked.answer.value ?? {};
    if (reply) lack.value = reply.lack;
  });
  const planes = choice(
    "Principal components drawn",
    PLANES.map((name) => [name, `PC ${name}`] as const),
    plane,
    abort,
  );
  watch(abort, () => {
    planes.hidden = projection.value !== "pca" || (asked.answer.value?.reply.explained?.length ?? 3) < 3;
  });
  const mouse = signal<"marks" | "reads">(marking.peek() ? "marks" : "reads");
  watch(abort, () => {
    mouse.value = marking.value ? "marks" : "reads";
  });
  watch(abort, () => {
    marking.value = mouse.value === "marks";
  });
  const words = h("div", { class: "caption told" });
  watch(abort, () => {
    const { answer, isWaiting } = asked;
    const now = answer.value;
    words.textContent =
      now && !isWaiting.value
        ? inWords(now.reply, plane.value, now.question["method"] === "umap", scene)
        : "";
  });
  return h(
    "div",
    { class: "panel-trajectories" },
    h(
      "div",
      { class: "controls" },
      select<TrajectoriesTraits["projection"]>(
        "Laid out by",
        () => [
          ["pca", "PCA"],
          ["umap", "UMAP", lack.value && "needs umap-learn"],
        ],
        projection,
        abort,
      ),
      planes,
      choice(
        "Axes have room for",
        [
          ["paths", "All layers"],
          ["layer", "This layer"],
        ],
        synced(scene.traits, "extent", abort),
        abort,
      ),
      choice(
        "The mouse in the chart",
        [
          ["marks", "Drag marks"],
          ["reads", "Click pins"],
        ],
        mouse,
        abort,
      ),
    ),
    words,
    told(asked, "laying the paths out …", abort),
    strip(scene, () => ({}), abort),
    marks(scene, () => marking.value, abort),
  );
};

/** What the picture shows of what there is, and what its axes are taken by. */
function inWords({ explained, notes, fitted }: Reply, plane: string, isUmap: boolean, scene: Scene): string {
  const count = scene.meta.sides[scene.side.value]?.text.length ?? 0;
  if (isUmap || !explained) {
    const few = fitted < count ? `; fitted to ${thousands(fitted)} of ${thousands(count)} tokens` : "";
    return `UMAP keeps neighbours together; distances and axes mean nothing${few}.`;
  }
  const axes = plane.split(" × ").map((name) => Math.min(explained.length, Number(name)) - 1);
  const shown = axes.reduce((sum, axis) => sum + (explained[axis] ?? 0), 0);
  const said = axes.flatMap((axis) => (notes[axis] ? [`PC ${axis + 1} ${notes[axis]}`] : []));
  return `This plane shows ${percent(shown)} of the variance of all layers and tokens${
    said.length > 0 ? `; ${said.join("; ")}` : ""
  }.`;
}

/** How many tokens are marked, how others are, and a button that unmarks them. */
function marks({ selection, side }: Scene, isMarking: () => boolean, abort: AbortSignal): HTMLElement {
  const words = h("span", { class: "caption", role: "status" });
  const button = press("clear marks", () => selection.mark(side.peek(), []), abort, { class: "link" });
  watch(abort, () => {
    const count = selection.marked.value[side.value]?.length ?? 0;
    const marked = count === 1 ? "1 token is" : `${count === 0 ? "no" : thousands(count)} tokens are`;
    const how = isMarking()
      ? "drag in the chart: tokens inside are marked here and in every view of this text"
      : "point at a token in the chart to read it, click to pin it";
    words.textContent = `${marked} marked · ${how}`;
    set(button, "aria-disabled", count === 0 ? true : undefined);
  });
  return h("div", {}, words, " ", button);
}
