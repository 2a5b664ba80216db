import { signal } from "@preact/signals-core";
import { beforeEach, describe, expect, test } from "vitest";
import { makePage } from "../src/core/page";
import { Requests } from "../src/core/requests";
import { Selection } from "../src/core/selection";
import { Questions } from "../src/layers/questions";
import type { Scene } from "../src/layers/scene";
import { trajectories } from "../src/layers/trajectories";
import type { LayersMeta } from "../src/layers/types";
import { choices, FakeModel, frame, META } from "./fakes";

const abort = new AbortController().signal;
const REPLY = {
  explained: [0.4, 0.25, 0.1],
  notes: [
    "has 79 % of its spread from token 2, “<b>x</b>”, alone",
    "",
    "is to 93 % dimension 7 of the stream",
  ],
  fitted: 3,
  lack: 'UMAP is computed by umap-learn: pip install "jtviz[umap]".',
};
let model: FakeModel;
let selection: Selection;
let root: HTMLElement;

beforeEach(async () => {
  model = new FakeModel({
    ...choices().state,
    projection: "pca",
    plane: "1 × 2",
    extent: "paths",
    marking: true,
  });
  const meta: LayersMeta = {
    ...META,
    tabs: [],
    depth: { encoder: 4, decoder: 3 },
    width: { encoder: 8, decoder: 8 },
  };
  selection = new Selection(meta, model as never, makePage(), abort);
  const scene = {
    meta,
    selection,
    side: signal("encoder"),
    questions: new Questions(new Requests(model as never)),
    traits: model as never,
  } as unknown as Scene;
  root = trajectories(scene, abort);
  await frame();
});

async function answer(reply: Partial<typeof REPLY> = {}): Promise<void> {
  const { id, op } = model.sent.at(-1) ?? { id: "", op: "" };
  model.emit("msg:custom", ...([{ id, op, ok: true, ...REPLY, ...reply }, []] as never[]));
  await frame();
}

const button = (name: string): HTMLButtonElement | undefined =>
  [...root.querySelectorAll("button")].find(({ textContent }) => textContent === name);

describe("the panel of trajectories", () => {
  test("asks for the side and the method, and says what the plane shows and its axes are taken by", async () => {
    expect(model.sent.at(-1)).toMatchObject({ op: "trajectories", side: "encoder", method: "pca" });
    await answer();
    expect(root.textContent).toContain("This plane shows 65 % of the variance");
    expect(root.textContent).toContain("PC 1 has 79 % of its spread from token 2, “<b>x</b>”, alone.");
    expect(root.querySelector("b")).toBeNull();
    button("PC 2 × 3")?.click();
    expect(model.state["plane"]).toBe("2 × 3");
    expect(root.textContent).toContain("shows 35 % of the variance");
    expect(root.textContent).toContain("PC 3 is to 93 % dimension 7 of the stream.");
  });

  test("does not offer UMAP where it is not installed, and says why", async () => {
    const [, umap] = root.querySelectorAll("option");
    expect(umap?.disabled).toBe(false);
    await answer();
    const [, after] = root.querySelectorAll("option");
    expect(after?.disabled).toBe(true);
    expect(after?.textContent).toContain("needs umap-learn");
  });

  test("counts marked tokens, and unmarks those of this side", async () => {
    await answer();
    expect(root.textContent).toContain("no tokens are marked");
    selection.choose({ marked: { encoder: [0, 2], decoder: [1] } });
    expect(root.textContent).toContain("2 tokens are marked");
    expect(root.querySelectorAll("[data-marked]").length).toBe(2);
    button("clear marks")?.click();
    expect(model.state["marked"]).toEqual({ decoder: [1] });
  });

  test("tells the kernel whether the mouse marks or pins, and follows it", () => {
    button("Click pins")?.click();
    expect(model.state["marking"]).toBe(false);
    expect(root.textContent).toContain("click to pin it");
    model.set("marking", true);
    expect(button("Drag marks")?.getAttribute("aria-pressed")).toBe("true");
  });
});
