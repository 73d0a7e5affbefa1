/* What the host gives: randomness, and numbers that are what they seem. */

import { badArgument, DeniableError } from "./refusal.js";

/** Draws random bytes, or throws: nothing is ever encoded with weaker ones. */
export function randomBytes(size: number): Uint8Array<ArrayBuffer> {
  try {
    const drawn = crypto.getRandomValues(new Uint8Array(size));
    if (drawn.some((byte) => byte)) return drawn;
  } catch {
    // Said below.
  }
  throw new DeniableError("no-randomness", "crypto.getRandomValues is missing or failed, so nothing can be reported");
}

/** A whole number from 0 to 2³² − 1; a number in JavaScript may be 0.5, NaN or 2⁵³. Narrower limits are the sdk's to know. */
export function whole(name: string, number: unknown): number {
  if ((number as number) >>> 0 === number) return number;
  throw badArgument(`${name} is ${number as number}, but must be a whole number from 0 to 4294967295`);
}

/** A value of the type named. */
export function typed<T>(name: string, value: T, type: "number" | "string"): T {
  if (typeof value === type) return value;
  throw badArgument(`${name} must be given, as a ${type}`);
}

/** So many bytes. */
export function sized(name: string, bytes: unknown, size: number): Uint8Array {
  if (bytes instanceof Uint8Array && bytes.length === size) return bytes;
  throw badArgument(`${name} must be a Uint8Array of ${size} bytes`);
}

/** An object with no other fields than these. */
export function fields(object: object, known: string): void {
  const other = Object.keys(Object(object)).find((key) => !known.split(" ").includes(key));
  if (typeof object !== "object" || !object || other) {
    throw badArgument(`${other ?? object} was not expected, but an object with the fields ${known}`);
  }
}
