// Which source word each written token looked at most when it was chosen, by cross attention.

import { h, set, watch } from "../core/dom";
import { number } from "../core/words";
import type { Scene } from "../parts/picture";

export function alignment(scene: Scene, abort: AbortSignal): HTMLElement {
  const { selection, tiles } = scene;
  const cross = selection.meta.stages.find(({ name }) => name === "cross");
  const title = h("p", { class: "about" });
  const body = h("tbody");
  watch(abort, () => {
    tiles.version.value;
    const isHere = selection.stage.value === "cross";
    const layer = isHere ? selection.layer.value : (cross?.heads.length ?? 1) - 1;
    const all = Array.from({ length: cross?.heads[layer] ?? 0 }, (_, head) => head);
    const heads = isHere && selection.heads.value.length ? selection.heads.value : all;
    const key = { kind: "alignment", stage: "cross", layer, heads: [...heads] };
    const tile = tiles.fetch(key);
    title.textContent =
      tiles.failure(key) ??
      `Cross layer ${layer}, ${heads.length === 1 ? `head ${heads[0]}` : `mean of ${heads.length} heads`}: each written token and the source word looked at most when it was chosen`;
    if (!tile) return;
    const { written, words } = tile.info as { written: string[]; words: string[] };
    const pinned = selection.current.value.query === "decoder" ? selection.pinned.value.query : null;
    body.replaceChildren(
      ...written.slice(0, 400).map((name, row) => {
        const weights = tile.data.subarray(row * words.length, (row + 1) * words.length);
        const [best = 0, next = 0] = [...weights.keys()].sort(
          (a, b) => (weights[b] ?? 0) - (weights[a] ?? 0),
        );
        const meter = h("span", { class: "meter" });
        meter.style.width = `${Math.min(100, 100 * (weights[best] ?? 0))}%`;
        const line = h(
          "tr",
          { "data-row": row },
          h("td", { class: "what", dir: "auto" }, name),
          h("td", { class: "what", dir: "auto" }, words[best] ?? ""),
          h("td", { class: "number" }, number(weights[best] ?? 0)),
          h("td", { class: "meters" }, meter),
          h(
            "td",
            { class: "next", dir: "auto" },
            words.length > 1 ? `then ${words[next]} ${number(weights[next] ?? 0)}` : "",
          ),
        );
        set(line, "aria-selected", row === pinned ? true : undefined);
        return line;
      }),
    );
  });
  body.addEventListener(
    "click",
    (event) => {
      const row = (event.target as Element).closest<HTMLElement>("[data-row]");
      if (!row) return;
      if (selection.current.peek().query !== "decoder") selection.toStage("cross");
      selection.choose({ pinned: { query: Number(row.dataset["row"]), key: null } });
    },
    { signal: abort },
  );
  return h(
    "section",
    { class: "panel numbers", "aria-label": "Alignment" },
    title,
    h("div", { class: "direction" }, h("table", {}, body)),
  );
}
