// A saved view: the attention view over what is in its page. Twin: jtviz/views/page.py.
// Required: asks nothing of any network or kernel; what is not in the page is said kindly, where it would be.

import type { AttentionTraits, Model } from "../core/types";
import attention from "./attention";

interface Written {
  shape: number[];
  dtype: string;
  unit: number;
  /** Bytes in base64. */
  data: string;
}

export interface State {
  traits: Omit<AttentionTraits, "selection" | "snapshot">;
  tiles: Record<string, Written>;
  /** What a request means where it leaves a field out. */
  defaults: Record<string, unknown>;
}

type Listener = (...values: never[]) => void;
type Fields = Record<string, unknown>;

const ABSENT = "This part is not in the saved page: open the notebook to see it.";
const UNSAVED = "A saved page draws no files: view.save() in the notebook does.";

/** What a view takes for its widget: traits that nobody else changes, and answers out of the page. */
export class PageModel {
  readonly #values: Fields;
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #tiles = new Map<string, Fields & { data: DataView }>();
  readonly #defaults: Fields;

  constructor({ traits, tiles, defaults }: State) {
    this.#defaults = defaults;
    const snapshot: Record<string, Fields> = {};
    for (const [name, { data, ...said }] of Object.entries(tiles)) {
      const tile = { ...said, data: bytesOf(data) };
      snapshot[name] = tile;
      this.#tiles.set(this.#plainName(JSON.parse(name)), tile);
    }
    this.#values = { ...traits, snapshot };
  }

  get(name: string): unknown {
    return this.#values[name];
  }

  set(name: string, value: unknown): void {
    if (JSON.stringify(this.#values[name]) === JSON.stringify(value)) return;
    this.#values[name] = value;
    this.#tell(`change:${name}`, this, value);
    this.#tell("change", this);
  }

  save_changes(): void {
    // There is nobody to tell.
  }

  on(event: string, listener: Listener): void {
    const heard = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, heard.add(listener));
  }

  off(event?: string | null, listener?: Listener | null): void {
    if (!event) this.#listeners.clear();
    else if (!listener) this.#listeners.delete(event);
    else this.#listeners.get(event)?.delete(listener);
  }

  send(message: Fields): void {
    const { id, op, keys } = message;
    if (op === "save")
      this.#tell("msg:custom", { op: "saved", format: message["format"], error: UNSAVED }, []);
    if (op === "save" || op === "cancel" || id === undefined) return;
    if (op !== "tiles") {
      this.#tell("msg:custom", { id, op, ok: false, error: ABSENT }, []);
      return;
    }
    const found = (keys as Fields[]).map((key) => this.#find(key));
    const tiles = found.map((tile) => {
      if (!tile) return { error: ABSENT };
      const { data: _, ...said } = tile;
      return said;
    });
    const nothing = new DataView(new ArrayBuffer(0));
    this.#tell(
      "msg:custom",
      { id, op, ok: true, tiles },
      found.map((tile) => tile?.data ?? nothing),
    );
  }

  #find(key: Fields): (Fields & { data: DataView }) | undefined {
    return this.#tiles.get(this.#plainName(key));
  }

  /** The name of a tile whatever the order of its fields, without those that say nothing. */
  #plainName(key: Fields): string {
    // Small pictures come in one size only.
    const said = Object.entries(key).filter(
      ([name, value]) => name !== "size" && JSON.stringify(value) !== JSON.stringify(this.#defaults[name]),
    );
    return JSON.stringify(said.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #tell(event: string, ...values: unknown[]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) listener(...(values as never[]));
  }
}

function bytesOf(base64: string): DataView {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  return new DataView(bytes.buffer);
}

function start(): void {
  const [state, el] = [document.getElementById("jtviz-state"), document.getElementById("jtviz")];
  if (!(state && el)) return;
  const model = new PageModel(
    JSON.parse(state.textContent ?? "") as State,
  ) as unknown as Model<AttentionTraits>;
  const render = attention.render as (with_: object) => Promise<void>;
  render({ model, el, signal: new AbortController().signal, host: undefined }).catch((error: unknown) => {
    el.textContent = `This page cannot be shown: ${error instanceof Error ? error.message : String(error)}`;
  });
}

start();
