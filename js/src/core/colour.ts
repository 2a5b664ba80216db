// Colours of heads and weights. Required: zero is the background; a ramp is even to the eye (OKLab,
// https://bottosson.github.io/posts/oklab/); heads differ in hue and in lightness, so that they stay
// apart for colour-blind readers, and their number is always written beside.

type Lab = readonly [number, number, number];
export type Rgb = readonly [number, number, number];

// Ordered so that neighbours are far apart also under red-green deficiency.
const HUES = [255, 55, 160, 350, 95, 215, 305, 25];
const LIGHT = [0.55, 0.66, 0.44];
const DARK = [0.74, 0.85, 0.63];

function fromLch(l: number, c: number, degrees: number): Lab {
  const angle = (degrees * Math.PI) / 180;
  return [l, c * Math.cos(angle), c * Math.sin(angle)];
}

export function toRgb([l, a, b]: Lab): Rgb {
  const [x, y, z] = [
    (l + 0.3963377774 * a + 0.2158037573 * b) ** 3,
    (l - 0.1055613458 * a - 0.0638541728 * b) ** 3,
    (l - 0.0894841775 * a - 1.291485548 * b) ** 3,
  ];
  const gamma = (u: number): number => {
    const v = u <= 0.0031308 ? 12.92 * u : 1.055 * u ** (1 / 2.4) - 0.055;
    return Math.round(255 * Math.max(0, Math.min(1, v)));
  };
  return [
    gamma(4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z),
    gamma(-1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z),
    gamma(-0.0041960863 * x - 0.7034186147 * y + 1.707614701 * z),
  ];
}

export function toLab([r, g, b]: Rgb): Lab {
  const linear = (u: number): number =>
    u / 255 <= 0.04045 ? u / 255 / 12.92 : ((u / 255 + 0.055) / 1.055) ** 2.4;
  const [x, y, z] = [linear(r), linear(g), linear(b)];
  const l = Math.cbrt(0.4122214708 * x + 0.5363325363 * y + 0.0514459929 * z);
  const m = Math.cbrt(0.2119034982 * x + 0.6806995451 * y + 0.1073969566 * z);
  const s = Math.cbrt(0.0883024619 * x + 0.2817188376 * y + 0.6299787005 * z);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

export const css = ([r, g, b]: Rgb): string => `rgb(${r} ${g} ${b})`;

/** The colour of one head. */
export function headColour(head: number, dark: boolean): Rgb {
  const lightness = dark ? DARK : LIGHT;
  const l = lightness[Math.floor(head / HUES.length) % lightness.length] ?? 0.6;
  return toRgb(fromLch(l, 0.13, HUES[head % HUES.length] ?? 0));
}

/** 256 colours from the background to the deepest, for weights and for negative ones. */
export interface Ramp {
  colours: readonly Rgb[];
  /** The same, as pixels. */
  pixels: Uint32Array;
  negative: readonly Rgb[];
  negativePixels: Uint32Array;
}

/** The colours of one head, or of several together. Of negative weights they are of the opposite hue. */
export function rampOf(background: Rgb, head: number | null, dark: boolean): Ramp {
  const hue = head === null ? 255 : (HUES[head % HUES.length] ?? 0);
  const colours = ramp(background, hue, dark);
  const negative = ramp(background, hue + 150, dark);
  return { colours, pixels: asPixels(colours), negative, negativePixels: asPixels(negative) };
}

function ramp(background: Rgb, hue: number, dark: boolean): Rgb[] {
  const from = toLab(background);
  const to = dark ? fromLch(0.88, 0.12, hue) : fromLch(0.36, 0.13, hue);
  return Array.from({ length: 256 }, (_, i) => {
    const t = i / 255;
    return toRgb([
      from[0] + (to[0] - from[0]) * t,
      from[1] + (to[1] - from[1]) * t,
      from[2] + (to[2] - from[2]) * t,
    ]);
  });
}

const asPixels = (colours: readonly Rgb[]): Uint32Array =>
  Uint32Array.from(colours, ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);

/** A shade, 0 to 255, of a weight of this sign. */
export const colourAt = (ramp: Ramp, shade: number, weight: number): Rgb =>
  (weight < 0 ? ramp.negative : ramp.colours)[shade] ?? [0, 0, 0];

/** Black or white, whichever reads better on a colour. */
export function inkOn(colour: Rgb): string {
  return toLab(colour)[0] > 0.64 ? "#111" : "#fff";
}
