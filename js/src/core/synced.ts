// A trait as a signal, in step both ways.

import { type Signal, signal } from "@preact/signals-core";
import { watch } from "./dom";
import type { Model } from "./types";

/**
 * Make a signal of a trait: it follows the kernel, and what is written to it is sent there.
 *
 * @example
 * const unit = synced(model, "unit", abort);
 * unit.value = "word";
 */
export function synced<T extends object, K extends keyof T & string>(
  model: Model<T>,
  name: K,
  abort: AbortSignal,
): Signal<T[K]> {
  const read = (): T[K] => model.get(name as never) as T[K];
  const value = signal(read());
  model.on(`change:${name}`, () => {
    value.value = read();
  });
  watch(abort, () => {
    if (value.value === read()) return;
    model.set(name as never, value.value as never);
    model.save_changes();
  });
  return value;
}
