/* The entry for Node, where `fetch` does not read files. */

import { readFile } from "node:fs/promises";

import { init as load, type Source } from "./encoder.js";

export * from "./encoder.js";

export function init(source: Source | Promise<Source> = readFile(new URL("./encoder.wasm", import.meta.url))): Promise<void> {
  return load(source);
}
