// Prints what a page downloads of the package in the folder given: raw, gzip and brotli bytes of each file.
import { readFileSync, readdirSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";

const folder = process.argv[2];
const loaded = (name) => name.endsWith(".wasm") || (name.endsWith(".js") && name !== "node.js");

const rows = readdirSync(folder).filter(loaded).map((name) => {
  const bytes = readFileSync(`${folder}/${name}`);
  return [name, bytes.length, gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes).length];
});
const total = ["together", ...[1, 2, 3].map((i) => rows.reduce((sum, row) => sum + row[i], 0))];
for (const [name, ...sizes] of [["bytes", "raw", "gzip", "brotli"], ...rows, total]) {
  console.log(`  ${name.padEnd(18)}${sizes.map((size) => String(size).padStart(9)).join("")}`);
}
