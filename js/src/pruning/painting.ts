// Switching parts by pointer: a click switches one, a drag makes all it crosses what the first became.
// Required: a gesture is one step of the history; one that is broken off changes nothing.

import type { Kind, Mask, Part } from "./mask";

export interface Painted<P extends Part> {
  /** The part that an event is at. */
  of: (event: Event) => P | null;
  /** What a quick pointer skipped between two parts, the latter included. */
  between: (from: P, to: P) => P[];
  /** What a shift-click does. */
  look?: (part: P) => void;
}

export function listenToPainting<P extends Part>(
  root: HTMLElement,
  mask: Mask,
  kind: Kind,
  { of, between, look }: Painted<P>,
  abort: AbortSignal,
): void {
  const options = { signal: abort };
  /** What the parts under the pointer become; null while nothing is pressed. */
  let brush: boolean | null = null;
  let last: P | null = null;
  /** The click that follows a press is part of it. */
  let isPress = false;
  root.addEventListener(
    "pointerdown",
    (event) => {
      const part = of(event);
      isPress = part !== null && !event.shiftKey;
      if (!part || event.button !== 0 || event.shiftKey) return;
      const target = event.target as Element;
      // A finger holds on to what it touched first: let it go, else nothing else hears of it.
      if (target.hasPointerCapture?.(event.pointerId)) target.releasePointerCapture(event.pointerId);
      brush = !mask.isOff(kind, part);
      last = part;
      mask.paint(kind, [part], brush);
    },
    options,
  );
  root.addEventListener(
    "pointerover",
    (event) => {
      const part = brush === null ? null : of(event);
      if (!part || brush === null) return;
      mask.paint(kind, last ? between(last, part) : [part], brush);
      last = part;
    },
    options,
  );
  const end = (isKept: boolean): void => {
    if (brush === null) return;
    brush = null;
    if (isKept) mask.commit();
    else mask.drop();
  };
  window.addEventListener("pointerup", () => end(true), options);
  window.addEventListener("pointercancel", () => end(false), options);
  window.addEventListener("keydown", (event) => event.key === "Escape" && end(false), options);
  root.addEventListener(
    "click",
    (event) => {
      const part = of(event);
      const isOver = isPress && event.detail > 0;
      isPress = false;
      if (!part || isOver) return;
      if (event.shiftKey) look?.(part);
      else mask.change(kind, [part], !mask.isOff(kind, part));
    },
    options,
  );
}

/** One of several buttons is reached by Tab, the others from it by arrows. */
export function rove(
  root: HTMLElement,
  isOne: (node: Element) => node is HTMLElement,
  next: (from: HTMLElement, key: string) => HTMLElement | null | undefined,
  abort: AbortSignal,
): void {
  root.addEventListener(
    "focusin",
    ({ target }) => {
      if (!isOne(target as Element)) return;
      for (const old of root.querySelectorAll('[tabindex="0"]')) old.setAttribute("tabindex", "-1");
      (target as Element).setAttribute("tabindex", "0");
    },
    { signal: abort },
  );
  root.addEventListener(
    "keydown",
    (event) => {
      const from = event.target as Element;
      if (!isOne(from) || event.altKey || event.ctrlKey || event.metaKey) return;
      if (!/^(Arrow|Home$|End$)/.test(event.key)) return;
      // Else the notebook, or the view, would take the arrows for itself.
      event.preventDefault();
      event.stopPropagation();
      next(from, event.key)?.focus();
    },
    { signal: abort },
  );
}
