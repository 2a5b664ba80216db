// What the pictures ask of the attention of the layer shown, whether it came whole or in tiles.
// Required: never blocks; what is not here yet is undefined, and is on its way.

import { BLOCK, type Key, TILE, type Tile, type Tiles } from "./tiles";
import type { Meta, Stage } from "./types";

export class Patterns {
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly isWhole: boolean;

  constructor(
    private readonly tiles: Tiles,
    private readonly stage: Stage,
    readonly layer: number,
  ) {
    const { sides } = tiles.meta;
    this.queries = sides[stage.query]?.text.length ?? 0;
    this.keys = sides[stage.key]?.text.length ?? 0;
    this.heads = stage.heads[layer] ?? 0;
    this.isWhole = fitsWhole(tiles.meta, stage, layer);
  }

  /** Why a number that was asked for is not here. */
  get absence(): string {
    return this.tiles.error.value === "" ? "computing …" : "could not be computed";
  }

  /** Weights of each of `heads` from one query to every key. */
  row(query: number, heads: readonly number[]): Float32Array[] | undefined {
    if (this.isWhole) {
      const whole = this.#get({ kind: "whole" });
      return whole && heads.map((h) => slice(whole, (h * this.queries + query) * this.keys, this.keys));
    }
    const row = this.#get({ kind: "row", index: query });
    return row && heads.map((h) => slice(row, h * this.keys, this.keys));
  }

  /** Weights of each of `heads` from every query to one key. */
  column(key: number, heads: readonly number[]): Float32Array[] | undefined {
    if (this.isWhole) {
      const whole = this.#get({ kind: "whole" });
      return (
        whole && heads.map((h) => strided(whole, h * this.queries * this.keys + key, this.keys, this.queries))
      );
    }
    const column = this.#get({ kind: "column", index: key });
    return column && heads.map((h) => slice(column, h * this.queries, this.queries));
  }

  /** Mean over the queries of what each key receives. */
  received(heads: readonly number[]): Float32Array[] | undefined {
    if (this.isWhole && !this.#get({ kind: "whole" })) return undefined;
    if (!this.isWhole) {
      const all = this.#get({ kind: "received" });
      return all && heads.map((h) => slice(all, h * this.keys, this.keys));
    }
    const sums = heads.map(() => new Float32Array(this.keys));
    for (let query = 0; query < this.queries; query++) {
      this.row(query, heads)?.forEach((row, i) => {
        const sum = sums[i];
        if (sum) for (let k = 0; k < row.length; k++) sum[k] = (sum[k] ?? 0) + (row[k] ?? 0) / this.queries;
      });
    }
    return sums;
  }

  /** As `row`, for drawing: rounded in a long input, and fetched sixteen queries at a time. */
  sketch(query: number, heads: readonly number[]): Float32Array[] | undefined {
    if (this.isWhole) return this.row(query, heads);
    const block = this.#get({ kind: "rows", index: Math.floor(query / BLOCK) });
    const height = block?.shape[1] ?? 0;
    return block && heads.map((h) => slice(block, (h * height + (query % BLOCK)) * this.keys, this.keys));
  }

  /** One pooled picture of the mean of `heads`, `undefined` where a part is not here yet. */
  picture(heads: readonly number[], level: number): { width: number; height: number; at: Picture } {
    const factor = 2 ** level;
    const [width, height] = [Math.ceil(this.keys / factor), Math.ceil(this.queries / factor)];
    if (this.isWhole) {
      const whole = this.#get({ kind: "whole" });
      const size = this.queries * this.keys;
      return {
        width,
        height,
        at: (row, column) => {
          if (!whole) return undefined;
          let sum = 0;
          for (const head of heads) sum += whole.data[head * size + row * this.keys + column] ?? 0;
          return sum / heads.length;
        },
      };
    }
    const parts = new Map<number, Tile | undefined>();
    for (let row = 0; row * TILE < height; row++) {
      for (let column = 0; column * TILE < width; column++) {
        const key = { kind: "tile", heads: [...heads], level, row, column, pool: "max" } as const;
        parts.set(row * 4096 + column, heads.length ? this.#get(key) : undefined);
      }
    }
    return {
      width,
      height,
      at: (row, column) => {
        const part = parts.get(Math.floor(row / TILE) * 4096 + Math.floor(column / TILE));
        return part && (part.data[(row % TILE) * (part.shape[1] ?? 0) + (column % TILE)] ?? 0) * part.unit;
      },
    };
  }

  #get(key: WithoutPlace<Key>): Tile | undefined {
    return this.tiles.get({ ...key, stage: this.stage.name, layer: this.layer } as Key);
  }
}

type WithoutPlace<K> = K extends Key ? Omit<K, "stage" | "layer"> : never;
type Picture = (row: number, column: number) => number | undefined;

/** Whether a layer is small enough to be sent in one piece, with every number exact. */
function fitsWhole(meta: Meta, stage: Stage, layer: number): boolean {
  const [queries, keys] = [
    meta.sides[stage.query]?.text.length ?? 0,
    meta.sides[stage.key]?.text.length ?? 0,
  ];
  return (stage.heads[layer] ?? 0) * queries * keys <= meta.whole_limit;
}

/** Fetch small layers ahead, nearest first, so that walking them needs no waiting. */
export function prefetch(tiles: Tiles, stage: Stage, layer: number, budget = 2 ** 19): void {
  const near = stage.heads.map((_, other) => ({ stage, layer: other, far: Math.abs(other - layer) }));
  const elsewhere = tiles.meta.stages
    .filter((other) => other !== stage)
    .flatMap((other) => other.heads.map((_, index) => ({ stage: other, layer: index, far: 1 + index })));
  let left = budget;
  for (const place of [...near, ...elsewhere].sort((a, b) => a.far - b.far)) {
    const patterns = new Patterns(tiles, place.stage, place.layer);
    left -= patterns.heads * patterns.queries * patterns.keys;
    if (!patterns.isWhole || left < 0) continue;
    tiles.fetch({ kind: "whole", stage: place.stage.name, layer: place.layer });
  }
}

function slice(tile: Tile, start: number, length: number): Float32Array {
  if (tile.data instanceof Float32Array) return tile.data.subarray(start, start + length);
  return Float32Array.from(tile.data.subarray(start, start + length), (byte) => byte * tile.unit);
}

function strided(tile: Tile, start: number, step: number, length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => (tile.data[start + i * step] ?? 0) * tile.unit);
}

/** Mean of several rows, position by position. */
export function mean(rows: readonly Float32Array[], length: number): Float32Array {
  const out = new Float32Array(length);
  for (const row of rows)
    for (let i = 0; i < length; i++) out[i] = (out[i] ?? 0) + (row[i] ?? 0) / rows.length;
  return out;
}

/** Position of the largest number. */
export function strongest(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if ((row[i] ?? 0) > (row[best] ?? 0)) best = i;
  return best;
}
