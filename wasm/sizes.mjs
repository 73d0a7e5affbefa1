// Prints what a page downloads for each entry of the package in the folder given: raw, gzip and brotli bytes, and the
// hashes that pin the files. Fails where an entry is over its limit.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";

const folder = process.argv[2];
const entries = [
  { entry: "encoder", files: ["encoder.wasm", "encoder.js"], limit: 15_000 },
  { entry: "deniable", files: ["client.wasm", "deniable.js"], limit: 60_000 },
  { entry: "script tag", files: ["client.wasm", "script.js"], limit: 60_000 },
  { entry: "panel", files: ["panel.js"], limit: 8_000 },
];

const line = (name, sizes) => console.log(`  ${name.padEnd(18)}${sizes.map((size) => String(size).padStart(9)).join("")}`);
const sizesOf = (bytes) => [bytes.length, gzipSync(bytes, { level: 9, memLevel: 9 }).length, brotliCompressSync(bytes).length];

line("bytes", ["raw", "gzip", "brotli"]);
const integrity = {};
for (const { entry, files, limit } of entries) {
  const sum = [0, 0, 0];
  for (const file of files) {
    const bytes = readFileSync(`${folder}/${file}`);
    const sizes = sizesOf(bytes);
    line(file, sizes);
    sizes.forEach((size, i) => (sum[i] += size));
    integrity[file] = `sha384-${createHash("sha384").update(bytes).digest("base64")}`;
  }
  line(`= ${entry}`, sum);
  if (sum[1] > limit) {
    console.error(`${entry} takes ${sum[1]} bytes in gzip, over its limit of ${limit}`);
    process.exitCode = 1;
  }
}
writeFileSync(`${folder}/integrity.json`, `${JSON.stringify(integrity, null, 2)}\n`);
