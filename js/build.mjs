/**
 * Bundles each view (src/views/NAME.ts) into one self-contained module, ../jtviz/static/NAME.js.
 *
 * Guarantees: a bundle imports nothing at run time, and is at most 60 KB, because Jupyter sends it
 * once per widget instance. A larger one is packed: compressed, and unpacked by the browser itself.
 * A saved page has its bundle once in its file, and unpacked. `--watch` rebuilds on every change,
 * readable and with source maps.
 */
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";
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
const shared = {
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
const paths = views.map((name) => join(VIEWS, name));
const isPage = (path) => UNLIMITED.has(`${basename(path, ".ts")}.js`);
/** A saved page has no kernel: what needs one is left out of it. */
const builds = [
  { ...shared, entryPoints: paths.filter((path) => !isPage(path)), define: { HAS_KERNEL: "true" } },
  { ...shared, entryPoints: paths.filter(isPage), define: { HAS_KERNEL: "false" } },
];

if (watching) {
  const contexts = await Promise.all(builds.map((options) => esbuild.context(options)));
  await Promise.all(contexts.map((context) => context.watch()));
} else {
  await Promise.all(builds.map((options) => esbuild.build({ ...options, logLevel: "warning" })));
  await forgetRemovedViews();
  const minified = await pack();
  process.exitCode = (await allWithinLimit(minified)) ? 0 : 1;
}

/** A view that was renamed must not live on in the wheel. */
async function forgetRemovedViews() {
  const built = new Set(views.map((name) => name.replace(/\.ts$/, ".js")));
  const stale = (await readdir(STATIC)).filter((name) => name.endsWith(".js") && !built.has(name));
  await Promise.all(stale.map((name) => rm(join(STATIC, name))));
}

/** Compress what is over the limit; returns the size of each before. */
async function pack() {
  const minified = new Map();
  for (const view of views) {
    const file = join(STATIC, `${basename(view, ".ts")}.js`);
    const code = await readFile(file);
    minified.set(view, code.length);
    if (code.length <= LIMIT || UNLIMITED.has(basename(file))) continue;
    const packed = deflateRawSync(code, { level: 9 }).toString("base64");
    // A module of its own, as the host makes one of this text.
    const unpack = `const bytes=Uint8Array.from(atob("${packed}"),c=>c.charCodeAt(0));
const stream=new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
const url=URL.createObjectURL(new Blob([await new Response(stream).text()],{type:"text/javascript"}));
const view=await import(url);
URL.revokeObjectURL(url);
export default view.default;
`;
    await writeFile(file, unpack);
  }
  return minified;
}

async function allWithinLimit(minified) {
  let within = true;
  for (const view of views) {
    const name = `${basename(view, ".ts")}.js`;
    const { size } = await stat(join(STATIC, name));
    const before = minified.get(view) ?? size;
    const packed = before === size ? "" : ` (${(before / 1000).toFixed(1)} KB before it is packed)`;
    console.log(`${(size / 1000).toFixed(1).padStart(7)} KB  jtviz/static/${name}${packed}`);
    if (size > LIMIT && !UNLIMITED.has(name)) {
      console.error(`jtviz/static/${name} is over the ${LIMIT / 1000} KB that a bundle may have`);
      within = false;
    }
  }
  return within;
}
