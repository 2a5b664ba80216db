// Fetch parts of the attention from the kernel. Twin: jtviz/views/tiles.py (keys, kinds, limits).
// Required: one batched request at a time, newest wish first; frames are drawn from what is here;
// whatever the kernel cannot answer is shown, not swallowed.

import { type Signal, signal } from "@preact/signals-core";
import { half } from "./half";
import type { Page } from "./page";
import type { AttentionTraits, Meta, Model } from "./types";

export const TILE = 256;
export const BLOCK = 16;
/** Keys in one request: few enough that a newer wish does not wait long. */
const BATCH = 12;
const MOST_BYTES = 2 ** 27;
/** After how many milliseconds without an answer the reader is told so. */
const PATIENCE = 5000;
const SILENCE =
  "No answer from Python yet: it is busy, or the notebook has no running kernel. What came before can still be looked at.";

/** `kind` and what the kind needs; its JSON is the tile's name, so the order of fields matters. */
export type Key = { kind: string; stage: string; layer?: number; weighting?: string } & Record<
  string,
  unknown
>;

/** Weights, row-major, whatever the numbers came as. */
export interface Tile {
  shape: number[];
  data: Float32Array | Uint8Array | Int8Array;
  /** What to multiply a number with. */
  unit: number;
  /** Whether numbers have three digits only: the exact ones are in rows. */
  isRounded?: boolean;
  info: Record<string, unknown>;
}

type Answer =
  | ({ shape: number[]; dtype: string; unit: number; error?: never } & Record<string, unknown>)
  | { error: string };

interface Reply {
  id: string;
  op: string;
  ok: boolean;
  error?: string;
  tiles?: Answer[];
  name?: string;
  share?: number;
}

export class Tiles {
  /** Rises when numbers arrive: read it to be drawn again. */
  readonly version: Signal<number> = signal(0);
  /** Why what was asked for last cannot be shown; empty as long as all is well. */
  readonly error: Signal<string> = signal("");
  /** Whether something asked for is still on its way. */
  readonly waiting: Signal<boolean> = signal(false);
  /** How far what takes long is, 0 to 1; null when nothing does. */
  readonly progress: Signal<number | null> = signal(null);
  /** The pruned trace that is drawn, by its version; 0 for the model as it is. */
  readonly drawn: Signal<number> = signal(0);
  /** That nobody has answered for long; empty as long as somebody does. */
  readonly silence: Signal<string> = signal("");
  readonly #wanted = new Map<string, Key>();
  readonly #failed = new Map<string, string>();
  /** What somebody looks at; the others are fetched ahead. */
  readonly #looked = new Set<string>();
  /** Every view of one widget, in whatever cell or browser tab, hears the replies to all of them. */
  readonly #name = Math.random().toString(36).slice(2);
  #pending: { id: string; keys: string[] } | null = null;
  #scheduled = false;
  #nextId = 0;
  /** Tiles that follow when they are exact, by name. */
  readonly #later = new Map<string, number>();

  constructor(
    readonly meta: Meta,
    private readonly model: Model<AttentionTraits>,
    private readonly page: Page,
    private readonly abort: AbortSignal,
  ) {
    for (const [name, tile] of Object.entries(model.get("snapshot") ?? {})) {
      if (!page.tiles.has(name)) page.tiles.set(name, decode(tile, tile.data));
    }
    model.on("msg:custom", (reply: Reply, buffers: DataView[]) => this.#receive(reply, buffers));
    page.arrived.subscribe(() => {
      this.version.value++;
    }, abort);
  }

  /** What to say in the place of a number that was asked for. */
  get delay(): string {
    return this.silence.value === "" ? "computing …" : "no answer yet";
  }

  /** Return a tile if it is here, else ask for it and return undefined; say so if it cannot be had. */
  get(key: Key): Tile | undefined {
    const tile = this.fetch(key);
    const failure = isUnfinished(tile) ? this.failure(key) : undefined;
    if (failure !== undefined) this.error.value = failure;
    if (!tile) this.#looked.add(this.#nameOf(key));
    return tile;
  }

  /** Why a tile cannot be had, if so. */
  failure(key: Key): string | undefined {
    return this.#failed.get(this.#nameOf(key));
  }

  /** As `get`, without a word about what cannot be had: for what nobody looks at yet. */
  fetch(key: Key): Tile | undefined {
    const name = this.#nameOf(key);
    const tile = this.page.tiles.get(name);
    if (
      isUnfinished(tile) &&
      !this.#failed.has(name) &&
      !this.#later.has(name) &&
      !this.#pending?.keys.includes(name)
    ) {
      // Deleting first moves a repeated wish to the end, where the newest are.
      this.#wanted.delete(name);
      this.#wanted.set(name, this.#keyOf(key));
      this.#schedule();
    }
    return tile;
  }

  /** A tile that is here, without asking for it. */
  peek(key: Key): Tile | undefined {
    return this.page.tiles.get(this.#nameOf(key));
  }

  /** Draw a pruned trace from now on, or (0) the model as it is. */
  draw(version: number): void {
    if (version === this.drawn.peek()) return;
    this.forget();
    this.drawn.value = version;
    this.version.value++;
  }

  /** The key of what is drawn now: that of the model as it is says nothing of versions. */
  #keyOf(key: Key): Key {
    const version = this.drawn.peek();
    return version === 0 ? key : { ...key, version };
  }

  #nameOf(key: Key): string {
    return JSON.stringify(this.#keyOf(key));
  }

  /** The reader went elsewhere: what is not under way yet is no longer wanted. */
  forget(): void {
    this.#wanted.clear();
    this.#looked.clear();
    this.error.value = "";
    this.keep(null);
  }

  /** Of the pictures that take long, go on only with these. */
  keep(keys: readonly Key[] | null): void {
    const names = new Set(keys?.map((key) => this.#nameOf(key)));
    const isGone = (name: string): boolean =>
      !keys || (name.startsWith('{"kind":"tile"') && !names.has(name));
    const gone = [...this.#later.keys()].filter(isGone);
    if (gone.length === 0) return;
    for (const name of gone) this.#later.delete(name);
    this.model.send({ op: "cancel", keep: [...this.#later.keys()] });
    this.#follow();
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
    for (const name of this.#wanted.keys()) {
      if (!isUnfinished(this.page.tiles.get(name))) this.#wanted.delete(name);
    }
    this.#wait();
    if (this.#pending || this.#wanted.size === 0 || this.abort.aborted) return;
    const newest = [...this.#wanted].reverse().slice(0, BATCH);
    for (const [name] of newest) this.#wanted.delete(name);
    this.#pending = { id: `${this.#name}-${++this.#nextId}`, keys: newest.map(([name]) => name) };
    const { id } = this.#pending;
    this.model.send({ id, op: "tiles", keys: newest.map(([, key]) => key) });
    setTimeout(() => {
      if (this.#pending?.id === id && !this.abort.aborted) this.silence.value = SILENCE;
    }, PATIENCE);
  }

  #receive(reply: Reply, buffers: DataView[]): void {
    if (reply.op === "tile" || reply.op === "progress") {
      if (reply.name !== undefined) this.#arrive(reply as never, buffers);
      return;
    }
    if (reply.op !== "tiles" || !this.#pending || reply.id !== this.#pending.id) return;
    const { keys } = this.#pending;
    this.#pending = null;
    this.silence.value = "";
    for (const [i, name] of keys.entries()) this.#keep(name, reply.tiles?.[i], buffers[i], reply);
    evict(this.page.tiles);
    this.#wait();
    this.page.arrived.set(keys);
    this.#schedule();
  }

  #wait(): void {
    const names = [...this.#wanted.keys(), ...(this.#pending?.keys ?? [])];
    this.waiting.value = names.some((name) => this.#looked.has(name));
  }

  #keep(name: string, answer: Answer | undefined, buffer: DataView | undefined, reply: Reply): void {
    if (!reply.ok || answer?.error !== undefined || !answer || !buffer) {
      this.#failed.set(name, answer?.error ?? reply.error ?? "The kernel could not compute this part.");
      return;
    }
    if (answer["later"]) {
      this.#later.set(name, 0);
      this.#follow();
    }
    if (buffer.byteLength > 0 || !answer["later"]) this.page.tiles.set(name, decode(answer, buffer));
  }

  /** What takes long: how far it is, or at last the exact numbers. */
  #arrive(reply: Answer & { op: string; name: string; share?: number }, buffers: DataView[]): void {
    const { name } = reply;
    if (reply.op === "progress") {
      if (this.#later.has(name)) this.#later.set(name, reply.share ?? 0);
    } else {
      this.#later.delete(name);
      if (reply.error !== undefined) this.#failed.set(name, reply.error);
      else if (buffers[0] && "shape" in reply) this.page.tiles.set(name, decode(reply, buffers[0]));
      this.page.arrived.set([name]);
    }
    this.#follow();
  }

  #follow(): void {
    const shares = [...this.#later.values()];
    this.progress.value = shares.length ? shares.reduce((a, b) => a + b) / shares.length : null;
  }
}

/** Not here, or only sampled: what makes it exact was given up when the reader left. */
const isUnfinished = (tile: Tile | undefined): boolean => !tile || tile.info["later"] === true;

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

function decode(answer: { shape: number[]; dtype: string; unit: number }, buffer: DataView): Tile {
  const { shape, dtype, unit, ...info } = answer;
  const { byteOffset, byteLength } = buffer;
  const part = [buffer.buffer as ArrayBuffer, byteOffset, byteLength] as const;
  if (dtype === "uint8") return { shape, unit, info, data: new Uint8Array(...part) };
  if (dtype === "int8") return { shape, unit, info, data: new Int8Array(...part) };
  // A float view must start at a multiple of its size, which a message's buffer need not: copy.
  const bytes = part[0].slice(byteOffset, byteOffset + byteLength);
  if (dtype === "float16") return { shape, unit, info, data: half(new Uint16Array(bytes)), isRounded: true };
  return { shape, unit, info, data: new Float32Array(bytes) };
}
