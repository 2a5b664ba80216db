import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { countInWords, inTraits, keyOf, Mask, NOTHING } from "../src/pruning/mask";
import type { Head, Off, Outcome, PruningMeta, PruningTraits } from "../src/pruning/types";
import importance from "../src/views/importance";
import pruning from "../src/views/pruning";
import { FakeModel, META } from "./fakes";

const off = (...heads: Head[]): Off => ({ heads, units: [] });
const said = (value: number, pieces: [string, string][]) => ({ value, text: "", pieces, top: [] });
const outcomeOf = (state: Off, change: Partial<Outcome> = {}): Outcome =>
  ({
    state,
    ablation: "zero",
    kind: "text",
    score_words: "probability of 茶",
    intact: said(0.9, [
      ["same", "a "],
      ["gone", "<b>cup</b>"],
    ]),
    pruned: said(0.4, [
      ["same", "a "],
      ["new", "mug"],
    ]),
    kl: 0.5,
    kl_words: "over the tokens",
    rows: [],
    moved: [["cross", 1, 2, 0.25]],
    notes: [],
    seconds: 0.2,
    ...change,
  }) as Outcome;

const meta: PruningMeta = {
  ...META,
  title: "",
  units: { encoder: [6, 6, 6] },
  words: { zero: "nothing takes its place", mean: "its mean takes its place" },
};

let gone: AbortController;
let model: FakeModel;
let root: HTMLElement;
beforeEach(() => {
  gone = new AbortController();
});
afterEach(() => {
  gone.abort();
  vi.useRealTimers();
});

async function open(traits: Partial<Record<keyof PruningTraits, unknown>> = {}): Promise<void> {
  const own = {
    stage: "encoder",
    layer: 0,
    heads: [0, 1, 2, 3],
    pinned: { query: null, key: null },
    selection: "",
    meta,
    history: [NOTHING],
    at: 0,
    ablation: "zero",
    colouring: "effect",
    colourings: [["effect", "Effect", "what is lost"]],
    scores: { encoder: [[0.1, 0.2, null, 0.4]] },
    scores_words: "what is lost when a head is off",
    outcome: {},
    interaction: {},
    explained: {},
    busy: "",
    share: 0,
    problem: "",
    ...traits,
  };
  model = new FakeModel(own);
  const el = document.createElement("div");
  document.body.append(el);
  await pruning.render({ model: model as never, el, host: undefined as never, signal: gone.signal } as never);
  root = el.shadowRoot?.querySelector(".jtviz") as HTMLElement;
}

const all = (selector: string): HTMLElement[] => [...root.querySelectorAll<HTMLElement>(selector)];
const button = (label: string): HTMLButtonElement =>
  all("button").find((b) => (b.getAttribute("aria-label") ?? b.textContent)?.startsWith(label)) as never;
const head = (stage: string, layer: number, index: number): HTMLElement =>
  button(`${stage}, layer ${layer}, head ${index}:`);
const pointer = (node: Element, type: string): boolean =>
  node.dispatchEvent(new PointerEvent(type, { bubbles: true, composed: true, button: 0 }));
const key = (node: Element, name: string, more: KeyboardEventInit = {}): boolean =>
  node.dispatchEvent(
    new KeyboardEvent("keydown", { key: name, bubbles: true, composed: true, cancelable: true, ...more }),
  );
const alerts = (): string =>
  all("[role=alert]")
    .filter((node) => !node.hidden)
    .map((node) => node.textContent)
    .join("");

describe("the history", () => {
  test("a change is one step, sent whole in one message; undo and redo walk it", () => {
    const fake = new FakeModel({ history: [NOTHING], at: 0 });
    const mask = new Mask(inTraits(fake as never), gone.signal);
    mask.change("heads", [["encoder", 0, 1]], true);
    mask.change("heads", [["encoder", 0, 2]], true);
    expect(fake.state["at"]).toBe(2);
    expect(fake.saved).toBe(2);
    mask.undo();
    expect([fake.state["at"], mask.isOff("heads", ["encoder", 0, 2])]).toEqual([1, false]);
    mask.redo();
    expect([fake.state["at"], mask.isOff("heads", ["encoder", 0, 2])]).toEqual([2, true]);
    mask.reset();
    expect(mask.settled.value).toEqual(NOTHING);
    expect(fake.state["at"]).toBe(3);
  });

  test("a change after an undo cuts off what could be redone", () => {
    const fake = new FakeModel({ history: [NOTHING], at: 0 });
    const mask = new Mask(inTraits(fake as never), gone.signal);
    mask.change("heads", [["encoder", 0, 1]], true);
    mask.undo();
    mask.change("units", [["encoder", 0, 7]], true);
    expect(fake.state["history"]).toEqual([NOTHING, { heads: [], units: [["encoder", 0, 7]] }]);
    expect(mask.canRedo).toBe(false);
  });

  test("a change to what is already so is no step", () => {
    const fake = new FakeModel({ history: [off(["encoder", 0, 1])], at: 0 });
    const mask = new Mask(inTraits(fake as never), gone.signal);
    mask.change("heads", [["encoder", 0, 1]], true);
    expect(fake.saved).toBe(0);
  });

  test("what Python switches off is off here", async () => {
    const fake = new FakeModel({ history: [NOTHING], at: 0 });
    const mask = new Mask(inTraits(fake as never), gone.signal);
    fake.set("history", [NOTHING, off(["cross", 1, 1])]);
    fake.set("at", 1);
    await Promise.resolve();
    expect(mask.isOff("heads", ["cross", 1, 1])).toBe(true);
  });

  test("states are the same in whatever order their parts are named, and counted in words", () => {
    expect(keyOf(off(["a", 0, 1], ["b", 0, 2]))).toBe(keyOf(off(["b", 0, 2], ["a", 0, 1])));
    expect(countInWords(off(["a", 0, 1]))).toBe("1 head");
    expect(countInWords({ heads: [["a", 0, 1]], units: Array(3).fill(["a", 0, 1]) })).toBe(
      "1 head and 3 units",
    );
  });
});

describe("the grid", () => {
  test("says of each head where it is, whether it is off, and its score", async () => {
    await open();
    const cell = head("encoder", 0, 1);
    expect(cell.getAttribute("aria-label")).toBe("encoder, layer 0, head 1: on, effect 0.200");
    cell.click();
    expect(cell.getAttribute("aria-label")).toBe("encoder, layer 0, head 1: off, effect 0.200");
    expect(cell.getAttribute("aria-pressed")).toBe("true");
    expect(model.state["history"]).toEqual([NOTHING, off(["encoder", 0, 1])]);
    expect(head("encoder", 0, 2).getAttribute("aria-label")).toBe("encoder, layer 0, head 2: on");
  });

  test("a drag makes all it crosses what the first became, in one step, also what a quick pointer skips", async () => {
    await open({ history: [off(["encoder", 0, 2])] });
    pointer(head("encoder", 0, 0), "pointerdown");
    pointer(head("encoder", 0, 3), "pointerover");
    expect(model.saved).toBe(0);
    expect(head("encoder", 0, 1).getAttribute("aria-pressed")).toBe("true");
    pointer(head("encoder", 0, 3), "pointerup");
    expect((model.state["history"] as Off[]).length).toBe(2);
    expect(model.saved).toBe(1);
    expect(keyOf((model.state["history"] as Off[])[1] as Off)).toBe(
      keyOf(off(["encoder", 0, 0], ["encoder", 0, 1], ["encoder", 0, 2], ["encoder", 0, 3])),
    );
  });

  test("the click that ends a press is no second switch", async () => {
    await open();
    const cell = head("encoder", 0, 0);
    pointer(cell, "pointerdown");
    pointer(cell, "pointerup");
    cell.dispatchEvent(new MouseEvent("click", { bubbles: true, detail: 1 }));
    expect((model.state["history"] as Off[]).length).toBe(2);
  });

  test("Escape breaks a drag off", async () => {
    await open();
    pointer(head("encoder", 0, 0), "pointerdown");
    key(root, "Escape");
    expect([model.saved, head("encoder", 0, 0).getAttribute("aria-pressed")]).toEqual([0, "false"]);
  });

  test("the number of a layer switches all of its heads, and back", async () => {
    await open();
    button("Encoder, layer 1: switch all heads off").click();
    expect((model.state["history"] as Off[])[1]?.heads.length).toBe(4);
    button("Encoder, layer 1: switch all heads on").click();
    expect((model.state["history"] as Off[])[2]).toEqual(NOTHING);
  });

  test("arrows walk the heads, one of which Tab reaches; keys undo and redo", async () => {
    await open();
    head("encoder", 0, 0).focus();
    key(head("encoder", 0, 0), "ArrowRight");
    key(head("encoder", 0, 1), "ArrowDown");
    const active = (root.getRootNode() as ShadowRoot).activeElement as HTMLElement;
    expect(active.getAttribute("aria-label")).toContain("encoder, layer 1, head 1");
    expect(all('.cell[tabindex="0"]').length).toBe(1);
    // A press of Space or Enter on a button is a click.
    active.click();
    expect(active.getAttribute("aria-pressed")).toBe("true");
    key(active, "z", { ctrlKey: true });
    expect(active.getAttribute("aria-pressed")).toBe("false");
    key(active, "z", { metaKey: true, shiftKey: true });
    expect(active.getAttribute("aria-pressed")).toBe("true");
    key(active, "z", { ctrlKey: true });
    key(active, "y", { ctrlKey: true });
    expect(model.state["at"]).toBe(1);
  });

  test("a shift-click looks at the head in the linked views and switches nothing", async () => {
    await open();
    head("cross", 1, 2).dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }));
    expect([model.state["stage"], model.state["layer"], model.state["heads"]]).toEqual(["cross", 1, [2]]);
    expect((model.state["history"] as Off[]).length).toBe(1);
  });

  test("32 x 32 heads have a button each, and a click touches one of them", async () => {
    const heads = Array(32).fill(32);
    const wide = { ...META.stages[1], heads, groups: Array(32).fill(4) };
    await open({ meta: { ...meta, stages: [wide] }, scores: {} });
    expect(all(".cell").length).toBe(1024);
    expect(all('[data-layer="0"] [data-starts]').length).toBe(7);
    const touched: Node[] = [];
    const observer = new MutationObserver((records) => touched.push(...records.map(({ target }) => target)));
    observer.observe(root.querySelector(".stages") as Element, { attributes: true, subtree: true });
    const cell = head("decoder", 31, 31);
    cell.click();
    await Promise.resolve();
    const cells = touched.filter((node) => (node as Element).className === "cell");
    expect(new Set(cells)).toEqual(new Set([cell]));
    expect(cell.getAttribute("aria-label")).toContain("key head 7, shared by 4");
  });
});

describe("the result", () => {
  const state = off(["cross", 1, 1]);

  test("marks what is gone and what is new, by more than colour, as text", async () => {
    await open({ history: [NOTHING, state], at: 1, outcome: outcomeOf(state) });
    expect(root.querySelector("del")?.textContent).toBe("<b>cup</b>");
    expect(root.querySelector("ins")?.textContent).toBe("mug");
    expect(all(".saying .title").map((node) => node.textContent)).toEqual(["Intact", "With 1 head off"]);
    expect(all(".pairs td").map((node) => node.textContent)).toEqual(
      expect.arrayContaining(["0.900", "0.400", "−0.500"]),
    );
    expect(root.textContent).toContain("KL divergence 0.500 nats");
    expect(head("cross", 1, 2).hasAttribute("data-moved")).toBe(true);
  });

  test("of another choice is dimmed and said to be computed, until that of this one is here", async () => {
    await open({ history: [NOTHING, state], at: 1, outcome: outcomeOf(state) });
    const body = root.querySelector(".said") as HTMLElement;
    expect(body.classList.contains("stale")).toBe(false);
    head("encoder", 0, 0).click();
    expect(body.classList.contains("stale")).toBe(true);
    expect(root.querySelector(".state")?.textContent).toBe("computing …");
    // Its heading stays that of what it was computed for.
    expect(all(".saying .title")[1]?.textContent).toBe("With 1 head off");
    model.set("outcome", outcomeOf(off(["encoder", 0, 0], ["cross", 1, 1])));
    expect(body.classList.contains("stale")).toBe(false);
    model.set("ablation", "mean");
    expect(body.classList.contains("stale")).toBe(true);
  });

  test("with nothing off there is nothing to wait for: the model is intact", async () => {
    vi.useFakeTimers();
    await open({ history: [NOTHING, state], at: 1, outcome: outcomeOf(state) });
    button("Reset").click();
    expect(root.querySelector(".state")?.textContent).toBe("nothing is off: click a head");
    expect(all(".saying .title").map((node) => node.textContent)).toEqual(["Intact"]);
    vi.advanceTimersByTime(20_000);
    expect(alerts()).toBe("");
  });

  test("b held shows the intact model, and changes nothing", async () => {
    await open({ history: [NOTHING, state], at: 1, outcome: outcomeOf(state) });
    key(root, "b");
    expect(head("cross", 1, 1).getAttribute("aria-pressed")).toBe("false");
    expect(button("Intact").getAttribute("aria-pressed")).toBe("true");
    expect(root.querySelector("ins")).toBe(null);
    root.dispatchEvent(new KeyboardEvent("keyup", { key: "b", bubbles: true }));
    expect(head("cross", 1, 1).getAttribute("aria-pressed")).toBe("true");
    expect(model.saved).toBe(0);
  });

  test("classes are told with both probabilities, also those that only one names", async () => {
    const classes = {
      kind: "classes",
      intact: {
        ...said(0.8, []),
        top: [
          ["good", 0.8],
          ["bad", 0.2],
        ],
      },
      pruned: {
        ...said(0.3, []),
        top: [
          ["bad", 0.7],
          ["<i>", 0.3],
        ],
      },
    } as Partial<Outcome>;
    await open({ history: [state], at: 0, outcome: outcomeOf(state, classes) });
    const rows = all(".pairs")[1]?.querySelectorAll("tbody tr") ?? [];
    expect([...rows].map((row) => row.textContent)).toEqual([
      "good0.800–",
      "bad0.2000.700+0.500",
      "<i>–0.300",
    ]);
  });
});

describe("waiting", () => {
  test("is said soon, silence after five seconds, and neither once the outcome is here", async () => {
    vi.useFakeTimers();
    await open();
    head("encoder", 0, 0).click();
    const line = root.querySelector(".waiting")?.parentElement as HTMLElement;
    vi.advanceTimersByTime(600);
    expect(line.hidden).toBe(true);
    vi.advanceTimersByTime(200);
    expect(line.hidden).toBe(false);
    vi.advanceTimersByTime(1300);
    expect(model.sent.at(-1)?.op).toBe("ping");
    vi.advanceTimersByTime(3000);
    expect(alerts()).toContain("No answer from Python yet");
    expect(root.querySelector(".state")?.textContent).toContain("not the result of what is off now");
    model.set("outcome", outcomeOf(off(["encoder", 0, 0])));
    expect([alerts(), line.hidden]).toEqual(["", true]);
  });

  test("whoever answers the question whether he is there is not silent; answers to others do not count", async () => {
    vi.useFakeTimers();
    await open();
    head("encoder", 0, 0).click();
    vi.advanceTimersByTime(2100);
    model.emit("msg:custom", { op: "pong", id: model.sent.at(-1)?.id }, []);
    vi.advanceTimersByTime(3500);
    expect(alerts()).toBe("");
    model.emit("msg:custom", { op: "pong", id: "another-1" }, []);
    vi.advanceTimersByTime(2000);
    expect(alerts()).toContain("No answer");
  });

  test("who says that he is busy has longer, and what went wrong ends the wait", async () => {
    vi.useFakeTimers();
    await open();
    head("encoder", 0, 0).click();
    model.set("busy", "running the pruned model");
    vi.advanceTimersByTime(6000);
    expect(alerts()).toBe("");
    model.set("problem", "There is no room.");
    model.set("busy", "");
    vi.advanceTimersByTime(20_000);
    expect(alerts()).toBe("There is no room.");
  });
});

describe("units", () => {
  const reply = (total: number) => ({
    op: "units",
    id: model.sent.at(-1)?.id,
    ok: true,
    units: [
      [4, 3],
      [0, 2],
      [2, 1],
    ],
    total,
    words: "mean size",
  });

  test("are fetched when a layer is opened, and switched like heads", async () => {
    await open({ meta: { ...meta, units: { encoder: [3] } } });
    button("encoder, layer 0: 0 of 3 feed-forward units off").click();
    expect(model.sent.at(-1)).toMatchObject({ op: "units", side: "encoder", layer: 0 });
    model.emit("msg:custom", reply(3), []);
    await Promise.resolve();
    await new Promise((done) => setTimeout(done));
    button("unit 4:").click();
    expect((model.state["history"] as Off[])[1]?.units).toEqual([["encoder", 0, 4]]);
    expect(button("encoder, layer 0: 1 of 3").textContent).toBe("0 · 1 of 3 off");
  });

  test("the slider for the weakest takes those that are not named first, in one step", async () => {
    await open();
    button("encoder, layer 0: 0 of 6").click();
    model.emit("msg:custom", reply(6), []);
    await new Promise((done) => setTimeout(done));
    const slider = root.querySelector<HTMLInputElement>('[aria-label$="least"]') as HTMLInputElement;
    slider.value = "2";
    slider.dispatchEvent(new Event("input"));
    expect(model.saved).toBe(0);
    slider.dispatchEvent(new Event("change"));
    const units = (model.state["history"] as Off[])[1]?.units.map(([, , unit]) => unit).sort();
    // 1, 3 and 5 are not among those named; of these, 2 contributes least.
    expect(units).toEqual([1, 2, 3, 5]);
    expect(model.saved).toBe(1);
  });

  test("what cannot be had is said in its place", async () => {
    await open();
    button("encoder, layer 0: 0 of 6").click();
    model.emit(
      "msg:custom",
      { op: "units", id: model.sent.at(-1)?.id, ok: false, error: "no such layer" },
      [],
    );
    await new Promise((done) => setTimeout(done));
    expect(alerts()).toBe("no such layer");
  });
});

describe("what is asked for", () => {
  test("parts are compared from two on, and the answer is of one choice", async () => {
    await open({ history: [off(["encoder", 0, 0])] });
    const ask = button("compare alone and together");
    expect(ask.disabled).toBe(true);
    head("encoder", 0, 1).click();
    ask.click();
    expect(model.sent.at(-1)).toEqual({ op: "interact" });
    const state = (model.state["history"] as Off[])[1];
    model.set("interaction", {
      state,
      words: "they back each other up",
      alone: [["encoder 0.0", 0.1]],
      sum: 0.2,
      joint: 0.5,
      pairs: [["encoder 0.0", "encoder 0.1", 0.5, 0.3]],
    });
    expect(root.textContent).toContain("they back each other up");
    expect(ask.disabled).toBe(true);
    button("Undo").click();
    expect(root.textContent).toContain("this is of another choice");
  });

  test("both explanations are in one scale of colours", async () => {
    const state = off(["encoder", 0, 0]);
    const sides = [["encoder", ["tea", "<b>"], [0.5, 0], [1, -1]]];
    await open({
      history: [state],
      explained: { state, words: "what it rests on", sides, correlation: 0.25 },
    });
    const shades = all("details .token").map((node) => node.style.getPropertyValue("--shade"));
    expect(new Set(shades).size).toBe(4);
    expect(all("details .token").map((node) => node.textContent)).toEqual(["tea", "<b>", "tea", "<b>"]);
    expect(root.textContent).toContain("correlation of the two: 0.250");
  });
});

describe("importance", () => {
  const method = (name: string, scores: number[][], errors: number[][] | null) => ({
    name,
    label: name,
    words: `what ${name} measures`,
    source: "a paper",
    scores: { decoder: scores },
    errors: errors && { decoder: errors },
  });

  function show(): void {
    model = new FakeModel({
      meta: {
        title: "t",
        stages: [{ name: "decoder", label: "Decoder", heads: [2, 2], groups: [1, 1] }],
        n: 64,
        metric: "loss",
      },
      methods: [
        method(
          "ablation",
          [
            [0.5, -0.25],
            [0, 0.1],
          ],
          [
            [0.01, 0.02],
            [0.03, 0.04],
          ],
        ),
        method(
          "gradient",
          [
            [0.2, 0.3],
            [0.4, 0.5],
          ],
          null,
        ),
      ],
      method: "ablation",
      off: [],
      agreement: {
        names: ["ablation", "gradient"],
        values: [
          [1, -0.4],
          [-0.4, 1],
        ],
      },
      pointed: null,
      notes: ["few examples"],
      units: null,
    });
    const el = document.createElement("div");
    document.body.append(el);
    importance.render({ model: model as never, el, signal: gone.signal } as never);
    root = el.shadowRoot?.querySelector(".jtviz") as HTMLElement;
  }

  test("a score has its standard error and its sign, and the other methods stand beside", () => {
    show();
    const [good, bad] = all(".cell");
    expect(bad?.getAttribute("aria-label")).toBe("decoder, layer 0, head 1: on, ablation −0.250 ± 0.0200");
    const shades = [good, bad].map((cell) => cell?.style.getPropertyValue("--shade"));
    expect(shades[0]).not.toBe(shades[1]);
    pointer(bad as Element, "pointerover");
    expect(root.textContent).toContain("ablation −0.250 ± 0.0200 · gradient 0.300");
    expect(root.textContent).toContain("−0.40");
    expect(model.saved).toBe(0);
    button("gradient").click();
    expect(model.state["method"]).toBe("gradient");
    expect(bad?.getAttribute("aria-label")).toBe("decoder, layer 0, head 1: on, gradient 0.300");
  });

  test("heads go off by hand and from outside, and every step can be taken back", async () => {
    show();
    head("decoder", 0, 0).click();
    expect(model.state["off"]).toEqual([["decoder", 0, 0]]);
    model.set("off", [["decoder", 1, 1]]);
    await Promise.resolve();
    expect(head("decoder", 1, 1).getAttribute("aria-pressed")).toBe("true");
    button("Undo").click();
    expect(model.state["off"]).toEqual([["decoder", 0, 0]]);
    button("Undo").click();
    expect(model.state["off"]).toEqual([]);
    button("Redo").click();
    expect(model.state["off"]).toEqual([["decoder", 0, 0]]);
  });

  test("a shift-click pins a head for the charts, and lets it go", () => {
    show();
    const shift = (): boolean =>
      head("decoder", 1, 0).dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }));
    shift();
    expect(model.state["pointed"]).toEqual(["decoder", 1, 0]);
    shift();
    expect(model.state["pointed"]).toBe(null);
  });
});
