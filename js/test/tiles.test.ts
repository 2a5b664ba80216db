import { beforeEach, describe, expect, test, vi } from "vitest";
import { makePage, type Page } from "../src/core/page";
import { Tiles } from "../src/core/tiles";
import { FakeModel, frame, META, put, shownOf } from "./fakes";

let model: FakeModel;
let page: Page;
let tiles: Tiles;
const whole = (layer: number) => ({ kind: "whole", stage: "encoder", layer });

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

  test("a request that nobody answers is said, until somebody does", async () => {
    vi.useFakeTimers();
    tiles.get(whole(0));
    await vi.advanceTimersByTimeAsync(1000);
    expect(model.sent).toHaveLength(1);
    expect(tiles.silence.value).toBe("");
    await vi.advanceTimersByTimeAsync(6000);
    expect(tiles.silence.value).toContain("no running kernel");
    expect(tiles.delay).toBe("no answer yet");
    answer(0.25);
    expect(tiles.silence.value).toBe("");
    vi.useRealTimers();
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

test("only what is looked at is waited for, not what is fetched ahead", async () => {
  tiles.fetch(whole(1));
  await frame();
  expect(model.sent).toHaveLength(1);
  expect(tiles.waiting.value).toBe(false);
  answer(0.5);
  tiles.get(whole(0));
  await frame();
  expect(tiles.waiting.value).toBe(true);
  answer(0.5);
  expect(tiles.waiting.value).toBe(false);
});

test.each([
  ["float16", new Uint16Array([0x3800, 0xb400]), [0.5, -0.25], true],
  ["float32", new Float32Array([0.5, -0.25]), [0.5, -0.25], undefined],
  ["uint8", new Uint8Array([0, 255]), [0, 255], undefined],
  ["int8", new Int8Array([-128, 127]), [-128, 127], undefined],
] as const)("numbers come as %s", async (dtype, sent, data, isRounded) => {
  tiles.get(whole(0));
  await frame();
  const answers = [{ shape: [1, 1, 2], dtype, unit: 0.5, sampled: 3 }];
  const buffers = [new DataView(sent.buffer)];
  model.emit("msg:custom", { id: model.sent[0]?.id, op: "tiles", ok: true, tiles: answers }, buffers);
  const tile = tiles.get(whole(0));
  expect([...(tile?.data ?? [])]).toEqual(data);
  expect(tile).toMatchObject({ shape: [1, 1, 2], unit: 0.5, info: { sampled: 3 } });
  expect(tile?.isRounded).toBe(isRounded);
});

describe("what takes long", () => {
  const key = { kind: "tile", stage: "encoder", level: 3 };
  const name = JSON.stringify(key);
  const sampled = { shape: [1, 1], dtype: "uint8", unit: 1, sampled: 1, later: true };
  const one = (value: number) => [new DataView(Uint8Array.of(value).buffer)];

  beforeEach(async () => {
    tiles.get(key);
    await frame();
    model.emit("msg:custom", { id: model.sent[0]?.id, op: "tiles", ok: true, tiles: [sampled] }, one(7));
  });

  test("is sampled first, says how far it is, and then is exact", async () => {
    expect(tiles.get(key)?.data[0]).toBe(7);
    expect(tiles.progress.value).toBe(0);
    model.emit("msg:custom", { op: "progress", name, share: 0.5 }, []);
    expect(tiles.progress.value).toBe(0.5);
    const { later: _, sampled: __, ...exact } = sampled;
    model.emit("msg:custom", { op: "tile", name, ...exact }, one(9));
    expect(tiles.get(key)?.data[0]).toBe(9);
    expect(tiles.progress.value).toBeNull();
    await frame();
    expect(model.sent).toHaveLength(1);
  });

  test("is given up when the reader goes elsewhere", () => {
    tiles.forget();
    expect(model.sent.at(-1)).toEqual({ op: "cancel", keep: [] });
    expect(tiles.progress.value).toBeNull();
    model.emit("msg:custom", { op: "progress", name, share: 0.5 }, []);
    expect(tiles.progress.value).toBeNull();
    tiles.forget();
    expect(model.sent).toHaveLength(2);
  });

  test("goes on where it is still looked at, each for itself", async () => {
    const other = { ...key, level: 2 };
    tiles.get(other);
    await frame();
    const { id } = model.sent.at(-1) ?? {};
    model.emit("msg:custom", { id, op: "tiles", ok: true, tiles: [sampled] }, one(5));
    model.emit("msg:custom", { op: "progress", name, share: 0.5 }, []);
    expect(tiles.progress.value).toBe(0.25);
    tiles.keep([key, other]);
    expect(model.sent).toHaveLength(2);
    tiles.keep([key]);
    expect(model.sent.at(-1)).toEqual({ op: "cancel", keep: [name] });
    expect(tiles.progress.value).toBe(0.5);
  });

  test("has nothing to show first where nothing was sampled, and says what went wrong", async () => {
    const row = { kind: "hidden", stage: "encoder", layer: 0 };
    tiles.get(row);
    await frame();
    const { id } = model.sent.at(-1) ?? {};
    const nothing = [new DataView(new ArrayBuffer(0))];
    model.emit("msg:custom", { id, op: "tiles", ok: true, tiles: [{ ...sampled, shape: [0] }] }, nothing);
    expect(tiles.get(row)).toBeUndefined();
    await frame();
    expect(model.sent).toHaveLength(2);
    model.emit("msg:custom", { op: "tile", name: JSON.stringify(row), error: "too long" }, []);
    expect(tiles.get(row)).toBeUndefined();
    expect(tiles.error.value).toBe("too long");
    expect(tiles.progress.value).toBe(0);
  });

  test("is given up when nobody looks at it any more, and asked for again by who does", async () => {
    tiles.keep([]);
    expect(model.sent.at(-1)).toEqual({ op: "cancel", keep: [] });
    expect(tiles.get(key)?.data[0]).toBe(7);
    await frame();
    expect(model.sent.at(-1)).toMatchObject({ op: "tiles", keys: [key] });
  });
});

test("a snapshot is there without a request, its small floats exact to three digits", async () => {
  const saved = new FakeModel({
    snapshot: {
      [JSON.stringify(whole(0))]: {
        shape: [1, 1, 2],
        dtype: "float16",
        unit: 1,
        data: new DataView(Uint16Array.of(0x3800, 0x2e66).buffer),
      },
    },
  });
  const shown = new Tiles(META, saved as never, makePage(), new AbortController().signal);
  const tile = shown.get(whole(0));
  expect(tile?.data[0]).toBe(0.5);
  expect(tile?.data[1]).toBeCloseTo(0.1, 4);
  expect(tile?.isRounded).toBe(true);
  await frame();
  expect(saved.sent).toHaveLength(0);
});

test("rows, columns and pictures of a layer that came whole are parts of it", () => {
  const data = Float32Array.from({ length: 36 }, (_, i) => i / 36);
  put(page, "encoder", 0, [4, 3, 3], data);
  const of = (...heads: number[]) => shownOf(tiles, "encoder", 0, heads);
  expect([...(of(2).rows(1)?.[0] ?? [])]).toEqual([...data.slice(21, 24)]);
  expect([...(of(2).columns(1)?.[0] ?? [])]).toEqual([data[19], data[22], data[25]]);
  expect(of(0, 1).picture()?.[8]).toBeCloseTo(((data[8] ?? 0) + (data[17] ?? 0)) / 2, 6);
  const received = of(0).received()?.rows[0] ?? [];
  expect(received[0]).toBeCloseTo(((data[0] ?? 0) + (data[3] ?? 0) + (data[6] ?? 0)) / 3, 6);
});

test("what is hidden is gone from the rows, and its share is said", () => {
  const data = new Float32Array(36);
  data.set([0.5, 0.3, 0.2, 0.1, 0.1, 0.8, 0.25, 0.25, 0.5]);
  put(page, "encoder", 0, [4, 3, 3], data);
  const plain = shownOf(tiles, "encoder", 0, [0], { hide_special: true });
  expect(plain.rows(0)?.[0]?.[2]).toBe(0);
  expect(plain.hiddenShare()).toBeCloseTo((0.2 + 0.8 + 0.5) / 3, 6);
  const shared = shownOf(tiles, "encoder", 0, [0], { hide_special: true, renormalise: true });
  expect(shared.rows(0)?.[0]?.[0]).toBeCloseTo(0.5 / 0.8, 6);
  expect(shared.rows(1)?.[0]?.[1]).toBeCloseTo(0.5, 6);
});
