// Whether what is shown is what was chosen, and whether anybody is computing what is not.
// Required: silence is said, not hidden: a notebook whose kernel is busy or gone answers nothing, and the
// picture must not look as if it were up to date.

import { computed, type ReadonlySignal, type Signal, signal, untracked } from "@preact/signals-core";
import { watch } from "../core/dom";
import { keyOf, type Mask, sizeOf } from "./mask";
import type { Ablation, Outcome } from "./types";

/** Milliseconds until waiting is said, until Python is asked whether it is there, and until silence is said. */
const SOON = 700;
const ASK = 2000;
const PATIENCE = 5000;
/** While Python says what it computes, it may be silent for longer. */
const BUSY_PATIENCE = 30_000;
const SILENCE =
  "No answer from Python yet: it is busy, or the notebook has no running kernel. What is shown is from before.";

interface Parts {
  mask: Mask;
  ablation: ReadonlySignal<Ablation>;
  outcome: ReadonlySignal<Outcome | null>;
  busy: ReadonlySignal<string>;
  share: ReadonlySignal<number | null>;
  problem: ReadonlySignal<string>;
}

/** What messages go through. */
interface Line {
  on(event: "msg:custom", heard: (reply: { op?: string; id?: string }) => void): void;
  send(message: { op: string; id: string }): void;
}

export class Answer {
  /** Whether the outcome is that of another choice. */
  readonly isStale: ReadonlySignal<boolean>;
  /** Whether an answer is due, and nobody says that it is being computed. */
  readonly isWaiting: Signal<boolean> = signal(false);
  /** That nobody has answered for long; empty as long as somebody does. */
  readonly silence: Signal<string> = signal("");
  /** A question of the reader's, beside the outcome. */
  readonly #isAsked: Signal<boolean> = signal(false);
  readonly #isDue: ReadonlySignal<boolean>;
  readonly #hasFailed: Signal<boolean> = signal(false);
  readonly #name = Math.random().toString(36).slice(2);
  #pings = 0;
  #timers: ReturnType<typeof setTimeout>[] = [];

  constructor(
    readonly parts: Parts,
    private readonly line: Line,
    abort: AbortSignal,
  ) {
    const { mask, ablation, outcome, busy, share, problem } = parts;
    const wanted = computed(() => `${ablation.value} ${keyOf(mask.settled.value)}`);
    const shown = computed(() => {
      const now = outcome.value;
      return now ? `${now.ablation} ${keyOf(now.state)}` : "";
    });
    // With nothing off, nothing has to be computed to know what the model does: the same.
    this.isStale = computed(() => sizeOf(mask.settled.value) > 0 && wanted.value !== shown.value);
    this.#isDue = computed(() => (this.isStale.value && !this.#hasFailed.value) || this.#isAsked.value);
    watch(abort, () => {
      wanted.value;
      this.isStale.value;
      untracked(() => {
        this.#hasFailed.value = false;
        this.isWaiting.value = false;
        this.#listen();
      });
    });
    let first = true;
    watch(abort, () => {
      const isBusy = busy.value !== "";
      share.value;
      const isBad = problem.value !== "";
      if (first) {
        first = false;
        return;
      }
      untracked(() => {
        if (isBad) this.#hasFailed.value = true;
        if (isBusy || isBad) this.#isAsked.value = false;
        this.#listen();
      });
    });
    line.on("msg:custom", ({ op, id }) => {
      if (op === "pong" && id?.startsWith(this.#name)) this.#listen();
    });
    abort.addEventListener("abort", () => this.#stop(), { once: true });
  }

  /** Whether the outcome of the choice is still to come, as far as is known. */
  get isComing(): boolean {
    return this.isStale.value && !this.#hasFailed.value && this.silence.value === "";
  }

  /** A question was sent: what comes of it is awaited, too. */
  ask(): void {
    this.#isAsked.value = true;
    this.#listen();
  }

  /** What was asked for is here. */
  answered(): void {
    this.#isAsked.value = false;
    this.#listen();
  }

  /** Count the time anew: somebody was heard, or something was sent. */
  #listen(): void {
    this.#stop();
    this.silence.value = "";
    if (!this.#isDue.peek()) {
      this.isWaiting.value = false;
      return;
    }
    const isBusy = this.parts.busy.peek() !== "";
    if (isBusy) this.isWaiting.value = false;
    else this.#after(SOON, () => (this.isWaiting.value = true));
    this.#after(ASK, () => this.line.send({ op: "ping", id: `${this.#name}-${++this.#pings}` }));
    this.#after(isBusy ? BUSY_PATIENCE : PATIENCE, () => (this.silence.value = SILENCE));
  }

  #after(ms: number, act: () => void): void {
    this.#timers.push(setTimeout(act, ms));
  }

  #stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }
}
