// What panels ask the kernel: the newest question, once, and in words where there is no answer.

import { signal } from "@preact/signals-core";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Requests } from "../src/core/requests";
import { Questions, told } from "../src/layers/questions";
import { FakeModel } from "./fakes";

let model: FakeModel;
let gone: AbortController;
const layer = signal(0);

/** Let what was queued run. */
const settle = async (): Promise<void> => {
  await vi.advanceTimersByTimeAsync(1);
};
const asked = (): unknown[] => model.sent.map((message) => (message as unknown as { layer: number }).layer);

function answer(at: number, reply: Record<string, unknown>): Promise<void> {
  model.emit("msg:custom", { id: model.sent[at]?.id, ...reply }, []);
  return settle();
}

function about() {
  const questions = new Questions(new Requests(model as never));
  return questions.about<{ value: number }>(() => ({ op: "x", layer: layer.value }), gone.signal);
}

beforeEach(() => {
  vi.useFakeTimers();
  model = new FakeModel({});
  gone = new AbortController();
  layer.value = 0;
});

afterEach(() => {
  gone.abort();
  vi.useRealTimers();
});

test("only the newest of several questions follows the one that is on its way", async () => {
  const found = about();
  await settle();
  for (const next of [1, 2, 3]) {
    layer.value = next;
    await settle();
  }
  expect(asked()).toEqual([0]);
  await answer(0, { ok: true, value: 10 });
  expect(found.answer.value).toBeNull();
  expect(asked()).toEqual([0, 3]);
  await answer(1, { ok: true, value: 13 });
  expect(found.answer.value?.reply.value).toBe(13);
  expect(found.isWaiting.value).toBe(false);
});

test("what was answered is not asked again", async () => {
  const found = about();
  await settle();
  await answer(0, { ok: true, value: 10 });
  layer.value = 1;
  await settle();
  await answer(1, { ok: true, value: 11 });
  layer.value = 0;
  await settle();
  expect(found.answer.value?.reply.value).toBe(10);
  // Also where it was asked while another was on its way.
  layer.value = 2;
  await settle();
  layer.value = 1;
  await settle();
  expect(found.answer.value?.reply.value).toBe(11);
  expect(asked()).toEqual([0, 1, 2]);
});

test("a refusal is said until something else is asked, and silence is not called a problem", async () => {
  const found = about();
  const node = told(found, "computing", gone.signal);
  const alert = node.querySelector("[role=alert]") as HTMLElement;
  await settle();
  await vi.advanceTimersByTimeAsync(6000);
  expect(alert.hidden).toBe(true);
  expect(node.textContent).toContain("computing · no answer from Python yet");
  await answer(0, { ok: false, error: "there is no model." });
  expect([alert.hidden, alert.textContent]).toEqual([false, "there is no model."]);
  layer.value = 1;
  await settle();
  expect(alert.hidden).toBe(true);
});

test("a panel that is gone asks nothing", async () => {
  about();
  gone.abort();
  layer.value = 1;
  await settle();
  expect(model.sent).toEqual([]);
});
