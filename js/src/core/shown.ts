// What the pictures ask of the attention shown, whether it came whole or in tiles. Twin: jtviz/views/shown.py.
// Required: never blocks; what is not here yet is undefined, and is on its way; changing what is hidden,
// kept or summed into words fetches nothing where a layer came whole.

import { type Axis, axisOf } from "./axis";
import { type Refining, refine } from "./refine";
import { isThrough, type SettingSignals, type Settings } from "./settings";
import { BLOCK, type Key, type Tile, type Tiles } from "./tiles";
import type { Choices, Meta, Stage } from "./types";

export interface Member {
  layer: number;
  head: number;
}

type Rows = Float32Array[];

export class Shown {
  readonly query: Axis;
  readonly key: Axis;
  readonly members: readonly Member[];
  /** Whether every layer shown is here in one piece, every number of it. */
  readonly isWhole: boolean;
  readonly #how: Refining;
  #picture?: Float32Array;

  constructor(
    private readonly tiles: Tiles,
    readonly stage: Stage,
    readonly place: Pick<Choices, "layer" | "heads">,
    readonly chosen: Settings,
  ) {
    const { sides } = tiles.meta;
    this.query = axisOf(sides[stage.query], chosen.unit);
    this.key = axisOf(sides[stage.key], chosen.unit);
    this.members = membersOf(place, chosen);
    const layers = new Set(this.members.map(({ layer }) => layer)).add(place.layer);
    this.isWhole = [...layers].every((layer) => fitsWhole(tiles.meta, stage, layer));
    this.#how = {
      hidden: hiddenKeys(tiles.meta, stage, chosen),
      renormalise: chosen.renormalise && chosen.weighting !== "gradient",
      keyPlace: this.key.place,
      keyCount: this.key.size,
      topK: chosen.top_k,
      topMass: chosen.top_mass,
    };
  }

  /** Which key tokens are left out; null where none is. */
  get hidden(): Uint8Array | null {
    return this.#how.hidden;
  }

  get isSigned(): boolean {
    return this.chosen.weighting === "gradient";
  }

  /** Why a number that was asked for is not here. */
  get absence(): string {
    return this.tiles.error.value === "" ? this.tiles.delay : "could not be computed";
  }

  /** What each member shows of one query. `exact` asks for every digit. */
  rows(query: number, exact = false): Rows | undefined {
    if (!this.#isShown(query)) return this.members.map(() => new Float32Array(this.key.size));
    return this.#each((layer, heads) => {
      const whole = this.#whole(layer);
      if (whole && !(exact && this.#isRounded(layer))) {
        return heads.map((h) => part(whole, (h * this.query.size + query) * this.key.size, this.key.size));
      }
      const [first, last] = [this.query.first(query), this.query.first(query + 1)];
      const pieces: Tile[] = [];
      for (let index = first; index < last; index++) {
        const key = { kind: "row", ...this.#at(layer), index };
        const tile = whole ? this.tiles.fetch(key) : this.#get(key);
        if (tile) pieces.push(tile);
      }
      if (pieces.length < last - first) {
        return (
          whole && heads.map((h) => part(whole, (h * this.query.size + query) * this.key.size, this.key.size))
        );
      }
      return this.#refined(pieces, heads);
    });
  }

  /** What each member shows of one key, from every query. */
  columns(key: number): Rows | undefined {
    return this.#each((layer, heads) => {
      const whole = this.#whole(layer);
      const { size } = this.query;
      if (whole) {
        return heads.map((h) =>
          Float32Array.from({ length: size }, (_, q) => whole[(h * size + q) * this.key.size + key] ?? 0),
        );
      }
      if (fitsWhole(this.tiles.meta, this.stage, layer)) return undefined;
      const pieces: Tile[] = [];
      for (let index = this.key.first(key); index < this.key.first(key + 1); index++) {
        const tile = this.#get({ kind: "column", ...this.#at(layer), ...this.#plain(), index });
        if (!tile || tile.data.length === 0) return undefined;
        pieces.push(tile);
      }
      return heads.map((h) => {
        const out = new Float32Array(size);
        const { tokens } = this.query;
        for (let token = 0; token < tokens; token++) {
          const at = this.query.at(token);
          const count = this.query.first(at + 1) - this.query.first(at);
          if (this.#isShown(at)) {
            for (const { data } of pieces) out[at] = (out[at] ?? 0) + (data[h * tokens + token] ?? 0) / count;
          }
        }
        return out;
      });
    });
  }

  /** Mean over the queries of what each key receives, and of how many queries if not of all. */
  received(): { rows: Rows; sampled: number | null } | undefined {
    let sampled: number | null = null;
    const rows = this.#each((layer, heads) => {
      const whole = this.#whole(layer);
      const { size } = this.query;
      if (!whole) {
        if (fitsWhole(this.tiles.meta, this.stage, layer)) return undefined;
        const tile = this.#get({ kind: "received", ...this.#at(layer) });
        sampled = (tile?.info["sampled"] as number | undefined) ?? null;
        return tile && this.#refined([tile], heads);
      }
      const [from, to] = this.span();
      return heads.map((h) => {
        const sum = new Float32Array(this.key.size);
        for (let q = from; q < to; q++) {
          const at = (h * size + q) * this.key.size;
          for (let k = 0; k < sum.length; k++) sum[k] = (sum[k] ?? 0) + (whole[at + k] ?? 0) / (to - from);
        }
        return sum;
      });
    });
    return rows && { rows, sampled };
  }

  /** As `rows`, for drawing: keys from `from` on, rounded and sixteen queries at a time in a long input. */
  sketch(query: number, from: number, to: number): Rows | undefined {
    if (this.isWhole) return this.rows(query)?.map((row) => row.subarray(from, to));
    const [index, start] = [Math.floor(query / BLOCK), Math.floor(from / 256) * 256];
    return this.#each((layer, heads) => {
      const window = { index, from: start, to: start + 512 };
      const tile = this.#get({ kind: "block", ...this.#at(layer), ...this.choice(false), ...window });
      const [, height = 0, width = 0] = tile?.shape ?? [];
      return (
        tile &&
        heads.map((h) => {
          const at = (h * height + (query % BLOCK)) * width + from - start;
          return Float32Array.from(tile.data.subarray(at, at + to - from), (byte) => byte * tile.unit);
        })
      );
    });
  }

  /** Several vectors as one, by the reader's rule, without what is below the threshold. */
  combine(vectors: readonly Float32Array[]): Float32Array {
    const [first] = vectors;
    const { combine, threshold } = this.chosen;
    if (!first) return new Float32Array(0);
    const out = Float32Array.from(first);
    for (const vector of vectors.slice(1)) {
      for (let i = 0; i < out.length; i++) {
        const [old, more] = [out[i] ?? 0, vector[i] ?? 0];
        out[i] = combine === "max" ? Math.max(old, more) : old + more;
      }
    }
    for (let i = 0; i < out.length; i++) {
      const weight = (out[i] ?? 0) / (combine === "mean" ? vectors.length : 1);
      out[i] = Math.abs(weight) < threshold ? 0 : weight;
    }
    return out;
  }

  /** The whole picture, `[queries, keys]`, where every layer is here in one piece. */
  picture(): Float32Array | undefined {
    if (this.#picture) return this.#picture;
    const parts = this.#each((layer, heads) => {
      const whole = this.#whole(layer);
      const size = this.query.size * this.key.size;
      return whole && heads.map((h) => part(whole, h * size, size));
    });
    if (!parts?.length) return undefined;
    const all = this.combine(parts);
    const [from, to] = this.span();
    all.fill(0, 0, from * this.key.size).fill(0, to * this.key.size);
    this.#picture = all;
    return all;
  }

  /** Fields of a request for a part of the picture. */
  choice(together = true): Record<string, unknown> {
    const { unit, combine, top_k, top_mass } = this.chosen;
    return {
      ...(together && { members: this.members.map(({ layer, head }) => [layer, head]), combine }),
      unit,
      ...this.#plain(),
      ...(top_k > 0 && { top_k }),
      ...(top_mass < 1 && { top_mass }),
    };
  }

  /** Share of the attention that is hidden, mean over members and queries; undefined while unknown. */
  hiddenShare(): number | undefined {
    const { hidden } = this.#how;
    if (!hidden) return 0;
    const shares = this.#each((layer, heads) => {
      const key = { kind: "hidden", ...this.#at(layer), ...this.#plain(), renormalise: false };
      const raw = this.#raw(layer);
      if (!raw)
        return fitsWhole(this.tiles.meta, this.stage, layer)
          ? undefined
          : shares_(this.tiles.fetch(key), heads);
      const { tokens } = this.key;
      return heads.map((h) => {
        let share = 0;
        for (let q = 0; q < this.query.tokens; q++) {
          let [lost, all] = [0, 0];
          for (let k = 0, at = (h * this.query.tokens + q) * tokens; k < tokens; k++, at++) {
            const size = Math.abs(raw[at] ?? 0);
            all += size;
            if (hidden[k]) lost += size;
          }
          share += all > 0 ? lost / all / this.query.tokens : 0;
        }
        return Float32Array.of(share);
      });
    });
    return shares && shares.reduce((sum, share) => sum + (share[0] ?? 0), 0) / Math.max(1, shares.length);
  }

  /** Queries shown: from, up to. */
  span(): [number, number] {
    const span = this.chosen.query_span;
    if (!span) return [0, this.query.size];
    return [this.query.at(span[0]), this.query.at(span[1] - 1) + 1];
  }

  /** Fetch what a layer needs, ahead of time. */
  ahead(layer: number): boolean {
    return fitsWhole(this.tiles.meta, this.stage, layer) && !this.tiles.fetch(this.#wholeKey(layer));
  }

  #isShown(query: number): boolean {
    const [from, to] = this.span();
    return query >= from && query < to;
  }

  #each(find: (layer: number, heads: number[]) => Rows | undefined): Rows | undefined {
    const layers = new Map<number, number[]>();
    for (const { layer, head } of this.members) layers.set(layer, [...(layers.get(layer) ?? []), head]);
    const parts = [...layers].map(([layer, heads]) => find(layer, heads));
    return parts.every((found) => found !== undefined) ? parts.flat() : undefined;
  }

  #at(layer: number) {
    return { stage: this.stage.name, layer, weighting: this.chosen.weighting };
  }

  /** What is hidden, as a request says it: only what differs from nothing. */
  #plain(): Record<string, unknown> {
    const { hide, hide_special, hide_first, renormalise, query_span, key_span } = this.chosen;
    return {
      ...(hide.length > 0 && { hide }),
      ...(hide_special && { hide_special }),
      ...(hide_first && { hide_first }),
      ...(renormalise && { renormalise }),
      ...(query_span && { query_span }),
      ...(key_span && { key_span }),
    };
  }

  #wholeKey(layer: number): Key {
    return { kind: "whole", ...this.#at(layer) };
  }

  #raw(layer: number): Float32Array | undefined {
    if (!fitsWhole(this.tiles.meta, this.stage, layer)) return undefined;
    return this.#get(this.#wholeKey(layer))?.data as Float32Array | undefined;
  }

  #isRounded(layer: number): boolean {
    return this.tiles.peek(this.#wholeKey(layer))?.isRounded === true;
  }

  /** A whole layer, refined; kept with its tile as long as nothing else is chosen. */
  #whole(layer: number): Float32Array | undefined {
    const raw = this.#raw(layer);
    if (!raw) return undefined;
    const { keyPlace: _, ...how } = this.#how;
    const name = JSON.stringify([this.chosen.unit, how.hidden && [...how.hidden], how]);
    const known = refinedOf.get(raw);
    if (known?.name === name) return known.weights;
    const shape = {
      heads: raw.length / (this.query.tokens * this.key.tokens),
      rows: this.query.tokens,
      keys: this.key.tokens,
    };
    const weights = refine(raw, shape, this.query.place, this.#how);
    refinedOf.set(raw, { name, weights });
    return weights;
  }

  /** Rows of several tokens as one. */
  #refined(pieces: readonly Tile[], heads: readonly number[]): Rows {
    const { tokens } = this.key;
    return heads.map((h) => {
      const rows = new Float32Array(pieces.length * tokens);
      pieces.forEach(({ data }, i) => {
        rows.set(data.subarray(h * tokens, (h + 1) * tokens), i * tokens);
      });
      const words = pieces.length > 1 ? new Int32Array(pieces.length) : null;
      return refine(rows, { heads: 1, rows: pieces.length, keys: tokens }, words, this.#how);
    });
  }

  #get(key: Key): Tile | undefined {
    return this.tiles.get(key);
  }
}

const refinedOf = new WeakMap<Float32Array, { name: string; weights: Float32Array }>();

function shares_(tile: Tile | undefined, heads: readonly number[]): Rows | undefined {
  return tile && heads.map((h) => Float32Array.of(tile.data[h] ?? 0));
}

const part = (all: Float32Array, start: number, length: number): Float32Array =>
  all.subarray(start, start + length);

/** The patterns shown: heads of the layer, and those of others. What has no heads has one pattern a layer. */
function membersOf(
  { layer, heads }: Pick<Choices, "layer" | "heads">,
  { also, weighting }: Settings,
): Member[] {
  const members = heads.map((head) => ({ layer, head }));
  for (const [other, head] of also) if (other !== layer) members.push({ layer: other, head });
  if (!isThrough(weighting)) return members;
  return [...new Set(members.map((member) => member.layer))].map((of) => ({ layer: of, head: 0 }));
}

/** Which key tokens are left out. */
function hiddenKeys(meta: Meta, stage: Stage, chosen: Settings): Uint8Array | null {
  const { hide, hide_special, hide_first, key_span } = chosen;
  const side = meta.sides[stage.key];
  if (!(side && (hide.length || hide_special || hide_first || key_span))) return null;
  const hidden = new Uint8Array(side.text.length);
  if (hide_special) for (const i of side.special) hidden[i] = 1;
  if (hide_first) hidden[0] = 1;
  if (hide.length) for (const [i, text] of side.text.entries()) if (hide.includes(text)) hidden[i] = 1;
  if (key_span) hidden.fill(1, 0, key_span[0]).fill(1, key_span[1]);
  return hidden;
}

/** Whether a layer is small enough to be sent in one piece, with every number of it. */
export function fitsWhole(meta: Meta, stage: Stage, layer: number): boolean {
  const [queries, keys] = [stage.query, stage.key].map((side) => meta.sides[side]?.text.length ?? 0);
  return (stage.heads[layer] ?? 0) * (queries ?? 0) * (keys ?? 0) <= meta.whole_limit;
}

/** Fetch small layers ahead, nearest first, so that walking them needs no waiting. */
export function prefetch(tiles: Tiles, shown: Shown, budget = 2 ** 19): void {
  const { stages } = tiles.meta;
  let left = budget;
  const places = stages.flatMap((stage) =>
    stage.heads.map((heads, layer) => ({
      stage,
      layer,
      far: stage === shown.stage ? Math.abs(layer - shown.place.layer) : 1 + layer,
      size:
        heads *
        (tiles.meta.sides[stage.query]?.text.length ?? 0) *
        (tiles.meta.sides[stage.key]?.text.length ?? 0),
    })),
  );
  for (const { stage, layer, size } of places.sort((a, b) => a.far - b.far)) {
    left -= size;
    if (left > 0) new Shown(tiles, stage, { layer, heads: [] }, shown.chosen).ahead(layer);
  }
}

/** The settings as they are now; reading them means being told when they change. */
export function chosenNow(signals: SettingSignals): Settings {
  return Object.fromEntries(Object.entries(signals).map(([name, value]) => [name, value.value])) as never;
}

/** Position of the largest number, by size. */
export function strongest(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (Math.abs(row[i] ?? 0) > Math.abs(row[best] ?? 0)) best = i;
  return best;
}
