// Bundles the package's TypeScript into the folder given, one file for each entry, and lays its manifest beside.
import { copyFileSync } from "node:fs";
import { build } from "esbuild";

const folder = process.argv[2];
const entries = ["encoder"];
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
copyFileSync("wasm/npm/package.json", `${folder}/package.json`);
copyFileSync("wasm/README.md", `${folder}/README.md`);
