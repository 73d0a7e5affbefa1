/// <reference lib="esnext.disposable" />

export { DeviceSecret, Encoder, Params, Randomness, Report, writeBatch } from "./bindings.js";
export type { Encoding, ParamsInit, RapporInit, ResponseStage } from "./bindings.js";
export { DeniableError } from "./error.js";
export type { DeniableErrorCode } from "./error.js";

/**
 * Loads the encoder. Call it once, before anything else of this package; further calls do nothing.
 *
 * It loads the `.wasm` file that lies beside it. Where that cannot be reached, give another URL, a response, the bytes
 * or a compiled module.
 */
export function init(
  source?: string | URL | Response | BufferSource | WebAssembly.Module | Promise<Response | BufferSource>,
): Promise<void>;
