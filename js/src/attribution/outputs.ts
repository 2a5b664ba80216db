// What is explained, where that is several things: the tokens of an answer, the two ends of a span.
// Hovering one shows what it rests on; a click stays there, and shows attention views the row it is from; a
// shift-click takes all from there to here together.

import { h, set, watch } from "../core/dom";
import { percent } from "../core/words";
import { choosePart, type Scene } from "./scene";

export function outputs(scene: Scene, abort: AbortSignal): HTMLElement {
  const flow = h("div", { class: "flow", role: "group", "aria-label": "Explained" });
  let buttons: HTMLButtonElement[] = [];
  watch(abort, () => {
    buttons = scene.parts.value.map(({ name, probability }, index) =>
      h(
        "button",
        {
          type: "button",
          class: "token written",
          "data-part": index,
          dir: "auto",
          title: probability === null ? name : `${name}: probability ${percent(probability)}`,
        },
        h("span", {}, name),
        h("small", {}, probability === null ? "" : percent(probability)),
      ),
    );
    flow.replaceChildren(...buttons);
  });
  watch(abort, () => {
    const one = scene.pointed.value ?? scene.part.value;
    const [from, to] = (scene.pointed.value === null && scene.span.value) || [one, one + 1];
    buttons.forEach((button, i) => {
      const isShown = i >= from && i < to;
      set(button, "data-state", isShown ? "pinned" : "idle");
      set(button, "aria-pressed", isShown);
    });
  });
  // A row pinned in an attention view is the part that it predicts.
  watch(abort, () => {
    const { query } = scene.selection.pinned.value;
    const isDecoder = scene.selection.current.value.query === "decoder";
    const index = query === null || !isDecoder ? -1 : scene.parts.value.findIndex(({ row }) => row === query);
    if (index >= 0) scene.part.value = index;
  });
  const indexOf = (event: Event): number | null => {
    const button = (event.target as Element).closest<HTMLElement>("[data-part]");
    return button ? Number(button.dataset["part"]) : null;
  };
  const options = { signal: abort };
  flow.addEventListener(
    "pointerover",
    (event) => {
      scene.pointed.value = indexOf(event);
    },
    options,
  );
  flow.addEventListener(
    "pointerleave",
    () => {
      scene.pointed.value = null;
    },
    options,
  );
  flow.addEventListener(
    "click",
    (event) => {
      const index = indexOf(event);
      if (index === null) return;
      // Sizes cannot be added up: without a sign there is no span.
      const chosen = scene.part.peek();
      scene.pointed.value = null;
      if (event.shiftKey && scene.parts.peek()[index]?.is_signed && index !== chosen) {
        scene.span.value = [Math.min(chosen, index), Math.max(chosen, index) + 1];
        return;
      }
      choosePart(scene, index);
    },
    options,
  );
  const block = h(
    "div",
    { class: "block" },
    h("div", { class: "title", "aria-hidden": "true" }, "explained · shift-click for several together"),
    flow,
  );
  watch(abort, () => {
    block.hidden = scene.parts.value.length < 2;
  });
  return block;
}
