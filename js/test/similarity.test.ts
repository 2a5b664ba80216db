import { computed, signal } from "@preact/signals-core";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { rampOf } from "../src/core/colour";
import { makePage } from "../src/core/page";
import { Selection } from "../src/core/selection";
import type { Theme } from "../src/core/theme";
import { Questions } from "../src/layers/questions";
import type { Scene } from "../src/layers/scene";
import { similarity } from "../src/layers/similarity";
import { choices, FakeModel, frame, META } from "./fakes";

type Asked = Record<string, unknown> & { op: string };

const numbers = (values: readonly number[]): DataView => new DataView(Float32Array.from(values).buffer);

/** What the kernel would say: a matrix whose value at row r, column c is (r + c / 10) / 5. */
function answer(asked: Asked): { reply: object; buffers: DataView[] } {
  if (asked.op === "nearest") {
    if (asked["token"] === 2) return { reply: { tokens: [], values: [], mean: 0 }, buffers: [] };
    return { reply: { tokens: [1, 0], values: [0.75, -0.25], mean: 0.8 }, buffers: [] };
  }
  const { rows, columns, exact } = asked as unknown as Record<string, [number, number]> & { exact?: true };
  const [[top, bottom], [left, right]] = [rows ?? [0, 0], columns ?? [0, 0]];
  const shape = [bottom - top, right - left];
  const about = { rows, columns, shape, pool: [1, 1], unit: 1, tokens: 3, few: "These are few." };
  const values = Array.from({ length: (shape[0] ?? 0) * (shape[1] ?? 0) }, (_, i) => {
    const [row, column] = [top + Math.floor(i / (shape[1] ?? 1)), left + (i % (shape[1] ?? 1))];
    return (row + column / 10) / 5;
  });
  const block = new DataView(new Uint16Array(values.length).buffer);
  return { reply: about, buffers: [exact ? numbers(values) : block] };
}

let gone: AbortController;
let asked: Asked[];
let scene: Scene;
let model: FakeModel;
let panel: HTMLElement;

beforeEach(async () => {
  // No canvas in this browser: what is drawn is for the tests in a real one.
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(null);
  vi.stubGlobal("requestAnimationFrame", () => 1);
  gone = new AbortController();
  asked = [];
  model = new FakeModel({ ...choices().state, compared: "tokens", centred: false });
  const selection = new Selection(META, model as never, makePage(), gone.signal);
  const theme = signal<Theme>({ background: [255, 255, 255], ink: [0, 0, 0], dark: false });
  const layer = signal(1);
  scene = {
    meta: { ...META, tabs: [], depth: { encoder: 4, decoder: 3 }, width: {} },
    selection,
    theme,
    ramp: computed(() => rampOf(theme.value.background, null, false)),
    width: signal(600),
    side: computed(() => selection.current.value.query),
    layer,
    depth: signal(4),
    toLayer: (to) => {
      layer.value = to;
    },
    questions: new Questions({
      ask: (question: Asked) => {
        asked.push(question);
        return Promise.resolve(answer(question));
      },
    } as never),
    traits: model as never,
  };
  panel = similarity(scene, gone.signal);
  document.body.replaceChildren(panel);
  await frame();
});
afterEach(() => {
  gone.abort();
  vi.unstubAllGlobals();
});

const last = (op: string): Asked | undefined => asked.filter((one) => one.op === op).at(-1);
const click = (name: string): void => {
  const found = [...panel.querySelectorAll("button")].find((button) => button.textContent === name);
  if (!found) throw new Error(`there is no button ${name}`);
  found.click();
};
const status = (): string => panel.querySelector("[role=status]")?.textContent ?? "";

describe("the panel of similarity", () => {
  test("asks for the pairs of the layer shown, and again for another layer, side and centring", async () => {
    const whole = { rows: [0, 3], columns: [0, 3], most: [3, 3] };
    expect(asked.find(({ op }) => op === "similar")).toEqual({
      op: "similar",
      side: "encoder",
      layer: 1,
      centred: false,
      ...whole,
    });
    scene.toLayer(3);
    await frame();
    expect(last("similar")).toMatchObject({ layer: 3, centred: false });
    const box = panel.querySelector("input");
    box?.click();
    await frame();
    expect(last("similar")).toMatchObject({ layer: 3, centred: true });
    expect(last("nearest")).toMatchObject({ layer: 3, centred: true });
    expect(model.state["centred"]).toBe(true);
    scene.selection.toStage("decoder");
    await frame();
    expect(last("similar")).toMatchObject({ side: "decoder", rows: [0, 2], columns: [0, 2] });
  });

  test("lists the tokens most like the one in focus, as text, and pins the one that is clicked", async () => {
    expect(last("nearest")).toMatchObject({ side: "encoder", layer: 1, token: 0 });
    const list = panel.querySelector(".near");
    expect(list?.textContent).toBe("Most like 0 tea:<b>x</b>0.750tea−0.250");
    expect(list?.querySelector("b")).toBe(null);
    expect(panel.textContent).toContain("mean over all pairs of tokens 0.800; all look alike");
    list?.querySelector<HTMLElement>("[data-token='1']")?.click();
    await frame();
    expect(scene.selection.pinned.peek()).toEqual({ query: 1, key: null });
    expect(last("nearest")).toMatchObject({ token: 1 });
    // A single token is like none, and no mean of no pairs is made up.
    model.set("pinned", { query: 2, key: null });
    await frame();
    expect(panel.querySelector(".near")?.textContent).toBe(
      "a single token: there is none to compare it with",
    );
    expect(panel.textContent).not.toContain("mean over all pairs");
  });

  test("says both tokens and the number to the last digit", async () => {
    const canvas = panel.querySelector("canvas");
    const key = (name: string): void => {
      canvas?.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
    };
    key("ArrowDown");
    key("ArrowDown");
    key("ArrowRight");
    await frame();
    expect(status()).toMatch(/^1 <b>x<\/b> and 1 <b>x<\/b> · cosine similarity 0\.220$/);
    expect(scene.selection.hovered.peek().query).toBe(1);
    key("Enter");
    await frame();
    expect(scene.selection.pinned.peek().query).toBe(1);
  });

  test("compares the token in focus with itself across layers, and shows the layer that is clicked", async () => {
    click("One token across layers");
    await frame();
    expect(model.state["compared"]).toBe("itself");
    expect(asked.find(({ op }) => op === "itself")).toMatchObject({
      side: "encoder",
      token: 0,
      centred: false,
      rows: [0, 4],
    });
    panel.querySelector<HTMLElement>(".flow [data-token='2']")?.click();
    await frame();
    expect(asked.find(({ op, token }) => op === "itself" && token === 2)).toBeDefined();
    const canvas = panel.querySelector("canvas");
    for (const name of ["ArrowDown", "ArrowDown", "Enter"]) {
      canvas?.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
    }
    await frame();
    expect(scene.layer.peek()).toBe(3);
  });

  test("aligns layers, says over how many tokens and what so few make of it", async () => {
    click("Layers");
    await frame();
    expect(asked.find(({ op }) => op === "aligned")).toEqual({
      op: "aligned",
      side: "encoder",
      rows: [0, 4],
      columns: [0, 4],
      most: [4, 4],
    });
    expect(panel.textContent).toContain("Over the 3 tokens of this text. These are few.");
    expect(panel.textContent).toContain("cka(read(a, texts), read(b, texts))");
    expect(panel.querySelector("input")?.disabled).toBe(true);
    const before = asked.length;
    scene.toLayer(2);
    await frame();
    // Another layer is another frame around a row; nothing is asked of its tokens any more.
    expect(asked.slice(before).filter(({ op }) => op !== "aligned")).toEqual([]);
  });
});
