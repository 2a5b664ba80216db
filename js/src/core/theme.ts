// Dark or light, as the notebook is now. Required: follows a change of theme at once.

import { type ReadonlySignal, signal } from "@preact/signals-core";
import type { Rgb } from "./colour";
import { toLab } from "./colour";

export interface Theme {
  background: Rgb;
  ink: Rgb;
  dark: boolean;
}

/** Watch the colours that the host gives to `root` (which must have a background and a colour). */
export function watchTheme(root: HTMLElement, abort: AbortSignal): ReadonlySignal<Theme> {
  const theme = signal<Theme>({ background: [255, 255, 255], ink: [0, 0, 0], dark: false });
  const read = (): void => {
    const style = getComputedStyle(root);
    const background = parse(style.backgroundColor) ?? [255, 255, 255];
    const ink = parse(style.color) ?? [0, 0, 0];
    const old = theme.peek();
    if (String(old.background) === String(background) && String(old.ink) === String(ink)) return;
    const dark = toLab(background)[0] < toLab(ink)[0];
    root.style.colorScheme = dark ? "dark" : "light";
    theme.value = { background, ink, dark };
  };
  // JupyterLab swaps a style sheet and then an attribute of the body; other hosts only one of them.
  const later = (): void => {
    read();
    setTimeout(read, 250);
  };
  const observer = new MutationObserver(later);
  observer.observe(document.body, { attributes: true });
  observer.observe(document.documentElement, { attributes: true });
  observer.observe(document.head, { childList: true });
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", later, { signal: abort });
  abort.addEventListener("abort", () => observer.disconnect(), { once: true });
  const resize = new ResizeObserver(read);
  resize.observe(root);
  abort.addEventListener("abort", () => resize.disconnect(), { once: true });
  read();
  return theme;
}

function parse(colour: string): Rgb | null {
  const numbers = colour.match(/[\d.]+/g)?.map(Number);
  if (!numbers || numbers.length < 3 || numbers[3] === 0) return null;
  const scale = colour.startsWith("color(") ? 255 : 1;
  const [r = 0, g = 0, b = 0] = numbers.map((n) => n * scale);
  return [r, g, b];
}
