import { afterEach, beforeEach, expect, test } from "vitest";
import { type Reply, type Step, scaleOf } from "../src/layers/direct-waterfall";
import layers from "../src/views/layers";
import { FakeModel, frame, META } from "./fakes";

const step = (change: Partial<Step>): Step => ({
  kind: "bias",
  name: "biases",
  value: 0,
  start: 0,
  stage: null,
  layer: null,
  head: null,
  count: 1,
  ...change,
});
const STEPS = [
  step({ kind: "embedding", name: "embedding · <b>x</b>", value: 1 }),
  step({ kind: "heads", name: "cross 1 · 4 heads", value: 2, start: 1, stage: "cross", layer: 1, count: 4 }),
  step({ kind: "feed_forward", name: "feed-forward 1", value: 3, start: 3, stage: "decoder", layer: 1 }),
  step({ value: -0.5, start: 6 }),
];
const REPLY: Reply = {
  row: 1,
  name: "</s>",
  against: null,
  value: 5.5,
  rest: -2e-7,
  notes: ["a note"],
  steps: STEPS,
  count: 4,
  candidates: [
    ["</s>", "</s>", 5.5],
    ["<7>", "茶", 4.25],
  ],
  predicts: null,
};
const UNITS = [
  step({ kind: "unit", name: "unit 5", value: 4, stage: "decoder", layer: 1, head: 5 }),
  step({ kind: "others", name: "the other 3 together", value: -1, start: 4, count: 3 }),
];

let gone: AbortController;
let model: FakeModel;
let root: HTMLElement;
beforeEach(async () => {
  gone = new AbortController();
  model = new FakeModel({
    stage: "encoder",
    layer: 0,
    heads: [0, 1, 2, 3],
    pinned: { query: null, key: null },
    marked: {},
    selection: "",
    meta: { ...META, title: "", tabs: [["direct", "Direct logits", ""]], depth: { encoder: 4, decoder: 3 } },
    tab: "direct",
    hidden_layer: 1,
    busy: "",
    share: null,
    detail: "layer",
    answer: null,
    against: null,
  });
  const el = document.createElement("div");
  document.body.append(el);
  await layers.render({ model: model as never, el, host: undefined as never, signal: gone.signal } as never);
  root = el.shadowRoot?.querySelector(".jtviz") as HTMLElement;
  await frame();
});
afterEach(() => gone.abort());

/** Answer the newest question. */
async function reply(with_: object): Promise<Record<string, unknown>> {
  const asked = model.sent.at(-1) as unknown as Record<string, unknown>;
  model.emit("msg:custom", { id: asked["id"], op: asked["op"], ok: true, ...with_ } as never, [] as never);
  await frame();
  return asked;
}
const rows = (): HTMLElement[] => [...root.querySelectorAll<HTMLElement>(".waterfall .step:not(.axis)")];
const named = (name: string): HTMLElement =>
  root.querySelector(`.waterfall [aria-label^="${name}"]`) as HTMLElement;
const waterfall = (): HTMLElement => root.querySelector(".waterfall") as HTMLElement;
const texts = (row: HTMLElement): string[] =>
  [...row.querySelectorAll(".number")].map((node) => node.textContent);
const bar = (row: HTMLElement): [number, number] => {
  const { left, width } = (row.querySelector(".adds") as HTMLElement).style;
  return [Number.parseFloat(left), Number.parseFloat(left) + Number.parseFloat(width)];
};

test("each bar starts where the one before ended, and the last is the logit from zero", async () => {
  const asked = await reply(REPLY);
  expect(asked).toMatchObject({ op: "direct", row: null, answer: null, against: null, by: "layer" });
  const bars = rows().map(bar);
  expect(bars).toHaveLength(5);
  expect(bars[1]?.[0]).toBeCloseTo(bars[0]?.[1] ?? 0, 2);
  expect(bars[2]?.[0]).toBeCloseTo(bars[1]?.[1] ?? 0, 2);
  // The bias goes back to where the total ends.
  expect(bars[3]?.[1]).toBeCloseTo(bars[2]?.[1] ?? 0, 2);
  expect(bars[4]?.[1]).toBeCloseTo(bars[3]?.[0] ?? 0, 2);
  expect(bars[4]?.[0]).toBeCloseTo(bars[0]?.[0] ?? 0, 2);
  expect(rows()[3]?.querySelector(".negative")).not.toBeNull();
  expect(root.querySelector(".direct-total")?.textContent).toBe(
    "logit of </s> = 5.50 · the terms sum to it; rounding 2e−7",
  );
  expect(root.querySelector(".waterfall b")).toBeNull();
  // Room for the longest number.
  const longest = Math.max(...rows().flatMap((row) => texts(row).map((said) => said.length)));
  expect(waterfall().style.getPropertyValue("--figures")).toBe(`${8 * longest}px`);
  expect(root.textContent).toContain("A note.");
});

test("heads lead every view to them, keep pins on their tokens, and are marked from then on", async () => {
  await reply(REPLY);
  model.set("pinned", { query: 1, key: null });
  await frame();
  named("cross 1").click();
  expect(model.state).toMatchObject({ stage: "cross", layer: 1, heads: [0, 1, 2, 3] });
  // A token of the encoder is a key there.
  expect(model.state["pinned"]).toEqual({ query: null, key: 1 });
  await frame();
  expect(named("cross 1").dataset["on"]).toBe("true");
});

test("a feed-forward layer unfolds its units from where it starts, and folds them", async () => {
  await reply(REPLY);
  named("feed-forward 1").click();
  await frame();
  const asked = await reply({ steps: UNITS });
  expect(asked).toMatchObject({ op: "direct_units", stage: "decoder", layer: 1, row: null });
  expect(rows()).toHaveLength(7);
  const [parent, unit, others] = rows().slice(2).map(bar);
  expect(unit?.[0]).toBeCloseTo(parent?.[0] ?? 0, 2);
  expect(others?.[0]).toBeCloseTo(parent?.[1] ?? 0, 2);
  named("feed-forward 1").click();
  await frame();
  expect(rows()).toHaveLength(5);
});

test("a token is asked for in words or among the likeliest, and a pinned row is what is explained", async () => {
  await reply(REPLY);
  const [first, second] = [
    ...root.querySelectorAll<HTMLButtonElement>('[aria-label="Answer, likeliest here"] button'),
  ];
  expect(first?.getAttribute("aria-pressed")).toBe("true");
  second?.click();
  await frame();
  expect(model.state["answer"]).toBe("<7>");
  expect(await reply({ ...REPLY, name: "茶" })).toMatchObject({ answer: "<7>", row: null });
  const field = root.querySelector('[aria-label="Against"]') as HTMLInputElement;
  field.value = " 水 ";
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  await frame();
  expect(model.sent.at(-1)).toMatchObject({ against: "水" });
  // The decoder predicts: clicking its token goes to a stage that has it.
  (root.querySelector('.panel-direct [data-token="0"]') as HTMLElement).click();
  await frame();
  expect(model.state).toMatchObject({ stage: "decoder", pinned: { query: 0, key: null } });
});

test("what is refused is said, and what is shown from before is dimmed", async () => {
  await reply(REPLY);
  model.set("answer", "zzz");
  await frame();
  await reply({ ok: false, error: "'zzz' is not one token." });
  expect(root.querySelector(".panel-direct [role=alert]")?.textContent).toBe("'zzz' is not one token.");
  expect(root.querySelector(".waterfall")?.classList.contains("stale")).toBe(true);
});

test("an axis has few round ticks and digits that tell bars apart, also of nothing at all", () => {
  const { ticks, digits, at } = scaleOf(STEPS, 5.5, 7);
  expect(ticks).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(digits).toBe(2);
  expect(at(0)).toBeLessThan(at(6));
  const down = scaleOf([step({ value: -120 })], -120, 7);
  expect(down).toMatchObject({ ticks: [-120, -100, -80, -60, -40, -20, 0], digits: 2 });
  expect(scaleOf([], 0, 7).ticks).toContain(0);
});
