// What panels ask the kernel. Required: the newest question is asked as soon as the one before is answered;
// what was answered is not asked again; a panel that is gone asks nothing.

import { type ReadonlySignal, type Signal, signal } from "@preact/signals-core";
import { h, watch } from "../core/dom";
import type { Requests } from "../core/requests";

/** Bytes of answers that are kept. */
const KEPT = 64 << 20;

export type Question = { op: string } & Record<string, unknown>;

export interface Answer<T> {
  question: Question;
  reply: T;
  buffers: DataView[];
}

/** One question after the other, as what is wanted changes. */
export interface Asked<T> {
  /** The newest there is: that of the last question, while the next is on its way. */
  answer: ReadonlySignal<Answer<T> | null>;
  isWaiting: ReadonlySignal<boolean>;
  /** That Python has been silent for long, in words; it may be busy. */
  late: ReadonlySignal<string>;
  problem: ReadonlySignal<string>;
}

export class Questions {
  /** The least recently used first. */
  readonly #kept = new Map<string, Answer<unknown>>();
  #bytes = 0;

  constructor(private readonly requests: Requests) {}

  /** Ask what is wanted, now and whenever that changes; null asks nothing and has no answer. */
  about<T>(wanted: () => Question | null, abort: AbortSignal): Asked<T> {
    const answer: Signal<Answer<T> | null> = signal(null);
    const [isWaiting, late, problem] = [signal(false), signal(""), signal("")];
    let newest: Question | null = null;
    let isAsking = false;
    const show = (found: Answer<T> | null): void => {
      answer.value = found;
      isWaiting.value = false;
      late.value = "";
      problem.value = "";
    };
    const go = async (): Promise<void> => {
      isAsking = true;
      while (newest && !abort.aborted) {
        const question: Question = newest;
        const isNewest = (): boolean => question === newest && !abort.aborted;
        try {
          const silent = (words: string): void => {
            if (isNewest()) late.value = words;
          };
          const known = this.#known<T>(question);
          const found = known ?? { question, ...(await this.requests.ask<T>(question, silent)) };
          if (!known) this.#keep(found);
          if (isNewest()) show(found);
        } catch (error) {
          if (isNewest()) {
            isWaiting.value = false;
            late.value = "";
            problem.value = error instanceof Error ? error.message : String(error);
          }
        }
        if (question === newest) newest = null;
      }
      isAsking = false;
    };
    watch(abort, () => {
      const question = wanted();
      // Not what the answer to it reads or writes.
      queueMicrotask(() => {
        if (abort.aborted) return;
        newest = question;
        const known = question && this.#known<T>(question);
        if (!question || known) {
          newest = null;
          show(known || null);
          return;
        }
        isWaiting.value = true;
        problem.value = "";
        if (!isAsking) void go();
      });
    });
    return { answer, isWaiting, late, problem };
  }

  /** Ask once; for what is not a matter of looking. */
  async once<T>(question: Question, late: (words: string) => void): Promise<Answer<T>> {
    return { question, ...(await this.requests.ask<T>(question, late)) };
  }

  #known<T>(question: Question): Answer<T> | null {
    const name = JSON.stringify(question);
    const found = this.#kept.get(name);
    if (!found) return null;
    this.#kept.delete(name);
    this.#kept.set(name, found);
    return found as Answer<T>;
  }

  #keep(found: Answer<unknown>): void {
    this.#kept.set(JSON.stringify(found.question), found);
    this.#bytes += size(found);
    for (const [name, old] of this.#kept) {
      if (this.#bytes <= KEPT || old === found) break;
      this.#kept.delete(name);
      this.#bytes -= size(old);
    }
  }
}

const size = ({ buffers }: Answer<unknown>): number =>
  1024 + buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);

/** That an answer is on its way (`words`), and why there is none. */
export function told(
  { isWaiting, late, problem }: Asked<unknown>,
  words: string,
  abort: AbortSignal,
): HTMLElement {
  const line = h("div", { class: "caption waits" }, words);
  const alert = h("div", { role: "alert", class: "problem" });
  watch(abort, () => {
    line.classList.toggle("quiet", !isWaiting.value);
    line.textContent = late.value ? `${words} · ${late.value}` : words;
    alert.hidden = problem.value === "";
    alert.textContent = problem.value;
  });
  return h("div", { class: "told" }, line, alert);
}
