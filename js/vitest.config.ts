import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [
    {
      // build.mjs hands a style sheet over as text; the tests must see the same thing.
      name: "css-as-text",
      enforce: "pre",
      async resolveId(source, importer) {
        if (!source.endsWith(".css")) {
          return null;
        }
        const file = await this.resolve(source, importer, { skipSelf: true });
        return file && { ...file, id: `${file.id}?raw` };
      },
    },
  ],
  define: { HAS_KERNEL: "true" }, // as build.mjs says it of all but a saved page
  test: {
    environment: "happy-dom",
    include: ["test/**/*.test.ts"],
    restoreMocks: true,
  },
});
