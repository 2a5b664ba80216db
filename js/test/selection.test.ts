import { beforeEach, describe, expect, test } from "vitest";
import { makePage } from "../src/core/page";
import { carryPins, Selection, stageNamed } from "../src/core/selection";
import { choices, type FakeModel, frame, META } from "./fakes";

let model: FakeModel;
let first: Selection;
let second: Selection;

beforeEach(() => {
  model = choices();
  const [page, abort] = [makePage(), new AbortController().signal];
  first = new Selection(META, model as never, page, abort);
  second = new Selection(META, model as never, page, abort);
});

describe("two views of one trace", () => {
  test("a choice in one reaches the other without the kernel", async () => {
    first.toStage("cross");
    first.toLayer(1);
    first.togglePin("query", 1);
    await frame();
    expect(second.stage.value).toBe("cross");
    expect(second.layer.value).toBe(1);
    expect(second.pinned.value).toEqual({ query: 1, key: null });
  });

  test("hovering reaches the other and never touches the model", () => {
    first.hover({ query: 2, key: null });
    expect(second.focus.value).toEqual({ query: 2, key: null });
    expect(model.saved).toBe(0);
    expect(Object.keys(model.state)).toEqual(Object.keys(choices().state));
  });

  test("a view that is gone no longer listens", async () => {
    const gone = new AbortController();
    const third = new Selection(META, model as never, makePage(), gone.signal);
    gone.abort();
    first.toStage("decoder");
    await frame();
    expect(third.stage.value).toBe("encoder");
  });

  test("a view that is gone takes its hovering with it", () => {
    const [page, gone] = [makePage(), new AbortController()];
    const stays = new Selection(META, model as never, page, new AbortController().signal);
    new Selection(META, model as never, page, gone.signal).hover({ query: 1, key: null });
    expect(stays.hovered.value.query).toBe(1);
    gone.abort();
    expect(stays.hovered.value.query).toBeNull();
  });

  test("half of a change is never seen", async () => {
    const seen: string[] = [];
    second.current.subscribe((stage) => seen.push(`${stage.name} ${second.layer.peek()}`));
    first.toLayer(2);
    await frame();
    first.toStage("decoder");
    await frame();
    expect(seen).toEqual(["encoder 0", "decoder 1"]);
  });
});

describe("heads", () => {
  test("a click toggles, isolating shows one, isolating again restores", () => {
    first.toggleHead(1);
    expect(first.heads.value).toEqual([0, 2, 3]);
    first.isolateHead(2);
    expect(first.heads.value).toEqual([2]);
    first.isolateHead(2);
    expect(first.heads.value).toEqual([0, 2, 3]);
  });

  test("walking goes round, from several to one", () => {
    first.walkHeads(1);
    expect(first.heads.value).toEqual([0]);
    first.walkHeads(-1);
    expect(first.heads.value).toEqual([3]);
    first.walkHeads(1);
    expect(first.heads.value).toEqual([0]);
  });

  test("all stays all, and a missing head is dropped, where the next layer has fewer", () => {
    first.toStage("decoder");
    first.toLayer(1);
    expect(first.heads.value).toEqual([0, 1]);
    first.toLayer(0);
    expect(first.heads.value).toEqual([0, 1, 2, 3]);
    first.choose({ heads: [1, 3] });
    first.toLayer(1);
    expect(first.heads.value).toEqual([1]);
  });
});

test("layers end where they end", () => {
  first.toLayer(99);
  expect(first.layer.value).toBe(2);
  first.toStage("cross");
  expect(first.layer.value).toBe(1);
  first.toLayer(-1);
  expect(first.layer.value).toBe(0);
});

test("the hovered token comes before the pinned one", () => {
  first.togglePin("key", 0);
  first.hover({ query: 1, key: 2 });
  expect(first.focus.value).toEqual({ query: 1, key: 2 });
  first.hover({ query: null, key: null });
  expect(first.focus.value).toEqual({ query: null, key: 0 });
  expect(first.unpin()).toBe(true);
  expect(first.unpin()).toBe(false);
});

describe("marked tokens", () => {
  test("are in every view, in order and once, and the other side keeps its own", async () => {
    first.mark("encoder", [2, 0, 2]);
    first.mark("decoder", [1]);
    await frame();
    expect(second.marked.value).toEqual({ encoder: [0, 2], decoder: [1] });
    second.mark("encoder", []);
    await frame();
    expect(first.marked.value).toEqual({ decoder: [1] });
  });

  test("are let go after the pin, and then there is nothing to let go", () => {
    first.togglePin("key", 0);
    first.mark("encoder", [1]);
    expect(first.letGo()).toBe(true);
    expect([first.pinned.value.key, first.marked.value]).toEqual([null, { encoder: [1] }]);
    expect(first.letGo()).toBe(true);
    expect(first.marked.value).toEqual({});
    expect(first.letGo()).toBe(false);
  });
});

// The same table as in tests/unit/test_views.py: both sides carry pins alike.
test.each([
  ["encoder", "cross", { query: 1, key: null }, { query: null, key: 1 }],
  ["decoder", "cross", { query: 1, key: 0 }, { query: 1, key: null }],
  ["cross", "decoder", { query: 1, key: 2 }, { query: 1, key: null }],
  ["cross", "encoder", { query: 1, key: 2 }, { query: null, key: 2 }],
  ["encoder", "decoder", { query: 1, key: 2 }, { query: null, key: null }],
])("a pin stays on its token from %s to %s", (from, to, pinned, carried) => {
  expect(carryPins(pinned, stageNamed(META, from), stageNamed(META, to))).toEqual(carried);
});
