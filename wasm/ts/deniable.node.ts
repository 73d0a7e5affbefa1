/* The entry for Node, where `fetch` does not read files. */

import { readFile } from "node:fs/promises";

import { start as begin, type Client, type Options } from "./deniable.js";

export * from "./deniable.js";

export function start(options: Options): Client {
  return begin({ module: readFile(new URL("./client.wasm", import.meta.url)), ...options });
}
