export { DeviceSecret, Encoder, Params, Randomness, Report, writeBatch } from "./bindings.js";
export { DeniableError } from "./error.js";
