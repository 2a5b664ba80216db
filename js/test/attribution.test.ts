import { signal } from "@preact/signals-core";
import { beforeEach, describe, expect, test } from "vitest";
import { gauge } from "../src/attribution/gauge";
import { outputs } from "../src/attribution/outputs";
import { choosePart, hover, isAt, type Scene, Scores, togglePin } from "../src/attribution/scene";
import { listen, strip } from "../src/attribution/strip";
import { trust } from "../src/attribution/trust";
import type { AttributionMeta, Part, Trusted } from "../src/attribution/types";
import { axisOf } from "../src/core/axis";
import { makePage, type Page } from "../src/core/page";
import { Selection } from "../src/core/selection";
import { choices, FakeModel, META } from "./fakes";

const abort = new AbortController().signal;
const meta: AttributionMeta = {
  ...META,
  sides: {
    encoder: {
      text: ["tea", "<b>x</b>", "</s>"],
      special: [2],
      gap: [1],
      words: [0, 2],
      names: { 0: "teax" },
    },
    decoder: { text: ["<s>", "茶"], special: [0], gap: [1], words: null, names: {} },
  },
  methods: [["integrated_gradients", "integrated gradients", "the gradient added up", true]],
  baselines: ["pad", "zero"],
  title: "",
  can_check: true,
};
const part = (change: Partial<Part> = {}): Part => ({
  name: "茶",
  words: "logit of 茶",
  value: 3,
  probability: 0.9,
  row: 0,
  method: "integrated_gradients",
  baseline: "pad",
  baseline_value: 1,
  n_steps: 50,
  delta: 0.02,
  relative_delta: 0.01,
  is_complete: true,
  is_signed: true,
  notes: [],
  layers: [0, 0],
  ...change,
});
/** Numbers as a message has them: at an odd byte of a longer buffer. */
const bytes = (numbers: number[]): DataView => {
  const buffer = new Uint8Array(4 * numbers.length + 3);
  buffer.set(new Uint8Array(Float32Array.from(numbers).buffer), 3);
  return new DataView(buffer.buffer, 3);
};

let scene: Scene;
let page: Page;
let model: FakeModel;
function build(parts: Part[], numbers: number[]): Scores {
  page = makePage();
  model = choices();
  scene = {
    meta,
    selection: new Selection(meta, model as never, page, abort),
    theme: signal({ background: [255, 255, 255], ink: [0, 0, 0], dark: false }),
    width: signal(600),
    parts: signal(parts),
    bytes: signal(bytes(numbers)),
    part: signal(0),
    pointed: signal(null),
    span: signal(null),
    mode: signal("text"),
    layer: signal(0),
    unit: signal("token"),
    annotate: signal(false),
  };
  return new Scores(scene);
}

describe("scores", () => {
  test("lie side by side, part by part", () => {
    const scores = build([part(), part({ row: 1 })], [1, 2, 3, 4, 5, -6, 7, 8, 9, 10]);
    expect([...scores.of("encoder", 0)]).toEqual([1, 2, 3]);
    expect([...scores.of("decoder", 0)]).toEqual([4, 5]);
    expect([...scores.of("encoder", 1)]).toEqual([-6, 7, 8]);
    expect(scores.max.value).toBe(5);
    scene.part.value = 1;
    expect(scores.max.value).toBe(10);
    expect(scores.total()).toBe(40);
  });

  test("are summed into words, signs and all", () => {
    const scores = build([part()], [1, -3, 2, 4, 5]);
    scene.unit.value = "word";
    expect([...scores.of("encoder", 0)]).toEqual([-2, 2]);
    expect([...scores.of("decoder", 0)]).toEqual([4, 5]);
  });

  test("by layer are those of the layer chosen", () => {
    const scores = build([part({ layers: [2, 0] })], [1, 2, 3, 4, 5, 6, 7, 8]);
    expect([...scores.of("encoder", 0)]).toEqual([1, 2, 3]);
    scene.layer.value = 1;
    expect([...scores.of("encoder", 0)]).toEqual([4, 5, 6]);
    expect([...scores.of("decoder", 0)]).toEqual([7, 8]);
    scene.layer.value = 9;
    expect([...scores.of("encoder", 0)]).toEqual([4, 5, 6]);
  });
});

describe("linking", () => {
  beforeEach(() => {
    build([part({ row: 0 }), part({ row: 1 })], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test("a token that is hovered is a key of the stage shown, where it can be one", () => {
    hover(scene, { side: "encoder", index: 1 });
    expect(page.hovered.value).toEqual({ query: null, key: 1 });
    expect(isAt(scene, page.hovered.value, "encoder", axisOf(meta.sides["encoder"], "token"), 1)).toBe(true);
    expect(isAt(scene, page.hovered.value, "decoder", axisOf(meta.sides["decoder"], "token"), 1)).toBe(false);
    hover(scene, { side: "decoder", index: 1 });
    expect(page.hovered.value).toEqual({ query: null, key: null });
    scene.selection.toStage("cross");
    hover(scene, { side: "decoder", index: 1 });
    expect(page.hovered.value).toEqual({ query: 1, key: null });
  });

  test("a pin goes on and off", () => {
    togglePin(scene, { side: "encoder", index: 2 });
    expect(scene.selection.pinned.value.key).toBe(2);
    togglePin(scene, { side: "encoder", index: 2 });
    expect(scene.selection.pinned.value.key).toBe(null);
  });

  test("an output that is chosen pins the row that predicts it, where rows are looked from", () => {
    choosePart(scene, 1);
    expect(scene.selection.stage.value).toBe("cross");
    expect(scene.selection.pinned.value).toEqual({ query: 1, key: null });
    expect(scene.part.value).toBe(1);
  });

  test("a row that is pinned elsewhere is the output that is shown", () => {
    const node = outputs(scene, abort);
    scene.selection.choose({ stage: "decoder", pinned: { query: 1, key: null } });
    expect(scene.part.value).toBe(1);
    const pressed = [...node.querySelectorAll("button")].map((b) => b.getAttribute("aria-pressed"));
    expect(pressed).toEqual(["false", "true"]);
  });

  test("pointing at an output shows it, leaving shows the chosen one again", () => {
    const node = outputs(scene, abort);
    const flow = node.querySelector("[role=group]") as HTMLElement;
    flow.querySelectorAll("button")[1]?.dispatchEvent(new Event("pointerover", { bubbles: true }));
    expect([scene.pointed.value, scene.part.value]).toEqual([1, 0]);
    flow.dispatchEvent(new Event("pointerleave"));
    expect(scene.pointed.value).toBe(null);
    // What is hovered is nobody's business but the page's.
    expect(model.saved).toBe(0);
  });

  test("a shift-click takes several outputs together: scores and sums are added", () => {
    const scores = build([part({ row: 0 }), part({ row: 1, value: 5 })], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const node = outputs(scene, abort);
    const [, second] = [...node.querySelectorAll("button")];
    second?.dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }));
    expect(scene.span.value).toEqual([0, 2]);
    expect([...scores.shown("encoder")]).toEqual([7, 9, 11]);
    const shown = scores.part.value;
    expect([shown?.name, shown?.words, shown?.value]).toEqual(["茶茶", "logit of 茶 + 茶", 8]);
    expect(shown?.delta).toBeCloseTo(0.04);
    expect(shown?.relative_delta).toBeCloseTo(0.04 / 6);
    second?.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    expect([scene.span.value, scene.part.value]).toEqual([null, 1]);
  });

  test("sizes without a sign are not added up", () => {
    build([part({ is_signed: false }), part({ is_signed: false })], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const node = outputs(scene, abort);
    const [, second] = [...node.querySelectorAll("button")];
    second?.dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }));
    expect(scene.span.value).toBe(null);
  });
});

describe("the strip", () => {
  test("has text as text, a colour for its score, and its number on request", () => {
    const scores = build([part()], [2, -1, 0, 0, 0]);
    const node = strip(scene, scores, "encoder", abort);
    const buttons = [...node.querySelectorAll("button")];
    expect(buttons.map((b) => b.firstChild?.textContent)).toEqual(["tea", "<b>x</b>", "</s>"]);
    expect(node.querySelector("b")).toBe(null);
    const shades = buttons.map((b) => b.style.getPropertyValue("--shade"));
    expect(shades[2]).toBe("rgb(255 255 255)");
    expect(new Set(shades).size).toBe(3);
    expect(buttons[1]?.lastChild?.textContent).toBe("");
    scene.annotate.value = true;
    expect(buttons[1]?.lastChild?.textContent).toBe("−1.000");
  });

  test("pins the first token of a word", () => {
    const scores = build([part()], [2, -1, 0, 0, 0]);
    scene.unit.value = "word";
    const root = document.createElement("div");
    root.append(strip(scene, scores, "encoder", abort));
    listen(root, scene, scores, abort);
    root.querySelectorAll("button")[1]?.click();
    expect(scene.selection.pinned.value.key).toBe(2);
  });
});

test("a word is marked with any of its tokens", () => {
  const scores = build([part()], [2, -1, 0, 0, 0]);
  scene.unit.value = "word";
  const buttons = [...strip(scene, scores, "encoder", abort).querySelectorAll("button")];
  scene.selection.mark("encoder", [1]);
  expect(buttons.map((button) => "marked" in button.dataset)).toEqual([true, false]);
});

describe("how far to trust it", () => {
  test("says how far the sum is off, and never hides that it is", () => {
    const bad = { is_complete: false, delta: 1, relative_delta: 0.5, notes: ["trust them less"] };
    const scores = build([part(), part(bad), part({ delta: null, relative_delta: null })], Array(15).fill(0));
    const node = gauge(scores, abort);
    const line = node.querySelector("[role=group]") as HTMLElement;
    expect(line.textContent).toContain("✓ scores sum to 2.020 of 2.000");
    expect(line.dataset["state"]).toBe("good");
    scene.part.value = 1;
    expect(line.textContent).toContain("⚠ scores sum to 3.000 of 2.000");
    expect(line.dataset["state"]).toBe("bad");
    expect(node.querySelector("ul")?.textContent).toBe("trust them less");
    scene.part.value = 2;
    expect(line.hidden).toBe(false);
    expect(line.textContent).toContain("promises no sum");
  });

  test("a part that was not checked can be, and a bad verdict is marked", () => {
    build([part()], [1, 2, 3, 4, 5]);
    const found = signal<Record<string, Trusted>>({});
    const fake = new FakeModel({});
    const node = trust(scene, found, fake as never, abort);
    const [ask, compare] = [...node.querySelectorAll("button")];
    ask?.click();
    expect(fake.sent).toEqual([{ op: "trust", part: 0 }]);
    const table = { title: "t", columns: ["a"], rows: [["r", 0.256, null]], digits: 2 } as never;
    found.value = {
      0: { doubtful: true, verdict: "worse than random", sentences: ["s"], tables: [table], compared: false },
    };
    expect(ask?.hidden).toBe(true);
    expect(node.querySelector("[role=group]")?.textContent).toContain("⚠ worse than random");
    expect([...node.querySelectorAll("td")].map((cell) => cell.textContent)).toEqual(["", "0.26", "–"]);
    compare?.click();
    expect(fake.sent.at(-1)).toEqual({ op: "trust", part: 0, compare: true });
  });
});
