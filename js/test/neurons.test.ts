import { computed, signal } from "@preact/signals-core";
import { beforeEach, describe, expect, test } from "vitest";
import { css, headColour, rampOf } from "../src/core/colour";
import { makePage } from "../src/core/page";
import { Requests } from "../src/core/requests";
import { Selection } from "../src/core/selection";
import { neurons } from "../src/layers/neurons";
import { blend, strongest, topTokens } from "../src/layers/neurons-patterns";
import { directionOf } from "../src/layers/neurons-tokens";
import { Questions } from "../src/layers/questions";
import type { Scene } from "../src/layers/scene";
import { choices, FakeModel, frame, META } from "./fakes";

const abort = new AbortController().signal;
const white = [255, 255, 255] as const;
const meta = { ...META, title: "", tabs: [], depth: { encoder: 4, decoder: 3 } };

/** Numbers as a message has them: at an odd byte of a longer buffer. */
const bytes = (...numbers: number[]): DataView => {
  const buffer = new Uint8Array(4 * numbers.length + 3);
  buffer.set(new Uint8Array(Float32Array.from(numbers).buffer), 3);
  return new DataView(buffer.buffer, 3);
};

let model: FakeModel;
let scene: Scene;
const layer = signal(0);

function build(): HTMLElement {
  model = new FakeModel({ neurons: "units", unit: null, components: 2 });
  const selection = new Selection(meta as never, choices() as never, makePage(), abort);
  layer.value = 1;
  scene = {
    meta: meta as never,
    selection,
    theme: signal({ background: white, ink: [0, 0, 0], dark: false }),
    ramp: signal(rampOf(white, null, false)),
    width: signal(600),
    side: computed(() => selection.current.value.query),
    layer,
    depth: signal(4),
    toLayer: (to) => {
      layer.value = to;
    },
    questions: new Questions(new Requests(model as never)),
    traits: model as never,
  };
  return neurons(scene, abort);
}

const answered = new Set<string>();

/** Answer what was asked so far. */
async function answer(
  op: string,
  reply: (asked: Record<string, unknown>) => object,
  ...buffers: DataView[]
): Promise<void> {
  await frame();
  for (const message of model.sent.filter((one) => one.op === op && !answered.has(one.id))) {
    answered.add(message.id);
    const said = { id: message.id, ok: true, ...reply(message as never) };
    model.emit("msg:custom", said as never, buffers as never);
  }
  await frame();
}

const shadesOf = (node: HTMLElement): string[] =>
  [...node.querySelectorAll<HTMLElement>(".flow .token")].map((token) =>
    token.style.getPropertyValue("--shade"),
  );
const last = (op: string) => model.sent.filter((one) => one.op === op).at(-1) as never as object;
const units = (node: HTMLElement) => [...node.querySelectorAll<HTMLElement>("[data-unit]")];
const point = (type: string) => new Event(type, { bubbles: true });

describe("units", () => {
  let node: HTMLElement;
  beforeEach(async () => {
    node = build();
    await answer(
      "units",
      () => ({
        units: [
          [7, -2, 0.5],
          [3, 1, 0],
        ],
        total: 512,
      }),
      bytes(0, -2, -1, 0.5, 1, 0),
    );
  });

  test("are asked of the last token that is text, and of the block before the layer of the stream", () => {
    expect(last("units")).toMatchObject({ side: "encoder", layer: 0, token: 1 });
    layer.value = 0;
    expect(node.textContent).toContain("layer 0 of the encoder, the first there is");
  });

  test("shade the text, in one colour from nought up and in another from nought down", () => {
    const { colours, negative } = scene.ramp.value;
    const full = css(negative[255] ?? white);
    expect(shadesOf(node)).toEqual([css(white), full, css(negative[128] ?? white)]);
    units(node)[1]?.dispatchEvent(point("pointerover"));
    expect(shadesOf(node)).toEqual([css(colours[128] ?? white), css(colours[255] ?? white), css(white)]);
    units(node)[1]?.dispatchEvent(point("pointerout"));
    expect(shadesOf(node)[1]).toBe(full);
  });

  test("have bars from the middle where some go the other way", () => {
    const bars = [...node.querySelectorAll<HTMLElement>(".bar-fill")].map(({ style }) => [
      style.left,
      style.width,
    ]);
    expect(bars).toEqual([
      ["0%", "50%"],
      ["50%", "25%"],
    ]);
    expect(units(node)[0]?.getAttribute("aria-label")).toBe(
      "unit 7: −2.000, at least half as much at 50 % of the other tokens",
    );
  });

  test("are pinned by a click, and unpinned with their layer", async () => {
    units(node)[1]?.click();
    expect(model.state["unit"]).toBe(3);
    expect(units(node).map((one) => one.getAttribute("aria-pressed"))).toEqual(["false", "true"]);
    layer.value = 2;
    expect(model.state["unit"]).toBeNull();
    await frame();
    expect(last("units")).toMatchObject({ layer: 1 });
    // What is known is of another layer.
    expect(units(node)).toEqual([]);
    expect(shadesOf(node)).toEqual(["transparent", "transparent", "transparent"]);
  });

  test("that are none of the strongest are shown below them", async () => {
    model.set("unit", 40);
    await answer("unit", () => ({}), bytes(0, 0.5, 0));
    expect(units(node).map((one) => one.dataset["unit"])).toEqual(["7", "3", "40"]);
    expect(shadesOf(node)[1]).toBe(css(scene.ramp.value.colours[255] ?? white));
  });

  test("have the tokens that set them off, as text, which are pinned by a click", async () => {
    await answer("strongest", () => ({
      texts: 0,
      seconds: 0,
      n: 2,
      rows: [[-2, 0, 1, "<b>x</b>", "te\na", ""]],
    }));
    const [row] = node.querySelectorAll<HTMLElement>(".found");
    expect(row?.textContent).toBe("−2.000te⏎a<b>x</b>");
    expect(row?.querySelector("b")).toBeNull();
    expect(node.textContent).toContain("of 2 tokens, without special ones, in this text; give texts=[…]");
    row?.click();
    expect(scene.selection.pinned.value.query).toBe(1);
  });

  test("that nothing sets off say so", async () => {
    await answer("strongest", () => ({ texts: 3, seconds: 0, rows: [], n: 22 }));
    expect(node.textContent).toContain("nothing sets it off: it is nought at all 22 tokens, without special");
  });

  test("are looked for in many texts when a button is pressed, once for all units", async () => {
    await answer("strongest", () => ({ texts: 300, seconds: 130, rows: [], n: 0 }));
    const button = [...node.querySelectorAll<HTMLElement>(".press")].find((one) => !one.hidden);
    expect(button?.textContent).toBe("search 300 texts (about 2 min)");
    expect(last("strongest")).toMatchObject({ unit: 7, search: false });
    button?.click();
    await frame();
    expect(last("strongest")).toMatchObject({ unit: 7, search: true });
    await answer("strongest", () => ({
      texts: 300,
      seconds: 0,
      n: 900,
      rows: [[1, 12, 4, "tea", "I like ", "."]],
    }));
    expect(button?.hidden).toBe(true);
    expect(node.querySelector(".found")?.textContent).toBe("1.000I like tea.text 12");
    units(node)[1]?.click();
    await frame();
    expect(last("strongest")).toMatchObject({ unit: 3, search: true });
  });
});

describe("patterns", () => {
  let node: HTMLElement;
  const blue = headColour(0, false);
  const orange = headColour(1, false);
  beforeEach(async () => {
    node = build();
    model.set("neurons", "patterns");
    await answer(
      "factors",
      () => ({ units: [[5, 6], [8]], left_out: 0.234, converged: false, steps: 200 }),
      bytes(1, 0.5, 0, 0, 0.75, 1),
    );
  });

  test("colour each token by its strongest one, as deep as there is of it", () => {
    expect(shadesOf(node)).toEqual([
      css(blend(white, blue, 1)),
      css(blend(white, orange, 0.75)),
      css(blend(white, orange, 1)),
    ]);
    expect([...node.querySelectorAll(".flow small")].map((note) => note.textContent)).toEqual([
      "0",
      "1",
      "1",
    ]);
    expect(blend(white, blue, 0)).toEqual(white);
    expect(blend(white, blue, 1)).toEqual(blue);
  });

  test("are isolated while they are pointed at, and kept by a click", () => {
    const [first, second] = node.querySelectorAll<HTMLElement>("[data-pattern]");
    first?.dispatchEvent(point("pointerover"));
    const alone = [css(blue), css(blend(white, blue, 0.5)), css(white)];
    expect(shadesOf(node)).toEqual(alone);
    first?.click();
    first?.dispatchEvent(point("pointerout"));
    expect(shadesOf(node)).toEqual(alone);
    expect(first?.getAttribute("aria-pressed")).toBe("true");
    expect(second?.getAttribute("aria-label")).toBe("Pattern 1, most in </s> · <b>x</b>");
  });

  test("say what they leave out, and when the solver had not arrived", () => {
    expect(node.textContent).toContain("these 2 patterns leave out 23 % of them");
    expect(node.textContent).toContain("The solver had not arrived after 200 steps");
  });

  test("are looked for anew when the slider rests; there are no more of them than tokens", async () => {
    const slider = node.querySelector('[aria-label="Patterns"][role=slider]');
    expect(slider?.getAttribute("aria-valuemax")).toBe("2");
    const before = model.sent.length;
    for (const key of ["ArrowLeft", "ArrowRight", "ArrowRight", "ArrowRight"]) {
      slider?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    }
    expect(model.state["components"]).toBe(3);
    await frame();
    expect(model.sent.length).toBe(before);
    await new Promise((done) => setTimeout(done, 300));
    expect(model.sent.slice(before)).toMatchObject([{ op: "factors", components: 3 }]);
    expect(layer.value).toBe(1);
  });

  test("lead to their units", () => {
    node.querySelector<HTMLElement>('[aria-label="Look at unit 6"]')?.click();
    expect([model.state["unit"], model.state["neurons"]]).toEqual([6, "units"]);
  });
});

test("the strongest pattern of a token is the first of equals, and words are named once", () => {
  const weights = [Float32Array.of(0.2, 0.5, 0), Float32Array.of(0.4, 0.5, 0)];
  expect([...strongest(weights, 3)]).toEqual([1, 0, 0]);
  expect(topTokens(Float32Array.of(0.5, 0.9, 0.01, 0.6), ["tea", "milk", "no", "tea"])).toBe("milk · tea");
});

test("an excerpt is read the way most of its letters are, whatever it begins with", () => {
  expect(directionOf("שלום مرحبا internationalisation")).toBe("ltr");
  expect(directionOf("GPT קורא את המשפט")).toBe("rtl");
  expect(directionOf("车站 12 😀")).toBe("ltr");
  expect(directionOf("")).toBe("ltr");
});
