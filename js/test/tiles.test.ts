import { beforeEach, describe, expect, test } from "vitest";
import { makePage, type Page } from "../src/core/page";
import { Patterns } from "../src/core/patterns";
import { Tiles } from "../src/core/tiles";
import { FakeModel, frame, META } from "./fakes";

let model: FakeModel;
let page: Page;
let tiles: Tiles;
const whole = (layer: number) => ({ kind: "whole", stage: "encoder", layer }) as const;

beforeEach(() => {
  model = new FakeModel({});
  page = makePage();
  tiles = new Tiles(META, model as never, page, new AbortController().signal);
});

/** Answer the last request with one float32 tile a key, every number being `value`. */
function answer(value: number, offset = 0): void {
  const { id, keys } = model.sent.at(-1) ?? { id: "", keys: [] };
  const shape = [4, 3, 3];
  const buffers = keys.map(() => {
    const bytes = new Uint8Array(36 * 4 + offset);
    bytes.set(new Uint8Array(new Float32Array(36).fill(value).buffer), offset);
    return new DataView(bytes.buffer, offset);
  });
  model.emit(
    "msg:custom",
    { id, op: "tiles", ok: true, tiles: keys.map(() => ({ shape, dtype: "float32", unit: 1 })) },
    buffers,
  );
}

describe("tiles", () => {
  test("wishes of one frame travel in one request, newest first", async () => {
    tiles.get(whole(0));
    tiles.get(whole(1));
    tiles.get(whole(0));
    await frame();
    expect(model.sent).toHaveLength(1);
    expect(model.sent[0]?.keys.map((key) => key["layer"])).toEqual([0, 1]);
  });

  test("one request is under way at a time", async () => {
    tiles.get(whole(0));
    await frame();
    tiles.get(whole(1));
    await frame();
    expect(model.sent).toHaveLength(1);
    answer(0.25);
    await frame();
    expect(model.sent).toHaveLength(2);
  });

  test("what came is kept, also where a message's buffer starts at an odd byte", async () => {
    tiles.get(whole(0));
    await frame();
    answer(0.25, 3);
    expect(tiles.get(whole(0))?.data[5]).toBe(0.25);
  });

  test("a second view of the page finds what the first fetched", async () => {
    tiles.get(whole(0));
    await frame();
    answer(0.5);
    const other = new FakeModel({});
    const second = new Tiles(META, other as never, page, new AbortController().signal);
    expect(second.get(whole(0))?.data[0]).toBe(0.5);
    await frame();
    expect(other.sent).toHaveLength(0);
  });

  test("one that fails is said where it is looked at, costs no other and is not asked for again", async () => {
    tiles.fetch(whole(1));
    tiles.get(whole(0));
    await frame();
    const buffers = [new DataView(new Float32Array(36).buffer), new DataView(new ArrayBuffer(0))];
    const answers = [{ shape: [4, 3, 3], dtype: "float32", unit: 1 }, { error: "layer 1 was refused" }];
    model.emit("msg:custom", { id: model.sent[0]?.id, op: "tiles", ok: true, tiles: answers }, buffers);
    expect(tiles.get(whole(0))?.shape).toEqual([4, 3, 3]);
    tiles.fetch(whole(1));
    expect(tiles.error.value).toBe("");
    tiles.get(whole(1));
    expect(tiles.error.value).toBe("layer 1 was refused");
    await frame();
    expect(model.sent).toHaveLength(1);
    tiles.forget();
    expect(tiles.error.value).toBe("");
  });

  test("two copies of one view do not take each other's replies", async () => {
    const copy = new Tiles(META, model as never, makePage(), new AbortController().signal);
    tiles.get(whole(0));
    copy.get(whole(1));
    await frame();
    expect(new Set(model.sent.map((message) => message.id)).size).toBe(2);
    answer(0.75);
    expect(tiles.get(whole(0))).toBeUndefined();
    expect(copy.get(whole(1))?.data[0]).toBe(0.75);
  });

  test("what nobody waits for any more is not asked for", async () => {
    tiles.get(whole(0));
    tiles.forget();
    tiles.get(whole(1));
    await frame();
    expect(model.sent[0]?.keys.map((key) => key["layer"])).toEqual([1]);
  });

  test("a reply to another request is not taken for this one's", async () => {
    tiles.get(whole(0));
    await frame();
    model.emit("msg:custom", { id: "99", op: "tiles", ok: true, tiles: [] }, []);
    expect(tiles.waiting.value).toBe(true);
  });
});

test("rows, columns and pictures of a layer that came whole are parts of it", () => {
  const data = Float32Array.from({ length: 36 }, (_, i) => i / 36);
  page.tiles.set(JSON.stringify({ kind: "whole", stage: "encoder", layer: 0 }), {
    shape: [4, 3, 3],
    data,
    unit: 1,
  });
  const stage = META.stages[0];
  if (!stage) throw new Error("the fake has stages");
  const patterns = new Patterns(tiles, stage, 0);
  expect([...(patterns.row(1, [2])?.[0] ?? [])]).toEqual([...data.slice(21, 24)]);
  expect([...(patterns.column(1, [2])?.[0] ?? [])]).toEqual([data[19], data[22], data[25]]);
  expect(patterns.picture([0, 1], 0).at(2, 2)).toBeCloseTo(((data[8] ?? 0) + (data[17] ?? 0)) / 2, 6);
  const received = patterns.received([0])?.[0] ?? [];
  expect(received[0]).toBeCloseTo(((data[0] ?? 0) + (data[3] ?? 0) + (data[6] ?? 0)) / 3, 6);
});
