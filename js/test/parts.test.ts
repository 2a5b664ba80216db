import { beforeEach, describe, expect, test } from "vitest";
import { colourAt, headColour, rampOf, toLab, toRgb } from "../src/core/colour";
import { makePage } from "../src/core/page";
import { shadeOf, tableOf } from "../src/core/scale";
import { Selection } from "../src/core/selection";
import { Tiles } from "../src/core/tiles";
import type { Check, Stage } from "../src/core/types";
import { number, status } from "../src/core/words";
import { checkBadge } from "../src/parts/badge";
import { layerSlider, stageTabs } from "../src/parts/controls";
import { headSelector } from "../src/parts/heads";
import { listenToTokens, TokenList } from "../src/parts/tokens";
import { choices, FakeModel, META, put, sceneOf, shownOf } from "./fakes";

const abort = new AbortController().signal;
let selection: Selection;

beforeEach(() => {
  selection = new Selection(META, choices() as never, makePage(), abort);
});

describe("the truth check", () => {
  const layer = (check: Partial<Check>) => {
    const [encoder] = META.stages as [Stage];
    const checks = [{ difference: 3e-7, tolerance: 1e-4, sums: [1, 1], ...check } as Check];
    const meta = { ...META, stages: [{ ...encoder, checks }] };
    return checkBadge(new Selection(meta, choices() as never, makePage(), abort), abort);
  };

  test("is a badge that says more when pressed", () => {
    const { badge, more, sums } = layer({});
    expect(badge.textContent).toBe("✓ checked");
    expect([badge.getAttribute("aria-expanded"), more.hidden, sums.hidden]).toEqual(["false", true, true]);
    badge.click();
    expect([badge.getAttribute("aria-expanded"), more.hidden]).toEqual(["true", false]);
    expect(more.textContent).toContain("differ from the model’s own output by at most 3e−7");
  });

  test("is not claimed for attention computed elsewhere", () => {
    const { badge, more } = layer({ difference: null });
    expect(badge.textContent).toBe("not checked");
    expect(more.textContent).toContain("computed elsewhere");
  });

  test("says what rows sum to where that is not one", () => {
    expect(layer({ sums: [0.624, 0.98] }).sums.textContent).toBe(
      "each row sums to 0.62–0.98; the rest looks at no token (a sink)",
    );
    expect(layer({ sums: [1, 2.1] }).sums.textContent).toBe("each row sums to 1.00–2.10, not to 1");
  });
});

describe("accessible names and states", () => {
  test("heads are named buttons with a state", () => {
    const scene = sceneOf(choices(), abort);
    const node = headSelector(scene, abort);
    const heads = [...node.querySelectorAll("[data-head]")];
    expect(heads.map((head) => head.getAttribute("aria-label"))).toEqual([
      "Head 0",
      "Head 1",
      "Head 2",
      "Head 3",
    ]);
    scene.selection.isolateHead(1);
    expect(heads.map((head) => head.getAttribute("aria-pressed"))).toEqual([
      "false",
      "true",
      "false",
      "false",
    ]);
  });

  test("two double clicks in a row isolate and restore", () => {
    const scene = sceneOf(choices(), abort);
    const { selection } = scene;
    const head = headSelector(scene, abort).querySelector("[data-head='1']");
    selection.choose({ heads: [0, 1, 3] });
    const click = (type: string, detail: number) =>
      head?.dispatchEvent(new MouseEvent(type, { bubbles: true, detail }));
    click("click", 1);
    click("click", 2);
    click("dblclick", 2);
    expect(selection.heads.value).toEqual([1]);
    click("click", 3);
    click("click", 4);
    click("dblclick", 4);
    expect(selection.heads.value).toEqual([0, 1, 3]);
  });

  test("the layer is a slider, the stages are tabs", () => {
    const slider = layerSlider(selection, abort).querySelector("[role=slider]");
    selection.toLayer(2);
    expect(slider?.getAttribute("aria-label")).toBe("Layer");
    expect(slider?.getAttribute("aria-valuenow")).toBe("2");
    expect(slider?.getAttribute("aria-valuemax")).toBe("2");
    const tabs = [...stageTabs(selection, abort).querySelectorAll("[role=tab]")];
    expect(tabs.map((tab) => tab.textContent)).toEqual(["Encoder", "Decoder", "Cross"]);
    expect(tabs.map((tab) => tab.getAttribute("aria-selected"))).toEqual(["true", "false", "false"]);
  });

  test("a token is shown as text, whatever it says, and says its state", () => {
    const scene = sceneOf(choices(), abort);
    const root = document.createElement("div");
    new TokenList(scene, "query", root, abort).show([0, 1, 2]);
    listenToTokens(root, scene, abort);
    const token = root.children[1] as HTMLElement;
    expect(token.textContent).toBe("<b>x</b>");
    expect(root.querySelector("b")).toBeNull();
    expect(token.dataset).toMatchObject({ side: "query", index: "1", state: "idle" });
    token.dispatchEvent(new Event("pointerover", { bubbles: true }));
    expect(token.dataset["state"]).toBe("hover");
    token.click();
    expect(token.dataset["state"]).toBe("pinned");
    expect(scene.selection.pinned.value).toEqual({ query: 1, key: null });
  });

  test("a marked token says so, whoever marked it, beside being pinned", () => {
    const scene = sceneOf(choices(), abort);
    const root = document.createElement("div");
    new TokenList(scene, "key", root, abort).show([0, 1, 2]);
    scene.selection.mark("encoder", [1]);
    scene.selection.mark("decoder", [0]);
    const marked = () => [...root.children].map((button) => button.getAttribute("aria-description"));
    expect(marked()).toEqual([null, "marked", null]);
    scene.selection.togglePin("key", 1);
    expect(root.children[1]?.getAttribute("data-state")).toBe("pinned");
    expect(root.children[1]?.getAttribute("data-marked")).toBe("");
    scene.selection.choose({ marked: {} });
    expect(marked()).toEqual([null, null, null]);
  });

  test("only tokens in sight have buttons, and those that stay are the same", () => {
    const list = new TokenList(sceneOf(choices(), abort), "key", document.createElement("div"), abort);
    list.show([0, 1]);
    const kept = list.buttons.get(1);
    list.show([1, 2]);
    expect([...list.buttons.keys()].sort()).toEqual([1, 2]);
    expect(list.buttons.get(1)).toBe(kept);
    expect([...list.node.children].map((node) => node.textContent)).toEqual(["<b>x</b>", "</s>"]);
  });
});

describe("colour", () => {
  test("zero is exactly the background", () => {
    const shade = shadeOf(tableOf("linear"), 0, 0.4);
    expect(colourAt(rampOf([17, 17, 17], 3, true), shade, 0)).toEqual([17, 17, 17]);
    expect(colourAt(rampOf([255, 255, 255], null, false), shade, 0)).toEqual([255, 255, 255]);
  });

  test("OKLab goes there and back", () => {
    expect(toRgb(toLab([12, 200, 99]))).toEqual([12, 200, 99]);
  });

  test.each([false, true])("twenty-four heads have twenty-four colours (dark: %s)", (dark) => {
    const labs = Array.from({ length: 24 }, (_, head) => toLab(headColour(head, dark)));
    for (const [i, a] of labs.entries()) {
      for (const b of labs.slice(i + 1)) {
        expect(Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2])).toBeGreaterThan(0.04);
      }
    }
  });
});

test("the status line gives the place, the token and the number", () => {
  const page = makePage();
  const tiles = new Tiles(META, new FakeModel({}) as never, page, abort);
  const data = new Float32Array(4 * 2 * 3);
  data.set([0.1, 0.07, 0.83], 2 * 3 + 0);
  put(page, "cross", 1, [4, 2, 3], data);
  selection.toStage("cross");
  selection.toLayer(1);
  selection.isolateHead(1);
  const line = (): string => status(selection, shownOf(tiles, "cross", 1, selection.heads.value));
  selection.hover({ query: 0, key: null });
  expect(line()).toBe("Cross · layer 1 · head 1 · reading <s>, predicting 茶 · looks most at </s> 0.830");
  selection.hover({ query: 0, key: 1 });
  expect(line()).toBe("Cross · layer 1 · head 1 · reading <s>, predicting 茶 · looks at <b>x</b> 0.0700");
  selection.hover({ query: null, key: 0 });
  expect(line()).toContain("tea is looked at most when reading <s>, predicting 茶 0.100");
});

test.each([
  [1, "1.000"],
  [0.83049, "0.830"],
  [0.0123456, "0.0123"],
  [0.002, "0.00200"],
  [0.00001, "< 0.0001"],
  [0, "0.000"],
])("the weight %d is written with three digits: %s", (weight, written) => {
  expect(number(weight)).toBe(written);
});
