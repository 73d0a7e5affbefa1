/* Refusals, in the words of the sdk. A module tells their codes and numbers alone: words would make it twice as large. */

import type { Wire } from "./wire.js";

/** What went wrong. A code keeps its meaning; new ones may come. */
export type DeniableErrorCode =
  /** An argument of the wrong type or size: not a whole number, a field missing or unknown, not 32 bytes. */
  | "bad-argument"
  /** A shape of parameters, or a number in it, outside its limits. */
  | "out-of-range"
  /** A number that is no probability. */
  | "no-probability"
  /** A stage whose answer says nothing of its input. */
  | "no-information"
  /** Neither stage is there, so nothing would be randomized. */
  | "no-stage"
  /** Stages that put no bound on the privacy loss. */
  | "unprotected"
  /** A stage of the direct encoding whose probabilities do not add up to one. */
  | "not-direct"
  /** Parameters that cannot be, for another reason. */
  | "bad-params"
  /** A name that no metric has. */
  | "bad-metric-name"
  /** A kind of value that the encoding does not take. */
  | "wrong-kind"
  /** A place beyond the list of choices. */
  | "unknown-choice"
  /** More choices than a set may hold. */
  | "too-many-choices"
  /** A text that is empty or too long. */
  | "text-length"
  /** A value that cannot be encoded, for another reason. */
  | "bad-value"
  /** A batch without reports. */
  | "empty-batch"
  /** Reports that do not fit into one batch. */
  | "batch-too-large"
  /** A text that is no write key. */
  | "bad-key"
  /** A batch that cannot be, for another reason. */
  | "bad-batch"
  /** A catalog that is damaged, has faults, or is of a newer program. */
  | "bad-catalog"
  /** A stored state that is damaged. */
  | "unreadable-state"
  /** A stored state of a newer program. */
  | "newer-state"
  /** The host has no `crypto`, or it failed. */
  | "no-randomness"
  /** The module was not loaded before its use. */
  | "not-loaded"
  /** The module cannot be had, or the page's policy does not allow WebAssembly. */
  | "cannot-load";

/** Every refusal of this package. The message says what was given, what is allowed and what helps. */
export class DeniableError extends Error {
  override readonly name = "DeniableError";
  readonly code: DeniableErrorCode;

  constructor(code: DeniableErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** By the number that a module knows them by. */
export const ENCODINGS: readonly string[] = ["direct", "unary", "bloom"];

/** By the code of the module, from 1: the code of the page, and the words. */
export type Refusals = readonly (readonly [code: DeniableErrorCode, says: (details: Wire) => string])[];

/** Those of the encoder. */
export const REFUSALS: Refusals = [
  ["out-of-range", (of) => `${of.readText()} is ${of.readNumber()}, but must be from ${of.readNumber()} to ${of.readNumber()}`],
  ["no-probability", (of) => `${of.readNumber()} is not a probability: it must lie between 0 and 1`],
  ["no-information", (of) => `${stage(of)} carry no information: P(1|0) must be below P(1|1); choose two different probabilities`],
  ["no-stage", () => "there is no response stage, so nothing would be randomized: give a permanent or an instantaneous one"],
  ["unprotected", (of) => `${of.readText()} would have no bound on its privacy loss: some bit is certain; keep P(1|0) above 0 and P(1|1) below 1`],
  ["not-direct", (of) => {
    const [given, bits] = [stage(of), of.readNumber()];
    return `${given} do not fit the direct encoding of ${bits} values: P(1|1) + ${bits - 1} · P(1|0) must be 1 exactly, in steps of 2^-32`;
  }],
  ["bad-params", () => "these parameters cannot be"],
  ["bad-metric-name", (of) => `${JSON.stringify(of.readText())} is no metric name: it must start with a lower-case letter, go on with lower-case letters, digits, '_', '-' or '.', and have at most 64 bytes`],
  ["wrong-kind", (of) => `the ${ENCODINGS[of.readWhole()]} encoding does not take ${of.readText()}: direct takes a choice, unary a choice or a set of them, bloom a text`],
  ["unknown-choice", (of) => `choice ${of.readNumber()} is not in the list, whose ${of.readNumber()} choices are counted from 0`],
  ["too-many-choices", (of) => `a set of ${of.readNumber()} choices is over the limit of ${of.readNumber()}; raise \`hashes\`, or choose fewer`],
  ["text-length", (of) => `a text of ${of.readNumber()} bytes cannot be a value: 1 to 4096 are allowed`],
  ["bad-value", () => "this value cannot be encoded"],
  ["empty-batch", () => "a batch must hold at least one section and each section at least one report"],
  ["batch-too-large", (of) => `a batch of ${of.readNumber()} bytes is over the limit of 1048576; split it`],
  ["bad-key", () => "a write key has 32 hexadecimal digits"],
  ["bad-batch", () => "these reports make no batch"],
];

function stage(of: Wire): string {
  return `P(1|0) = ${of.readNumber()} and P(1|1) = ${of.readNumber()}`;
}

/** The error for a refusal of the module. */
export function refused(refusals: Refusals, place: number, details: Wire): DeniableError {
  const [code, says] = refusals[place - 1]!;
  return new DeniableError(code, says(details));
}

/** The error for an argument that should not have been passed. */
export function badArgument(message: string): DeniableError {
  return new DeniableError("bad-argument", message);
}

/** The error for a call before the module is there. */
export function notLoaded(): DeniableError {
  return new DeniableError("not-loaded", "nothing works before init: await init() first");
}

/** The error for a module that cannot be had. */
export function cannotLoad(cause: unknown): DeniableError {
  const message = `the module cannot be loaded (${cause}): serve the .wasm file beside the script, and allow 'wasm-unsafe-eval' in the page's script-src`;
  return new DeniableError("cannot-load", message, { cause });
}
