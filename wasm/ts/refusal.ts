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

/** A refusal of a module: the code that a page sees, and the words. */
export type Refusal = readonly [code: DeniableErrorCode, says: (details: Wire) => string];

/** The refusals of a module, by their places in the list of `wasm/src/refusal.rs`, counted from 0. */
export type Refusals = { readonly [place: number]: Refusal };

export const OUT_OF_RANGE: Refusal = ["out-of-range", (of) => `${of.readText()} is ${of.readNumber()}, but must be from ${of.readNumber()} to ${of.readNumber()}`];
export const BAD_KEY: Refusal = ["bad-key", () => "a write key has 32 hexadecimal digits"];

/** The error for a refusal of the module. */
export function refused(refusals: Refusals, place: number, details: Wire): DeniableError {
  const [code, says] = refusals[place]!;
  return new DeniableError(code, says(details));
}

/** The error for an argument that should not have been passed. */
export function badArgument(message: string): DeniableError {
  return new DeniableError("bad-argument", message);
}

/** The error for a module that cannot be had. */
export function cannotLoad(cause: unknown): DeniableError {
  const message = `the module cannot be loaded (${cause}): serve the .wasm file beside the script or give it as \`module\`, and allow 'wasm-unsafe-eval' in the page's script-src and its address in connect-src`;
  return new DeniableError("cannot-load", message, { cause });
}
