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
  throw new DeniableError(
    "no-randomness",
    "the host gave no randomness, so nothing can be reported: crypto.getRandomValues is missing here, or it failed",
  );
}

/** A whole number from 0 to 2³² − 1; a number in JavaScript may be 0.5, NaN or 2⁵³. Narrower limits are the sdk's to know. */
export function whole(name: string, number: unknown): number {
  if ((number as number) >>> 0 === number) return number;
  throw badArgument(`${name} is ${String(number)}, but must be a whole number from 0 to 4294967295`);
}

/** A number. */
export function number(name: string, number: unknown): number {
  if (typeof number === "number") return number;
  throw badArgument(`${name} must be given, as a number`);
}

/** A text. */
export function text(name: string, text: unknown): string {
  if (typeof text === "string") return text;
  throw badArgument(`${name} must be given, as a text`);
}

/** So many bytes. */
export function sized(name: string, bytes: unknown, size: number): Uint8Array {
  if (bytes instanceof Uint8Array && bytes.length === size) return bytes;
  throw badArgument(`${name} must be a Uint8Array of ${size} bytes`);
}

/** An object with no other fields than these. */
export function fields<T extends object>(object: T, known: string): T {
  const other = Object.keys(Object(object)).find((key) => !known.split(" ").includes(key));
  if (typeof object === "object" && object && !other) return object;
  throw badArgument(`${other ?? String(object)} is not known here: an object with the fields ${known} is`);
}
