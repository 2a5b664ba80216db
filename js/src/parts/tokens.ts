// One token (or word) as a button: hover lights it, a click pins it, its name is its text.
// Required: the same state for the same token wherever it is drawn; only tokens in sight have buttons.

import { untracked } from "@preact/signals-core";
import { h, set, watch } from "../core/dom";
import { listenToPointing } from "../core/pointing";
import type { Selection } from "../core/selection";
import { marksOn, showMark } from "../core/token";
import type { Role } from "../core/types";
import { placed, rowLabels, type Scene } from "./picture";

/** Letters that stand upright where text runs down. */
const UPRIGHT =
  /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff00-\uffef]+$/u;

/** The buttons of one side, as many as are in sight. */
export class TokenList {
  readonly buttons = new Map<number, HTMLButtonElement>();
  #labels: readonly string[] = [];

  constructor(
    private readonly scene: Scene,
    readonly role: Role,
    readonly node: HTMLElement,
    abort: AbortSignal,
  ) {
    watch(abort, () => {
      const { stage } = scene.shown.value;
      set(node, "aria-label", `${role === "query" ? "Query" : "Key"} tokens, ${stage[role]}`);
    });
    watch(abort, () => {
      scene.shown.value;
      scene.selection.pinned.value;
      scene.selection.hovered.value;
      scene.selection.marked.value;
      scene.found.value;
      this.update();
    });
  }

  get labels(): readonly string[] {
    return this.role === "query" ? rowLabels(this.scene) : this.scene.shown.value.key.labels;
  }

  /** Show buttons for these, in this order; `between` puts something before one. */
  show(indices: Iterable<number>, between?: (index: number) => string): void {
    const labels = this.labels;
    if (labels !== this.#labels) this.buttons.clear();
    this.#labels = labels;
    const wanted = new Set(indices);
    for (const [index, button] of this.buttons) {
      // Removed, a button would lose the keyboard's focus to the page.
      if (!wanted.has(index) && button.matches(":focus")) wanted.add(index);
      else if (!wanted.has(index)) this.buttons.delete(index);
    }
    const axis = this.scene.shown.peek()[this.role];
    const nodes: (HTMLElement | string)[] = [];
    for (const index of [...wanted].sort((a, b) => a - b)) {
      let button = this.buttons.get(index);
      if (!button) {
        const label = labels[index] ?? "";
        button = h("button", {
          type: "button",
          role: "button",
          class: axis.special.has(index) ? "token special" : "token",
          "data-side": this.role,
          "data-index": index,
          dir: "auto",
          title: label,
        });
        button.textContent = label;
        button.classList.toggle("upright", UPRIGHT.test(label));
        this.buttons.set(index, button);
      }
      const gap = between?.(index);
      if (gap) nodes.push(gap);
      nodes.push(button);
    }
    const old = this.node.childNodes;
    const isOther = (node: HTMLElement | string, i: number): boolean =>
      typeof node === "string" ? old[i]?.nodeValue !== node : old[i] !== node;
    if (old.length !== nodes.length || nodes.some(isOther)) {
      this.node.replaceChildren(...nodes);
    }
    this.update();
  }

  /** Bring the state of the buttons up to date. */
  update(): void {
    const { selection, found } = this.scene;
    const pinned = placed(this.scene, selection.pinned.peek())[this.role];
    const hovered = placed(this.scene, selection.hovered.peek())[this.role];
    const { stage, [this.role]: axis } = this.scene.shown.peek();
    const hit = found.peek();
    const marks = untracked(() => marksOn(selection, stage[this.role], axis));
    for (const [index, button] of this.buttons) {
      set(button, "data-state", index === pinned ? "pinned" : index === hovered ? "hover" : "idle");
      set(button, "aria-pressed", index === pinned);
      showMark(button, marks.has(index));
      const isHit =
        hit?.side === stage[this.role] && axis.first(index) < hit.stop && axis.first(index + 1) > hit.start;
      set(button, "data-found", isHit ? "" : undefined);
    }
  }
}

/** Listen once for all token buttons in `root`. */
export function listenToTokens(root: HTMLElement, scene: Scene, abort: AbortSignal): void {
  const { selection } = scene;
  const of = (event: Event): { role: Role; index: number } | null => {
    const button = (event.target as Element | null)?.closest<HTMLElement>("[data-side]");
    if (!button) return null;
    const role = button.dataset["side"] as Role;
    return { role, index: scene.shown.peek()[role].first(Number(button.dataset["index"])) };
  };
  const actions = {
    enter: ({ role, index }: { role: Role; index: number }) =>
      selection.hover({ query: null, key: null, [role]: index }),
    leave: () => selection.hover({ query: null, key: null }),
    click: (token: { role: Role; index: number }) => togglePin(selection, scene, token),
  };
  listenToPointing(root, of, actions, abort);
}

/** Pin a token; of a word that is pinned, whichever token of it was, unpin it. */
function togglePin(selection: Selection, scene: Scene, { role, index }: { role: Role; index: number }): void {
  const axis = scene.shown.peek()[role];
  const pinned = selection.pinned.peek()[role];
  const isSame = pinned !== null && axis.at(pinned) === axis.at(index);
  selection.togglePin(role, isSame ? pinned : index);
}
