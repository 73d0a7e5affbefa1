// The entry for pages, workers and bundlers.
import load from "./bindings.js";

export * from "./surface.js";

export async function init(source = new URL("./bindings_bg.wasm", import.meta.url)) {
  await load({ module_or_path: source });
}
