// Pointing at things in a root: by pointer, by the keyboard's focus, and by a click.

/** Listen once for everything in `root` that `of` finds something in. */
export function listenToPointing<T>(
  root: HTMLElement,
  of: (event: Event) => T | null,
  { enter, leave, click }: { enter: (at: T) => void; leave: () => void; click: (at: T) => void },
  abort: AbortSignal,
): void {
  const options = { signal: abort };
  const entered = (event: Event): void => {
    const at = of(event);
    if (at !== null) enter(at);
  };
  const left = (event: Event): void => {
    if (of(event) !== null) leave();
  };
  root.addEventListener("pointerover", entered, options);
  root.addEventListener("pointerout", left, options);
  // The keyboard's focus counts as pointing; a focus that a tap left behind does not.
  root.addEventListener(
    "focusin",
    (event) => {
      if ((event.target as Element).matches(":focus-visible")) entered(event);
    },
    options,
  );
  root.addEventListener("focusout", left, options);
  root.addEventListener(
    "click",
    (event) => {
      const at = of(event);
      if (at !== null) click(at);
    },
    options,
  );
}
