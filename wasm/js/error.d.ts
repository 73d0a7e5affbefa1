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
  /** The host has no `crypto`, or it failed. */
  | "no-randomness";

/** Every refusal of this package. The message says what was given, what is allowed and what helps. */
export class DeniableError extends Error {
  private constructor();
  readonly name: "DeniableError";
  readonly code: DeniableErrorCode;
}
