/**
 * Bundles each view (src/views/NAME.ts) into one self-contained module, ../jtviz/static/NAME.js.
 *
 * Guarantees: a bundle imports nothing at run time, and is at most 60 KB, because Jupyter sends it
 * once per widget instance; a saved page has it once in its file, so that one may be larger. `--watch` rebuilds on every change, readable and with source maps.
 */
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";

const LIMIT = 60_000; // bytes
const UNLIMITED = new Set(["page.js"]);
const VIEWS = fileURLToPath(new URL("src/views/", import.meta.url));
const STATIC = fileURLToPath(new URL("../jtviz/static/", import.meta.url));
const watching = process.argv.includes("--watch");

/** Style sheets come as text, to be put into a shadow root. */
const cssAsText = {
  name: "css-as-text",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const css = await readFile(path, "utf8");
      if (watching) {
        return { contents: css, loader: "text" };
      }
      const { code } = await esbuild.transform(css, { loader: "css", minify: true, sourcefile: path });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

const views = (await readdir(VIEWS)).filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"));
if (views.length === 0) {
  console.error(`There is no view to build in ${VIEWS}`);
  process.exit(1);
}

/** @type {import("esbuild").BuildOptions} */
const options = {
  entryPoints: views.map((name) => join(VIEWS, name)),
  outdir: STATIC,
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  minify: !watching,
  sourcemap: watching ? "inline" : false,
  legalComments: "none",
  logLevel: "info",
  plugins: [cssAsText],
};

if (watching) {
  const context = await esbuild.context(options);
  await context.watch();
} else {
  await esbuild.build({ ...options, logLevel: "warning" });
  await forgetRemovedViews();
  process.exitCode = (await allWithinLimit()) ? 0 : 1;
}

/** A view that was renamed must not live on in the wheel. */
async function forgetRemovedViews() {
  const built = new Set(views.map((name) => name.replace(/\.ts$/, ".js")));
  const stale = (await readdir(STATIC)).filter((name) => name.endsWith(".js") && !built.has(name));
  await Promise.all(stale.map((name) => rm(join(STATIC, name))));
}

async function allWithinLimit() {
  let within = true;
  for (const view of views) {
    const name = `${basename(view, ".ts")}.js`;
    const { size } = await stat(join(STATIC, name));
    console.log(`${(size / 1000).toFixed(1).padStart(7)} KB  jtviz/static/${name}`);
    if (size > LIMIT && !UNLIMITED.has(name)) {
      console.error(`jtviz/static/${name} is over the ${LIMIT / 1000} KB that a bundle may have`);
      within = false;
    }
  }
  return within;
}
