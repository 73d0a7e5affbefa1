// The entry for Node, where `fetch` does not read files.
import { readFile } from "node:fs/promises";

import load from "./bindings.js";

export * from "./surface.js";

export async function init(source = readFile(new URL("./bindings_bg.wasm", import.meta.url))) {
  await load({ module_or_path: source });
}
