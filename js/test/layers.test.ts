import { afterEach, beforeEach, expect, test } from "vitest";
import layers from "../src/views/layers";
import { FakeModel, frame, META } from "./fakes";

let gone: AbortController;
let model: FakeModel;
let root: HTMLElement;
beforeEach(async () => {
  gone = new AbortController();
  const tabs = [
    ["trajectories", "Trajectories", ""],
    ["neurons", "Neurons", "no units were found"],
    ["direct", "Direct logits", ""],
  ];
  model = new FakeModel({
    stage: "encoder",
    layer: 0,
    heads: [0, 1, 2, 3],
    pinned: { query: null, key: null },
    marked: {},
    selection: "",
    meta: { ...META, tabs, depth: { encoder: 4, decoder: 3 } },
    tab: "direct",
    hidden_layer: 1,
    busy: "",
    share: null,
    detail: "layer",
    answer: null,
    against: null,
    projection: "pca",
    plane: "1 × 2",
    extent: "paths",
    marking: true,
  });
  const el = document.createElement("div");
  document.body.append(el);
  await layers.render({ model: model as never, el, host: undefined as never, signal: gone.signal } as never);
  root = el.shadowRoot?.querySelector(".jtviz") as HTMLElement;
  await frame();
});
afterEach(() => gone.abort());

const slider = (): HTMLElement => root.querySelector('[role="slider"]') as HTMLElement;
const key = (on: HTMLElement, name: string): void => {
  on.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, composed: true }));
};
const tabs = (): HTMLElement[] => [...root.querySelectorAll<HTMLElement>('[role="tab"]')];

test("a step of the slider goes to Python; a layer chosen elsewhere is followed without telling Python", async () => {
  const saved = model.saved;
  key(slider(), "ArrowRight");
  expect([model.get("hidden_layer"), model.get("layer")]).toEqual([2, 1]);
  expect(model.saved).toBeGreaterThan(saved);
  const before = model.saved;
  model.set("layer", 2);
  await frame();
  expect(model.get("hidden_layer")).toBe(3);
  expect(slider().getAttribute("aria-valuetext")).toBe("after layer 2");
  expect(model.saved).toBe(before);
});

test("what enters the first layer is shown until a layer is chosen elsewhere", async () => {
  key(slider(), "End");
  key(slider(), "Home");
  expect([model.get("hidden_layer"), model.get("layer")]).toEqual([0, 0]);
  await frame();
  expect(slider().getAttribute("aria-valuetext")).toBe("what enters layer 0");
  model.set("layer", 1);
  await frame();
  expect(slider().getAttribute("aria-valuetext")).toBe("after layer 1");
});

test("of the two layers of the stream that belong to layer 0, the one chosen last is shown", async () => {
  const there = async (layer: number): Promise<string | null> => {
    model.set("layer", layer);
    await frame();
    return slider().getAttribute("aria-valuetext");
  };
  key(slider(), "Home");
  expect(await there(2)).toBe("after layer 2");
  expect(await there(0)).toBe("what enters layer 0");
  key(slider(), "ArrowRight");
  expect([await there(2), await there(0)]).toEqual(["after layer 2", "after layer 0"]);
  model.set("hidden_layer", 0); // by Python
  expect([await there(1), await there(0)]).toEqual(["after layer 1", "what enters layer 0"]);
});

test("tabs are walked with the arrows, over those that cannot be had, and opened by a press", async () => {
  const [first, lacking, last] = tabs() as [HTMLElement, HTMLElement, HTMLElement];
  expect(tabs().map((tab) => tab.tabIndex)).toEqual([-1, -1, 0]);
  expect(lacking.getAttribute("aria-disabled")).toBe("true");
  last.focus();
  key(last, "ArrowRight");
  const focused = (): Element | null => (root.getRootNode() as ShadowRoot).activeElement;
  expect(focused()).toBe(first);
  key(first, "ArrowRight");
  expect(focused()).toBe(lacking);
  expect(lacking.getAttribute("aria-description")).toBe("no units were found");
  // Opened, it says why.
  lacking.click();
  await frame();
  const body = root.querySelector('[role="tabpanel"]') as HTMLElement;
  expect([model.get("tab"), body.textContent]).toEqual(["neurons", "no units were found"]);
  last.click();
  lacking.focus();
  key(lacking, "Home");
  expect(focused()).toBe(first);
  expect([model.get("tab"), model.get("hidden_layer")]).toEqual(["direct", 1]);
  first.click();
  await frame();
  expect(tabs().map((tab) => tab.tabIndex)).toEqual([0, -1, -1]);
  expect(first.getAttribute("aria-controls")).toBe(body.id);
});
