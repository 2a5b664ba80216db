// The panel of features: a layer of the residual stream, tokens down and dimensions across, and what stands out
// of it. Twin: jtviz/views/layer_panels/features.py.
// Required: a number is the stream's own; what is flagged has its value and the threshold beside it.

import { batch, computed, signal } from "@preact/signals-core";
import { h, watch } from "../core/dom";
import { synced } from "../core/synced";
import { hoverToken, pinToken, tokenOn } from "../core/token";
import { number, thousands } from "../core/words";
import { press, select, tick } from "../parts/controls";
import type { Block } from "./cells";
import { type Heatmap, heatmap } from "./heatmap";
import { type Answer, told } from "./questions";
import { layerName, marksOf, type Panel, type Scene, tokensOf } from "./scene";
import type { FeaturesTraits } from "./types";

/** Flags of a kind that are listed. */
const LISTED = 10;

interface FeaturesReply extends Block {
  /** The magnitude that the full colour stands for. */
  limit: number;
  /** Token, dimension, value, and how many times the median it is; the largest first. */
  massive: [number, number, number, number | null][];
  /** Dimension, value, and at how many tokens it stands out. */
  outliers: [number, number, number][];
  /** How many of both there are. */
  counts: [number, number];
  /** Massive from, times the median; outlier from, standard deviations. */
  thresholds: [number, number, number, number];
  /** Why dimensions cannot be clustered; empty where they can. */
  lack: string;
}

export const features: Panel = (scene, abort) => {
  const { selection, side, layer } = scene;
  const order = synced(scene.traits, "order", abort);
  const isShared = signal(false);
  const [hovered, pinned] = [signal<number | null>(null), signal<number | null>(null)];
  const text = computed(() => tokensOf(scene, side.value));
  const scale = scene.questions.about<{ limit: number }>(
    () => (isShared.value ? { op: "features_scale", side: side.value } : null),
    abort,
  );
  // Those of the heat map, once it is made.
  const answer = signal<Answer<FeaturesReply> | null>(null);
  const isCurrent = signal(false);
  const reply = computed(() => answer.value?.reply ?? null);
  /** Of each column its dimension, and the other way round. */
  const dimensions = computed(() => {
    const data = answer.value?.buffers[1];
    if (!data) return new Int32Array(0);
    return new Int32Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
  });
  const columns = computed(() => {
    const out = new Int32Array(dimensions.value.length);
    dimensions.value.forEach((dimension, column) => {
      out[dimension] = column;
    });
    return out;
  });
  const width = (): number => scene.meta.width[side.value] ?? 0;
  const place = (column: number): string => String(dimensions.value[column] ?? column);
  const named = (token: number): string => `${token} ${text.value[token] ?? ""}`;
  const at = (which: "hovered" | "pinned") => (): number | null =>
    tokenOn(selection, selection[which].value, side.value, "query");
  const map: Heatmap<FeaturesReply> = heatmap<FeaturesReply>(
    {
      name: () => `Residual stream ${layerName(layer.value)}, ${side.value}: tokens down, dimensions across`,
      kinds: ["token", "dimension"],
      rows: {
        count: () => text.value.length,
        label: (token) => text.value[token] ?? "",
        hovered: at("hovered"),
        pinned: at("pinned"),
        isText: true,
        marked: marksOf(scene),
      },
      columns: {
        count: width,
        label: place,
        hovered: () => hovered.value,
        pinned: () => pinned.value,
      },
      question: (part) => ({
        op: "features",
        side: side.value,
        layer: layer.value,
        order: order.value,
        ...part,
      }),
      limit: () =>
        isShared.value ? (scale.answer.value?.reply.limit ?? null) : (reply.value?.limit ?? null),
      legend: () =>
        `down tokens, across dimensions of the residual stream ${layerName(layer.value)}; ` +
        `full colour: the largest 0.5\u00a0% of ${isShared.value ? "all layers’" : "this layer’s"} numbers`,
      marks: () => ({
        columns: isCurrent.value ? (reply.value?.outliers ?? []).map(([d]) => columns.value[d] ?? -1) : [],
        cells: isCurrent.value
          ? (reply.value?.massive ?? []).map(([token, d]) => [token, columns.value[d] ?? -1] as const)
          : [],
      }),
      hint: "hover to read, click to pin a token; Control and wheel, or a double click, zooms",
      say: ({ row, column, value, among }) => {
        const words = [`token ${named(row)}`];
        if (column === null) return `${words[0]} · ${layerName(layer.value)}`;
        words.push(`dimension ${place(column)}`, value === null ? "…" : number(value));
        return words.join(" · ") + (among ? ` (${among})` : "");
      },
      hover: (row, column) => {
        hovered.value = column;
        hoverToken(selection, row === null ? null : { side: side.peek(), index: row }, "query");
      },
      click: (row, column) => {
        const isPinned = at("pinned")() === row;
        // Another dimension of the pinned token moves the pin.
        const isOther = isPinned && column !== pinned.peek();
        pinned.value = isPinned && !isOther ? null : column;
        if (!isOther) pinToken(selection, { side: side.peek(), index: row }, "query");
      },
    },
    scene,
    abort,
  );
  watch(abort, () => {
    batch(() => {
      answer.value = map.asked.answer.value;
      isCurrent.value = map.isCurrent.value;
    });
  });
  watch(abort, () => {
    if (selection.pinned.value.query === null && selection.pinned.value.key === null) pinned.value = null;
  });
  const added = scene.questions.about<object>(
    // One more run of the text: when there is something to look at.
    () => (reply.value && isCurrent.value ? { op: "contributions", side: side.value } : null),
    abort,
  );
  const orders = (): [FeaturesTraits["order"], string, string?][] => [
    ["variance", "by variance over all layers"],
    ["clusters", "clustered in this layer", reply.value?.lack ?? ""],
    ["model", "as in the model"],
  ];
  return h(
    "div",
    { class: "panel-features" },
    h(
      "div",
      { class: "controls" },
      select("Dimensions", orders, order, abort),
      tick("same scale in all layers", isShared, abort),
    ),
    map.node,
    flags(
      scene,
      map,
      {
        reply: () => (isCurrent.value ? reply.value : null),
        columns: () => columns.value,
        named,
        pin: (d) => {
          pinned.value = d;
        },
      },
      abort,
    ),
    told(added, "measuring what attention and feed-forward layers add", abort),
  );
};

interface Flagged {
  reply(): FeaturesReply | null;
  /** The column of each dimension. */
  columns(): Int32Array;
  named(token: number): string;
  pin(column: number): void;
}

/** What stands out, with its value; one that is clicked is brought into the middle. */
function flags(scene: Scene, map: Heatmap<FeaturesReply>, flagged: Flagged, abort: AbortSignal): HTMLElement {
  const [outliers, massive] = [h("div", { class: "line flags" }), h("div", { class: "line flags" })];
  let life = new AbortController();
  abort.addEventListener("abort", () => life.abort(), { once: true });
  watch(abort, () => {
    const found = flagged.reply();
    if (!found) return;
    const columns = flagged.columns();
    const [total, most] = found.counts;
    const [from, times, least, deviations] = found.thresholds;
    life.abort();
    life = new AbortController();
    const show = (token: number | null, dimension: number) => (): void => {
      const column = columns[dimension] ?? 0;
      map.centre(token, column);
      flagged.pin(column);
      const pins = scene.selection.pinned.peek();
      const { side, selection } = scene;
      if (token !== null && tokenOn(selection, pins, side.peek(), "query") !== token) {
        pinToken(selection, { side: side.peek(), index: token }, "query");
      }
    };
    const button = (words: string, act: () => void): HTMLElement =>
      press(words, act, life.signal, { class: "link", title: "Show it in the heat map" });
    const fill = (
      line: HTMLElement,
      name: string,
      rule: string,
      count: number,
      items: HTMLElement[],
    ): void => {
      const rest =
        count > items.length
          ? [h("span", { class: "caption" }, `and ${thousands(count - items.length)} more`)]
          : [];
      const none = count === 0 ? [h("span", { class: "caption" }, "none in this layer")] : [];
      line.replaceChildren(
        h("span", { class: "name" }, name),
        ...none,
        ...items,
        ...rest,
        h("span", { class: "caption rule" }, rule),
      );
    };
    fill(
      outliers,
      "▾ Outlier dimensions",
      `at least ${least} in magnitude, and ${deviations} standard deviations of the layer`,
      most,
      found.outliers.slice(0, LISTED).map(([dimension, value, tokens]) => {
        const many = `${thousands(tokens)} token${tokens === 1 ? "" : "s"}`;
        return button(`${dimension}: ${number(value)} (${many})`, show(null, dimension));
      }),
    );
    fill(
      massive,
      "○ Massive activations",
      `at least ${from} in magnitude, and ${thousands(times)} times the layer’s median`,
      total,
      found.massive
        .slice(0, LISTED)
        .map(([token, dimension, value]) =>
          button(
            `${number(value)} at token ${flagged.named(token)}, dimension ${dimension}`,
            show(token, dimension),
          ),
        ),
    );
  });
  const node = h(
    "div",
    { class: "flagged", role: "group", "aria-label": "What stands out" },
    outliers,
    massive,
  );
  watch(abort, () => node.classList.toggle("idle", !map.isCurrent.value));
  return node;
}
