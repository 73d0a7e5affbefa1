// Bundles the package's TypeScript into the folder given, one file for each entry, and lays its manifest beside.
import { copyFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { minify } from "terser";

const folder = process.argv[2];
const options = {
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  logLevel: "warning",
  write: false,
  // The names of the wire and of what is internal to the package. No property of a host or of the public classes has them.
  mangleProps: /^((put|read)[A-Z].*|loadSync|begin|soFar|place|turn|settle|nextUpload|finishUpload|wakeAt|keptAside|isFleeting|isTaken|act)$/,
};

/** Bundles an entry. After esbuild, which reads TypeScript, terser makes it smaller still. */
async function bundle(from, to, more = {}) {
  const { outputFiles } = await build({ ...options, ...more, entryPoints: [`wasm/ts/${from}.ts`] });
  const isModule = more.format !== "iife";
  const { code } = await minify(outputFiles[0].text, { module: isModule, compress: { ecma: 2022, passes: 3 }, format: { ecma: 2022 } });
  writeFileSync(`${folder}/${to}.js`, `${code}\n`);
}

for (const entry of ["encoder", "deniable"]) {
  await bundle(entry, entry);
  await bundle(`${entry}.node`, `${entry}.node`, { platform: "node", external: [`./${entry}.js`] });
}
await bundle("panel", "panel");
// A classic script has no address of its own to load the module from: it is found beside the tag's.
await bundle("script", "script", { format: "iife", define: { "import.meta.url": "document.baseURI" } });
copyFileSync("wasm/npm/package.json", `${folder}/package.json`);
copyFileSync("wasm/README.md", `${folder}/README.md`);
for (const license of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(license, `${folder}/${license}`);
