// What a heat map asks for, and what its cells say.
// Required: of the row in focus a number is exact; one of what is not shown any more is never said.

import { computed, type ReadonlySignal } from "@preact/signals-core";
import { type Block, bitsOf, floatsOf, type Range, valueAt } from "./cells";
import type { HeatmapOptions, Reading } from "./heatmap-options";
import type { Part } from "./looking";
import type { Answer, Asked, Question } from "./questions";
import type { Scene } from "./scene";

const NOWHERE: Part = { rows: [0, 0], columns: [0, 0], most: [0, 0] };

export interface Read<T extends Block> {
  /** The block, and whatever else its answer says. */
  asked: Asked<T>;
  /** Whether the block is of what is asked for now. */
  isCurrent: ReadonlySignal<boolean>;
  /** What the cell in focus says, null where none is. */
  focus: ReadonlySignal<Reading | null>;
}

/** Ask for a part of the matrix, as it changes. */
export function reading<T extends Block>(
  options: HeatmapOptions,
  wanted: () => Part | null,
  { questions }: Scene,
  abort: AbortSignal,
): Read<T> {
  const { rows, columns } = options;
  // Compared as text, so that a window that moves a little asks nothing.
  const text = computed(() => JSON.stringify(wanted()));
  const part = computed(() => JSON.parse(text.value) as Part | null);
  const asked = questions.about<T>(() => part.value && options.question(part.value), abort);
  const now = computed(() => JSON.stringify(options.question(NOWHERE)));
  const isNow = ({ question }: Answer<Block>): boolean => {
    const { exact: _, ...rest } = question;
    return JSON.stringify({ ...rest, ...NOWHERE }) === now.value;
  };
  const isCurrent = computed(() => asked.answer.value !== null && isNow(asked.answer.value));
  const row = computed(() => rows.hovered() ?? rows.pinned());
  const column = computed(() => columns.hovered() ?? (rows.hovered() === null ? columns.pinned() : null));
  // The row in focus, to the last digit.
  const line = questions.about<Block>((): Question | null => {
    const count = columns.count();
    if (row.value === null || row.value >= rows.count() || !isCurrent.value) return null;
    const own: Range = [row.value, row.value + 1];
    return options.question({ rows: own, columns: [0, count], most: [1, count], exact: true });
  }, abort);
  const focus = computed((): Reading | null => {
    const [at, across] = [row.value, column.value];
    if (at === null) return null;
    const read: Reading = { row: at, column: across, value: null, among: "" };
    const answer = asked.answer.value;
    const exact = line.answer.value;
    if (across === null || !isCurrent.value || !answer) return read;
    if (exact && exact.reply.rows[0] === at && isNow(exact)) {
      return { ...read, value: exactly(exact)[across] ?? null };
    }
    const [down, wide] = answer.reply.pool;
    const among = down * wide > 1 ? `largest of ${down} × ${wide}` : "";
    return { ...read, value: valueAt(answer.reply, bitsIn(answer), at, across), among };
  });
  return { asked, isCurrent, focus };
}

const bits = new WeakMap<object, Uint16Array>();
const floats = new WeakMap<object, Float32Array>();

export function bitsIn(answer: Answer<Block>): Uint16Array {
  let found = bits.get(answer);
  if (!found) {
    found = answer.buffers[0] ? bitsOf(answer.buffers[0]) : new Uint16Array(0);
    bits.set(answer, found);
  }
  return found;
}

function exactly(answer: Answer<Block>): Float32Array {
  let found = floats.get(answer);
  if (!found) {
    found = answer.buffers[0] ? floatsOf(answer.buffers[0]) : new Float32Array(0);
    floats.set(answer, found);
  }
  return found;
}
