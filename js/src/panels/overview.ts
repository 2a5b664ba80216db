// Every head of a stage at once: small pictures, ordered and filtered by what the heads do.
// Required: the value and the threshold are always to be seen; a head below the threshold gets no label.

import { computed, type Signal, signal } from "@preact/signals-core";
import { h, onceAFrame, set, watch } from "../core/dom";
import { isThrough } from "../core/settings";
import type { Member } from "../core/shown";
import type { Tile } from "../core/tiles";
import { number, thousands } from "../core/words";
import { select } from "../parts/controls";
import type { Scene } from "../parts/picture";
import { type Cell, GAP, LABEL, type Layout, Sheet, VALUE } from "../parts/sheet";

/** Side of a thumbnail in pixels; see TileServer in jtviz/views/tiles.py. */
const PIXELS = 32;
/** Side of a picture where heads stand in order of their value, and at most elsewhere. */
const LARGE = 44;

const FINDS: Record<string, string> = {
  entropy: "spread their attention (entropy)",
  distance: "look far away (distance)",
  first_token: "look at the first token",
  diagonal: "look at their own token",
  previous_token: "look at the previous token",
  duplicate_token: "look at earlier copies",
  induction: "copy (induction)",
  same_word: "stay within the word",
  gradient: "matter to the target",
};

export function overview(scene: Scene, abort: AbortSignal): HTMLElement {
  const { selection, tiles, settings } = scene;
  const canvas = h("canvas", { role: "img", tabindex: 0, "aria-label": "All heads" });
  const line = h("div", { class: "caption", "aria-live": "polite", "aria-label": "Head" });
  const about = h("span", { class: "about" });
  const measure = signal("");
  const order = signal<"place" | "value">("place");
  const least = h("input", { type: "number", step: "any", min: 0, "aria-label": "At least" });
  const threshold = signal<number | null>(null);
  const cursor: Signal<number> = signal(-1);
  const weighting = computed(() => (isThrough(settings.weighting.value) ? "raw" : settings.weighting.value));

  const measures = computed(() => {
    tiles.version.value;
    return measure.value ? tiles.get({ kind: "measures", stage: selection.stage.value }) : undefined;
  });
  const names = (): string[] => (measures.value?.info["names"] as string[] | undefined) ?? Object.keys(FINDS);
  const measured = ({ layer, head }: Member): number => {
    const [, , heads = 0] = measures.value?.shape ?? [];
    const at = names().indexOf(measure.value);
    const all = measures.value?.shape[1] ?? 0;
    return measures.value && at >= 0
      ? (measures.value.data[(at * all + layer) * heads + head] ?? Number.NaN)
      : Number.NaN;
  };
  const passes = (value: number): boolean =>
    !measure.value || threshold.value === null || value >= threshold.value;
  watch(abort, () => {
    const info = measures.value?.info;
    const given = (info?.["least"] as Record<string, number> | undefined)?.[measure.value];
    threshold.value = given ?? null;
    least.value = given === undefined ? "" : String(given);
    about.textContent = (info?.["about"] as Record<string, string> | undefined)?.[measure.value] ?? "";
  });
  least.addEventListener(
    "input",
    () => {
      threshold.value = least.value === "" ? null : Number(least.value);
    },
    { signal: abort },
  );

  const layout = computed((): Layout => {
    const { heads } = selection.current.value;
    const all = heads.flatMap((count, layer) =>
      Array.from({ length: count }, (_, head) => ({ layer, head })),
    );
    return order.value === "value" && measure.value ? sorted(all) : byPlace(heads);
  });
  const groupOf = (layer: number): number => selection.current.value.groups[layer] ?? 1;
  const cellOf = (member: Member, x: number, y: number): Cell => {
    const value = measured(member);
    return { ...member, x, y, value, isFound: passes(value) };
  };
  function byPlace(heads: readonly number[]): Layout {
    const most = Math.max(...heads);
    const gaps = Math.floor((most - 1) / groupOf(0)) * (groupOf(0) > 1 ? GAP : 0);
    const room = scene.width.value - LABEL - gaps;
    const size = Math.max(6, Math.min(LARGE, Math.floor(room / most) - GAP));
    const top = LABEL + (groupOf(0) > 1 ? 8 : 0);
    const cells = heads.flatMap((count, layer) =>
      Array.from({ length: count }, (_, head) =>
        cellOf(
          { layer, head },
          LABEL + head * (size + GAP) + (groupOf(layer) > 1 ? Math.floor(head / groupOf(layer)) * GAP : 0),
          top + layer * (size + GAP),
        ),
      ),
    );
    return { cells, size, height: top + heads.length * (size + GAP), isSorted: false, group: groupOf(0) };
  }
  function sorted(all: readonly Member[]): Layout {
    const found = all
      .map((member) => cellOf(member, 0, 0))
      .filter(({ value, isFound }) => !Number.isNaN(value) && isFound)
      .sort((a, b) => b.value - a.value);
    const [across, down] = [LARGE + 12, LARGE + 2 * VALUE + 6];
    const columns = Math.max(1, Math.floor(scene.width.value / across));
    for (const [i, cell] of found.entries()) {
      cell.x = (i % columns) * across;
      cell.y = Math.floor(i / columns) * down;
    }
    const height = Math.ceil(found.length / columns) * down;
    return { cells: found, size: LARGE, height, isSorted: true, group: groupOf(0) };
  }

  const thumbnail = (layer: number): Tile | undefined => {
    const place = { stage: selection.stage.peek(), layer, weighting: weighting.peek() };
    return tiles.get({ kind: "thumbnails", ...place, size: PIXELS });
  };
  const isShown = ({ layer, head }: Member): boolean =>
    layer === selection.layer.value
      ? selection.heads.value.includes(head)
      : settings.also.value.some(([l, h_]) => l === layer && h_ === head);

  const sheet = new Sheet(scene, thumbnail);
  const draw = (): void => {
    if (abort.aborted) return;
    const isLeft = sheet.draw(canvas, layout.peek(), (cell, i) => i === cursor.peek() || isShown(cell));
    if (isLeft) again();
  };
  const again = onceAFrame(draw);
  watch(abort, () => {
    scene.theme.value;
    scene.ramp.value;
    layout.value;
    tiles.version.value;
    weighting.value;
    cursor.value;
    isShown({ layer: -1, head: 0 });
    selection.heads.value;
    again();
  });
  watch(abort, () => {
    const { cells } = layout.value;
    const cell = cells[cursor.value];
    const found = cells.filter(({ isFound }) => isFound).length;
    const all = selection.current.value.heads.reduce((sum, count) => sum + count, 0);
    const seen = [
      measures.value,
      tiles.peek({
        kind: "thumbnails",
        stage: selection.stage.value,
        layer: selection.layer.value,
        weighting: weighting.value,
        size: PIXELS,
      }),
    ]
      .map((tile) => tile?.info["sampled"] as number | undefined)
      .find(Boolean);
    const group = cell ? groupOf(cell.layer) : 1;
    const shared =
      group > 1 && cell ? ` · key head ${Math.floor(cell.head / group)}, shared by ${group}` : "";
    line.textContent = cell
      ? `layer ${cell.layer} head ${cell.head}${shared}${Number.isNaN(cell.value) ? "" : ` · ${measure.value} ${number(cell.value)}`}`
      : measure.value
        ? `${found} of ${all} heads${threshold.value === null ? "" : ` reach ${threshold.value}`}`
        : `${all} heads · click one to open it, shift-click to add it${seen ? ` · from ${thousands(seen)} queries` : ""}`;
  });

  const at = (event: MouseEvent): number => {
    const box = canvas.getBoundingClientRect();
    const { cells, size } = layout.peek();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return cells.findIndex((c) => x >= c.x - 1 && x < c.x + size + 2 && y >= c.y - 1 && y < c.y + size + 2);
  };
  const open = (index: number, isMore: boolean): void => {
    const cell = layout.peek().cells[index];
    if (!cell) return;
    const { layer, head } = cell;
    if (!isMore) {
      settings.also.value = [];
      selection.choose({ layer, heads: [head] });
    } else if (layer === selection.layer.peek()) selection.toggleHead(head);
    else {
      const rest = settings.also.peek().filter(([l, h_]) => l !== layer || h_ !== head);
      settings.also.value = rest.length < settings.also.peek().length ? rest : [...rest, [layer, head]];
    }
  };
  const options = { signal: abort };
  canvas.addEventListener(
    "pointermove",
    (event) => {
      cursor.value = at(event);
    },
    options,
  );
  canvas.addEventListener(
    "pointerleave",
    () => {
      cursor.value = -1;
    },
    options,
  );
  canvas.addEventListener("click", (event) => open(at(event), event.shiftKey), options);
  canvas.addEventListener(
    "keydown",
    (event) => {
      const { cells } = layout.peek();
      const wide = cells.filter(({ y }) => y === cells[0]?.y).length;
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[event.key];
      if (step !== undefined) cursor.value = Math.max(0, Math.min(cells.length - 1, cursor.peek() + step));
      else if (event.key === "Enter" || event.key === " ") open(cursor.peek(), event.shiftKey);
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
    options,
  );
  const order_ = select(
    "order",
    () => [
      ["place", "layers × heads"],
      ["value", "by value"],
    ],
    order,
    abort,
  );
  const leastField = h("label", { class: "field" }, h("span", { class: "caption" }, "at least"), least);
  watch(abort, () => {
    leastField.hidden = order_.hidden = !measure.value;
    set(canvas, "aria-label", `All heads of the ${selection.stage.value}`);
  });
  const finder = select(
    "Find heads that",
    () => [
      ["", "…"],
      ...Object.entries(FINDS).filter(([name]) => name !== "gradient" || hasGradients(scene)),
    ],
    measure,
    abort,
  );
  return h(
    "section",
    { class: "panel", "aria-label": "Overview" },
    h("div", { class: "line" }, finder, leastField, order_, about),
    h("div", { class: "wide" }, canvas),
    line,
  );
}

const hasGradients = (scene: Scene): boolean =>
  scene.selection.meta.weightings.some(([name, , lack]) => name === "gradient" && !lack);
