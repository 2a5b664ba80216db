// Tokens of one position through the layers: their rank (by its logarithm) and their probability.

import { computed, type ReadonlySignal, signal } from "@preact/signals-core";
import { css, headColour } from "../core/colour";
import { h, set, watch } from "../core/dom";
import { thousands } from "../core/words";
import { press } from "../parts/controls";
import { chance, type Path } from "./lens-rows";
import { layerName, type Scene } from "./scene";

const SVG = "http://www.w3.org/2000/svg";
const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [132, 44, 8, 8, 20];

interface Chart {
  title: string;
  /** 0 at the bottom to 1 at the top. */
  y(path: Path, layer: number, token: number): number;
  ticks(most: number): [number, string][];
}

const rankAt = (rank: number, most: number): number => 1 - Math.log(rank) / Math.log(Math.max(2, most));

export function paths(
  scene: Scene,
  path: ReadonlySignal<Path | null>,
  vocabulary: ReadonlySignal<number>,
  { title, remove, close }: { title: ReadonlySignal<string>; remove(id: number): void; close(): void },
  abort: AbortSignal,
): HTMLElement {
  const pointed = signal<number | null>(null);
  const layers = computed(() => (path.value ? path.value.rank.length / path.value.tokens.length : 1));
  const layer = computed(() => Math.min(pointed.value ?? scene.layer.value, layers.value - 1));
  const colour = (at: number): string => css(headColour(at, scene.theme.value.dark));
  const legend = h("div", {
    class: "lens-followed",
    role: "group",
    "aria-label": "Tokens that are followed",
  });
  watch(abort, () => {
    const found = path.value;
    if (!found) return;
    const count = found.tokens.length;
    legend.replaceChildren(
      ...found.tokens.map((id, at) => {
        const index = layer.value * count + at;
        const rank = thousands(found.rank[index] ?? 1);
        const mark = h("span", { class: "mark", "aria-hidden": "true" }, String(at + 1));
        mark.style.setProperty("--colour", colour(at));
        const name = h("b", { dir: "auto" }, found.words[at] ?? "");
        const words = h("span", {}, `rank ${rank}, ${chance(found.probability[index] ?? 0)}`);
        const item = h("span", { class: "followed" }, mark, name, words);
        if (at === 0) item.append(h("span", { class: "caption" }, "the model’s answer"));
        else {
          const label = { class: "link", "aria-label": `Follow ${found.words[at] ?? ""} no more` };
          item.append(press("remove", () => remove(id), abort, label));
        }
        return item;
      }),
    );
  });
  const where = h("div", { class: "caption" });
  watch(abort, () => {
    where.textContent = `${layerName(layer.value)}:`;
  });
  const charts: Chart[] = [
    {
      title: "rank among all tokens (log scale, 1 on top)",
      y: (found, at, token) => rankAt(found.rank[at * found.tokens.length + token] ?? 1, vocabulary.value),
      ticks: (most) =>
        [1, 10, 100, 1000, 10_000, 100_000]
          .filter((rank) => rank < most)
          .map((rank) => [rankAt(rank, most), thousands(rank)]),
    },
    {
      title: "probability",
      y: (found, at, token) => found.probability[at * found.tokens.length + token] ?? 0,
      ticks: () => [0, 0.5, 1].map((share) => [share, `${100 * share} %`]),
    },
  ];
  const room = computed(() => {
    const wide = scene.width.value;
    return wide >= 640 ? Math.floor((wide - 24) / 2) : wide;
  });
  const drawn = charts.map(({ title: name, y, ticks }) => {
    const svg = document.createElementNS(SVG, "svg");
    set(svg, "role", "img");
    watch(abort, () => {
      const found = path.value;
      const [width, last] = [room.value, layers.value - 1];
      set(svg, "width", width);
      set(svg, "height", HEIGHT);
      if (!found) return;
      const x = (at: number): number => LEFT + (last > 0 ? at / last : 0.5) * (width - LEFT - RIGHT);
      const up = (share: number): number => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
      set(svg, "aria-label", `${name} of ${found.words.join(", ")} by layer, ${title.value}`);
      const parts: Element[] = [];
      for (const [share, words] of ticks(vocabulary.value)) {
        parts.push(
          part("line", { x1: LEFT, x2: width - RIGHT, y1: up(share), y2: up(share), class: "rule" }),
        );
        parts.push(part("text", { x: LEFT - 6, y: up(share) + 4, "text-anchor": "end" }, words));
      }
      const step = Math.max(1, Math.ceil((last + 1) / Math.max(1, Math.floor((width - LEFT) / 28))));
      for (let at = 0; at <= last; at += step) {
        const words = at === 0 ? "in" : String(at - 1);
        parts.push(part("text", { x: x(at), y: HEIGHT - 5, "text-anchor": "middle" }, words));
      }
      parts.push(
        part("line", { x1: x(layer.value), x2: x(layer.value), y1: TOP, y2: HEIGHT - BOTTOM, class: "at" }),
      );
      // The answer is drawn last, and so over the others.
      for (let token = found.tokens.length - 1; token >= 0; token--) {
        const points = Array.from({ length: last + 1 }, (_, at) => [x(at), up(y(found, at, token))] as const);
        const line = part("polyline", { points: points.map((p) => p.join(",")).join(" "), fill: "none" });
        line.style.stroke = colour(token);
        parts.push(line);
        points.forEach(([cx, cy], at) => {
          const dot = part("circle", { cx, cy, r: at === layer.value ? 4 : 2.5 });
          dot.style.fill = colour(token);
          parts.push(dot);
        });
      }
      svg.replaceChildren(...parts);
    });
    const layerAt = (event: MouseEvent): number => {
      const box = svg.getBoundingClientRect();
      const share = (event.clientX - box.left - LEFT) / Math.max(1, box.width - LEFT - RIGHT);
      return Math.max(0, Math.min(layers.peek() - 1, Math.round(share * (layers.peek() - 1))));
    };
    svg.addEventListener("pointermove", (event) => (pointed.value = layerAt(event)), { signal: abort });
    svg.addEventListener("pointerleave", () => (pointed.value = null), { signal: abort });
    svg.addEventListener("click", (event) => scene.toLayer(layerAt(event)), { signal: abort });
    return h(
      "figure",
      { class: "lens-chart" },
      h("figcaption", { class: "caption" }, `${name}, by layer`),
      svg,
    );
  });
  const head = h("b", {});
  watch(abort, () => {
    head.textContent = title.value;
  });
  const line = h("div", { class: "line" }, head, press("unpin", close, abort, { class: "link" }));
  const node = h(
    "section",
    { class: "block lens-path", "aria-label": "Through the layers" },
    line,
    h("div", { class: "line lens-values" }, where, legend),
    h("div", { class: "lens-charts" }, ...drawn),
  );
  watch(abort, () => {
    node.hidden = path.value === null;
  });
  return node;
}

function part<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number>,
  words = "",
): SVGElementTagNameMap[K] {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) set(node, name, value);
  if (words) node.textContent = words;
  return node;
}
