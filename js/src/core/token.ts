// A token of a side, in whichever part it has in the stage that is shown: query, key, or both.

import type { Axis } from "./axis";
import { set } from "./dom";
import { NOTHING } from "./page";
import type { Selection } from "./selection";
import type { Pins, Role } from "./types";

export interface Token {
  side: string;
  index: number;
}

/** The part that a side has in the stage shown: as key where it can be one, or the other way round. */
export function roleOf(selection: Selection, side: string, first: Role = "key"): Role | null {
  const stage = selection.current.peek();
  const second = first === "key" ? "query" : "key";
  if (stage[first] === side) return first;
  return stage[second] === side ? second : null;
}

/** Light a token here and wherever else it is drawn. */
export function hoverToken(selection: Selection, token: Token | null, first: Role = "key"): void {
  const role = token && roleOf(selection, token.side, first);
  selection.hover(token && role ? { ...NOTHING, [role]: token.index } : NOTHING);
}

/** Pin a token; pinned already, in whichever part, unpin it. */
export function pinToken(selection: Selection, { side, index }: Token, first: Role = "key"): void {
  const { query, key } = selection.current.peek();
  const pinned = selection.pinned.peek();
  const other = first === "key" ? "query" : "key";
  const isOther = pinned[other] === index && (other === "query" ? query : key) === side;
  const role = isOther ? other : roleOf(selection, side, first);
  if (role) selection.togglePin(role, index);
}

/** The places of the marked tokens of a side: tokens, or words with them. */
export const marksOn = (selection: Selection, side: string, axis: Pick<Axis, "at">): ReadonlySet<number> =>
  new Set(selection.marked.value[side]?.map(axis.at));

/** Show that a token is marked, or that it is not. */
export function showMark(button: Element, isMarked: boolean): void {
  set(button, "data-marked", isMarked ? "" : undefined);
  set(button, "aria-description", isMarked ? "marked" : undefined);
}

/** The token of a side that these pins are on, in whichever part. */
export function tokenOn(selection: Selection, pins: Pins, side: string, first: Role = "key"): number | null {
  const stage = selection.current.value;
  const on = (role: Role): number | null => (stage[role] === side ? pins[role] : null);
  return on(first) ?? on(first === "key" ? "query" : "key");
}
