import { expect, test } from "vitest";
import { cutOff, FAINTEST, MOST } from "../src/parts/curves";

test("few curves are all kept, but for those too faint to see", () => {
  const { least, left } = cutOff([Float32Array.from([0.001, 0.5, 0.02, 1])], FAINTEST);
  expect(least).toBe(1 / 128);
  expect(left).toBe(0);
});

test("of many, the strongest are kept, and the rest is counted", () => {
  const weights = Float32Array.from({ length: 3 * MOST }, (_, i) => 0.01 + (0.98 * i) / (3 * MOST));
  const { least, left } = cutOff([weights], FAINTEST);
  const kept = weights.filter((weight) => weight >= least).length;
  expect(kept).toBeLessThanOrEqual(MOST);
  expect(kept).toBeGreaterThan(0.9 * MOST);
  expect(kept + left).toBe(weights.length);
});
