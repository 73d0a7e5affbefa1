// Bundles the package's TypeScript into the folder given, one file for each entry, and lays its manifest beside.
import { copyFileSync } from "node:fs";
import { build } from "esbuild";

const folder = process.argv[2];
const entries = ["encoder", "deniable"];
const options = {
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  logLevel: "warning",
  // The names of the wire and of what is internal to a file. No property of a host or of the public classes has them.
  mangleProps: /^(read[A-Z].*|loadSync|begin|whole|raw|soFar|place)$/,
};

for (const entry of entries) {
  await build({ ...options, entryPoints: [`wasm/ts/${entry}.ts`], outfile: `${folder}/${entry}.js` });
  const node = { platform: "node", external: [`./${entry}.js`] };
  await build({ ...options, ...node, entryPoints: [`wasm/ts/${entry}.node.ts`], outfile: `${folder}/${entry}.node.js` });
}
await build({ ...options, entryPoints: ["wasm/ts/panel.ts"], outfile: `${folder}/panel.js` });
// A classic script has no address of its own to load the module from: it is found beside the tag's.
const script = { format: "iife", define: { "import.meta.url": "document.baseURI" } };
await build({ ...options, ...script, entryPoints: ["wasm/ts/script.ts"], outfile: `${folder}/script.js` });
copyFileSync("wasm/npm/package.json", `${folder}/package.json`);
copyFileSync("wasm/README.md", `${folder}/README.md`);
