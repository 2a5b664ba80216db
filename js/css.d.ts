/** Whether there is a kernel to ask: not in a saved page (see build.mjs). */
declare const HAS_KERNEL: boolean;

/** A style sheet is imported as its text (see build.mjs and vitest.config.ts). */
declare module "*.css" {
  const text: string;
  export default text;
}
