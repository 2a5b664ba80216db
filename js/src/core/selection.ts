// The reader's choices as signals, in step with the Selection's model and so with every other view.
// Required: hovering stays in the browser; a choice reaches all views on the page without the kernel.

import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals-core";
import { NOTHING, type Page } from "./page";
import type { Choices, Marks, Meta, Model, Pins, Role, Stage } from "./types";

const NAMES = ["stage", "layer", "heads", "pinned", "marked"] as const;

export class Selection {
  readonly stage: Signal<string>;
  readonly layer: Signal<number>;
  readonly heads: Signal<number[]>;
  readonly pinned: Signal<Pins>;
  readonly marked: Signal<Marks>;
  readonly hovered: Signal<Pins> = signal(NOTHING);
  /** What the reader attends to on each side: the hovered token, else the pinned one. */
  readonly focus: ReadonlySignal<Pins>;
  readonly current: ReadonlySignal<Stage>;
  /** Number of heads of the layer shown. */
  readonly headCount: ReadonlySignal<number>;
  #isolatedFrom: number[] | null = null;
  /** Whether what is hovered is hovered in this view. */
  #isHovering = false;

  constructor(
    readonly meta: Meta,
    private readonly model: Model<Choices>,
    private readonly page: Page,
    abort: AbortSignal,
  ) {
    this.stage = signal(model.get("stage"));
    this.layer = signal(model.get("layer"));
    this.heads = signal(model.get("heads"));
    this.pinned = signal(model.get("pinned"));
    this.marked = signal(model.get("marked"));
    this.focus = computed(() => ({
      query: this.hovered.value.query ?? this.pinned.value.query,
      key: this.hovered.value.key ?? this.pinned.value.key,
    }));
    this.current = computed(() => stageNamed(meta, this.stage.value));
    this.headCount = computed(() => this.current.value.heads[this.layer.value] ?? 0);
    let queued = false;
    const read = (): void => {
      queued = false;
      if (abort.aborted) return;
      batch(() => {
        if (this.stage.peek() !== model.get("stage")) page.hovered.set(NOTHING);
        this.stage.value = model.get("stage");
        this.layer.value = model.get("layer");
        this.heads.value = model.get("heads");
        this.pinned.value = model.get("pinned");
        this.marked.value = model.get("marked");
      });
    };
    // Several traits change together; reading them one event later never sees half of a change.
    const soon = (): void => {
      if (!queued) queueMicrotask(read);
      queued = true;
    };
    for (const name of NAMES) model.on(`change:${name}`, soon);
    page.hovered.subscribe((value) => {
      this.hovered.value = value;
    }, abort);
    this.hovered.value = page.hovered.value;
    abort.addEventListener("abort", () => this.#isHovering && page.hovered.set(NOTHING), { once: true });
  }

  /** Change some of the choices, everywhere. */
  choose(changes: Partial<Choices>): void {
    for (const name of NAMES) {
      const value = changes[name];
      if (value !== undefined) this.model.set(name, value);
    }
    this.model.save_changes();
    batch(() => {
      if (changes.stage !== undefined) this.stage.value = changes.stage;
      if (changes.layer !== undefined) this.layer.value = changes.layer;
      if (changes.heads !== undefined) this.heads.value = changes.heads;
      if (changes.pinned !== undefined) this.pinned.value = changes.pinned;
      if (changes.marked !== undefined) this.marked.value = changes.marked;
    });
  }

  toStage(name: string): void {
    if (name === this.stage.peek()) return;
    const [from, to] = [this.current.peek(), stageNamed(this.meta, name)];
    const layer = Math.min(this.layer.peek(), to.heads.length - 1);
    this.hover(NOTHING);
    this.choose({
      stage: name,
      layer,
      ...this.#headsFor(to, layer),
      pinned: carryPins(this.pinned.peek(), from, to),
    });
  }

  toLayer(layer: number): void {
    const stage = this.current.peek();
    const to = Math.max(0, Math.min(stage.heads.length - 1, layer));
    if (to !== this.layer.peek()) this.choose({ layer: to, ...this.#headsFor(stage, to) });
  }

  toggleHead(head: number): void {
    const heads = this.heads.peek();
    const next = heads.includes(head) ? heads.filter((other) => other !== head) : [...heads, head];
    this.choose({ heads: next.sort((a, b) => a - b) });
  }

  /** Show this head alone or, when it already is, those shown before. */
  isolateHead(head: number): void {
    const heads = this.heads.peek();
    if (heads.length === 1 && heads[0] === head) {
      const before = this.#isolatedFrom?.filter((other) => other < this.headCount.peek());
      this.choose({ heads: before?.length ? before : this.allHeads() });
    } else {
      this.#isolatedFrom = heads;
      this.choose({ heads: [head] });
    }
  }

  /** Walk through the heads one at a time, from whatever is shown. */
  walkHeads(step: 1 | -1): void {
    const heads = this.heads.peek();
    const count = this.headCount.peek();
    const at = heads[0] ?? -1;
    const next = heads.length === 1 ? (at + step + count) % count : step > 0 ? 0 : count - 1;
    if (heads.length !== 1) this.#isolatedFrom = heads;
    this.choose({ heads: [next] });
  }

  allHeads(): number[] {
    return Array.from({ length: this.headCount.peek() }, (_, head) => head);
  }

  hover(pins: Pins): void {
    this.#isHovering = pins.query !== null || pins.key !== null;
    const { query, key } = this.page.hovered.value;
    if (pins.query !== query || pins.key !== key) this.page.hovered.set(pins);
  }

  /** Pin a token; pinned already, unpin it. */
  togglePin(role: Role, index: number): void {
    const pinned = this.pinned.peek();
    this.choose({ pinned: { ...pinned, [role]: pinned[role] === index ? null : index } });
  }

  unpin(): boolean {
    const { query, key } = this.pinned.peek();
    if (query === null && key === null) return false;
    this.choose({ pinned: NOTHING });
    return true;
  }

  /** Mark these tokens of a side, and no others of it. */
  mark(side: string, indices: readonly number[]): void {
    const { [side]: _, ...marked } = this.marked.peek();
    if (indices.length > 0) marked[side] = [...new Set(indices)].sort((a, b) => a - b);
    this.choose({ marked });
  }

  /** Unpin; where nothing is pinned, unmark. Whether there was anything. */
  letGo(): boolean {
    if (this.unpin()) return true;
    if (Object.keys(this.marked.peek()).length === 0) return false;
    this.choose({ marked: {} });
    return true;
  }

  /** The same heads where the other layer has them; all stays all. */
  #headsFor(stage: Stage, layer: number): { heads: number[] } {
    const count = stage.heads[layer] ?? 0;
    const heads = this.heads.peek();
    const kept = heads.filter((head) => head < count);
    const all = heads.length === this.headCount.peek() || (heads.length > 0 && kept.length === 0);
    return { heads: all ? Array.from({ length: count }, (_, head) => head) : kept };
  }
}

export function stageNamed(meta: Meta, name: string): Stage {
  const stage = meta.stages.find((other) => other.name === name) ?? meta.stages[0];
  if (!stage) throw new Error("This trace has no attention in it.");
  return stage;
}

/** Keep a pin on its token when the stage changes. */
export function carryPins(pinned: Pins, from: Stage, to: Stage): Pins {
  const carried: Pins = { ...NOTHING };
  // Each pin first in the part it had, then in the other.
  for (const swap of [false, true]) {
    for (const role of ["query", "key"] as const) {
      const old = swap ? other(role) : role;
      const index = pinned[old];
      const isFree = carried[role] === null && carried[other(role)] !== index;
      if (index !== null && isFree && from[old] === to[role]) carried[role] = index;
    }
  }
  return carried;
}

const other = (role: Role): Role => (role === "query" ? "key" : "query");
