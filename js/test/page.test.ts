import { expect, test, vi } from "vitest";
import { PageModel, type State } from "../src/views/page";

const WHOLE = '{"kind":"whole","stage":"encoder","layer":0,"weighting":"raw"}';
const NUMBERS = new Float32Array([0.25, 0.75]);

const made = (): PageModel =>
  new PageModel({
    traits: { layer: 0, heads: [0, 1] } as unknown as State["traits"],
    tiles: {
      [WHOLE]: {
        shape: [1, 1, 2],
        dtype: "float32",
        unit: 1,
        data: btoa(String.fromCharCode(...new Uint8Array(NUMBERS.buffer))),
      },
      '{"kind":"thumbnails","stage":"encoder","layer":0,"weighting":"raw","size":48}': {
        shape: [1, 1, 1],
        dtype: "uint8",
        unit: 1,
        data: btoa("\xff"),
      },
    },
    defaults: { weighting: "raw", hide: [] },
  });

const asked = (model: PageModel, message: Record<string, unknown>): [Record<string, unknown>, DataView[]] => {
  const heard = vi.fn();
  model.on("msg:custom", heard);
  model.send(message);
  expect(heard).toHaveBeenCalledOnce();
  return heard.mock.calls[0] as never;
};

test("a page has its tiles as a view expects them, under the names that a view gives them", () => {
  const snapshot = made().get("snapshot") as Record<string, { data: DataView }>;
  expect(snapshot[WHOLE]?.data.getFloat32(4, true)).toBe(0.75);
});

test("a request is answered at once, whatever the order of its fields and whether it says the usual", () => {
  const keys = [
    { layer: 0, kind: "whole", hide: [], stage: "encoder" },
    { kind: "thumbnails", stage: "encoder", layer: 0, weighting: "raw", size: 32 },
  ];
  const [reply, buffers] = asked(made(), { id: "7", op: "tiles", keys });
  expect(reply).toMatchObject({ id: "7", op: "tiles", ok: true });
  expect((reply["tiles"] as object[])[0]).toEqual({ shape: [1, 1, 2], dtype: "float32", unit: 1 });
  expect(buffers[0]?.getFloat32(0, true)).toBe(0.25);
  expect(buffers[1]?.byteLength).toBe(1);
});

test("what is not in the page is said, for tiles and for anything else that a kernel would do", () => {
  const [reply, buffers] = asked(made(), { id: "8", op: "tiles", keys: [{ kind: "row", index: 3 }] });
  expect(reply).toMatchObject({
    ok: true,
    tiles: [{ error: expect.stringContaining("not in the saved page") }],
  });
  expect(buffers[0]?.byteLength).toBe(0);
  expect(asked(made(), { id: "9", op: "table" })[0]).toMatchObject({ id: "9", op: "table", ok: false });
  expect(asked(made(), { op: "save", format: "svg" })[0]).toMatchObject({ op: "saved", format: "svg" });
});

test("a choice is heard by everyone who listens, and only when it is another", () => {
  const [model, heard] = [made(), vi.fn()];
  model.on("change:heads", heard);
  model.set("heads", [0, 1]);
  expect(heard).not.toHaveBeenCalled();
  model.set("heads", [1]);
  expect(model.get("heads")).toEqual([1]);
  expect(heard).toHaveBeenCalledOnce();
  model.off("change:heads", heard);
  model.set("heads", [0]);
  expect(heard).toHaveBeenCalledOnce();
});
