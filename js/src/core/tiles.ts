// Fetch parts of the attention from the kernel. Twin: jtviz/views/tiles.py (keys, kinds, limits).
// Required: one batched request at a time, newest wish first; frames are drawn from what is here;
// whatever the kernel cannot answer is shown, not swallowed.

import { type Signal, signal } from "@preact/signals-core";
import type { Page } from "./page";
import type { Meta, Model } from "./types";

export const TILE = 256;
export const BLOCK = 16;
/** Keys in one request: few enough that a newer wish does not wait long. */
const BATCH = 12;
const MOST_BYTES = 2 ** 27;

export type Key =
  | { kind: "whole" | "received"; stage: string; layer: number }
  | { kind: "row" | "column" | "rows"; stage: string; layer: number; index: number }
  | {
      kind: "tile";
      stage: string;
      layer: number;
      heads: readonly number[];
      level: number;
      row: number;
      column: number;
      pool: "max" | "mean";
    };

/** Weights between 0 and 1, row-major, whatever the numbers came as. */
export interface Tile {
  shape: number[];
  data: Float32Array | Uint8Array;
  /** What to multiply a number with. */
  unit: number;
}

type Answer = { shape: number[]; dtype: string; unit: number; error?: never } | { error: string };

interface Reply {
  id: string;
  op: string;
  ok: boolean;
  error?: string;
  tiles?: Answer[];
}

export class Tiles {
  /** Rises when numbers arrive: read it to be drawn again. */
  readonly version: Signal<number> = signal(0);
  /** Why what was asked for last cannot be shown; empty as long as all is well. */
  readonly error: Signal<string> = signal("");
  /** Whether something asked for is still on its way. */
  readonly waiting: Signal<boolean> = signal(false);
  readonly #wanted = new Map<string, Key>();
  readonly #failed = new Map<string, string>();
  /** Every view of one widget, in whatever cell or browser tab, hears the replies to all of them. */
  readonly #name = Math.random().toString(36).slice(2);
  #pending: { id: string; keys: string[] } | null = null;
  #scheduled = false;
  #nextId = 0;

  constructor(
    readonly meta: Meta,
    private readonly model: Model<object>,
    private readonly page: Page,
    private readonly abort: AbortSignal,
  ) {
    model.on("msg:custom", (reply: Reply, buffers: DataView[]) => this.#receive(reply, buffers));
    page.arrived.subscribe(() => {
      this.version.value++;
    }, abort);
  }

  /** Return a tile if it is here, else ask for it and return undefined; say so if it cannot be had. */
  get(key: Key): Tile | undefined {
    const tile = this.fetch(key);
    const failure = tile ? undefined : this.#failed.get(JSON.stringify(key));
    if (failure !== undefined) this.error.value = failure;
    return tile;
  }

  /** As `get`, without a word about what cannot be had: for what nobody looks at yet. */
  fetch(key: Key): Tile | undefined {
    const name = JSON.stringify(key);
    const tile = this.page.tiles.get(name);
    if (tile === undefined && !this.#failed.has(name) && !this.#pending?.keys.includes(name)) {
      // Deleting first moves a repeated wish to the end, where the newest are.
      this.#wanted.delete(name);
      this.#wanted.set(name, key);
      this.#schedule();
    }
    return tile;
  }

  /** The reader went elsewhere: what is not under way yet is no longer wanted. */
  forget(): void {
    this.#wanted.clear();
    this.error.value = "";
  }

  #schedule(): void {
    if (this.#scheduled || this.#pending) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  #send(): void {
    for (const name of this.#wanted.keys()) if (this.page.tiles.has(name)) this.#wanted.delete(name);
    this.waiting.value = this.#wanted.size > 0;
    if (this.#pending || this.#wanted.size === 0 || this.abort.aborted) return;
    const newest = [...this.#wanted].reverse().slice(0, BATCH);
    for (const [name] of newest) this.#wanted.delete(name);
    this.#pending = { id: `${this.#name}-${++this.#nextId}`, keys: newest.map(([name]) => name) };
    this.model.send({ id: this.#pending.id, op: "tiles", keys: newest.map(([, key]) => key) });
  }

  #receive(reply: Reply, buffers: DataView[]): void {
    if (reply.op !== "tiles" || !this.#pending || reply.id !== this.#pending.id) return;
    const { keys } = this.#pending;
    this.#pending = null;
    for (const [i, name] of keys.entries()) {
      const [answer, buffer] = [reply.tiles?.[i], buffers[i]];
      if (reply.ok && answer?.error === undefined && answer && buffer) {
        this.page.tiles.set(name, {
          shape: answer.shape,
          unit: answer.unit,
          data: decode(buffer, answer.dtype),
        });
      } else {
        this.#failed.set(name, answer?.error ?? reply.error ?? "The kernel could not compute this part.");
      }
    }
    evict(this.page.tiles);
    this.waiting.value = this.#wanted.size > 0;
    this.page.arrived.set(keys);
    this.#schedule();
  }
}

/** Let go of what came first, beyond what a page may hold. */
function evict(tiles: Map<string, Tile>): void {
  let bytes = 0;
  for (const tile of tiles.values()) bytes += tile.data.byteLength;
  for (const [name, tile] of tiles) {
    if (bytes <= MOST_BYTES) return;
    bytes -= tile.data.byteLength;
    tiles.delete(name);
  }
}

function decode(buffer: DataView, dtype: string): Tile["data"] {
  if (dtype === "uint8") return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  // A float view must start at a multiple of four, which a message's buffer need not: copy.
  return new Float32Array(buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength));
}
