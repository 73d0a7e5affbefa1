/* The package's side of `wasm/src/wire.rs`: values in, an operation, values out. */

import { cannotLoad, refused, type Refusals } from "./refusal.js";

/** What a module exports. */
interface Exports {
  memory: WebAssembly.Memory;
  room(size: number): number;
  call(operation: number): number;
}

/** From where a module can be had. A request may name the hash that pins it, as `integrity`. */
export type Source = string | URL | Request | Response | BufferSource | WebAssembly.Module;

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder();

/** The way into a module and out of it. Values are written one by one, then `call` makes them the arguments. */
export class Wire {
  readonly #refusals: Refusals;
  readonly #exports: Exports;
  #view = new DataView(new ArrayBuffer(0));
  #room = 0;
  #size = 0;
  #at = 0;

  /** Starts a module. */
  constructor(refusals: Refusals, source: BufferSource | WebAssembly.Module) {
    this.#refusals = refusals;
    try {
      const module = source instanceof WebAssembly.Module ? source : new WebAssembly.Module(source);
      this.#exports = new WebAssembly.Instance(module).exports as unknown as Exports;
    } catch (cause) {
      throw cannotLoad(cause);
    }
  }

  /** Begins the arguments of a call. */
  begin(): this {
    this.#at = 0;
    return this.#ensure(4096);
  }

  putWhole(number: number | boolean): this {
    this.#ensure(4).#view.setUint32(this.#room + this.#at, number as number, true);
    this.#at += 4;
    return this;
  }

  putNumber(number: number): this {
    this.#ensure(8).#view.setFloat64(this.#room + this.#at, number, true);
    this.#at += 8;
    return this;
  }

  putBytes(bytes: Uint8Array): this {
    return this.putWhole(bytes.length).putRaw(bytes);
  }

  /** Bytes without their number: values that were written before. */
  putRaw(bytes: Uint8Array): this {
    this.#ensure(bytes.length);
    this.#bytes(this.#room + this.#at, bytes.length).set(bytes);
    this.#at += bytes.length;
    return this;
  }

  putText(text: string): this {
    return this.putBytes(utf8.encode(text));
  }

  /** A copy of what was written since `begin`. */
  soFar(): Uint8Array {
    return this.#bytes(this.#room, this.#at).slice();
  }

  /** Carries out an operation. What it answers is read from here on. */
  call(operation: number): this {
    const at = this.#exports.call(operation);
    this.#look();
    this.#at = at + 1;
    const code = this.#view.getUint8(at);
    if (code) throw refused(this.#refusals, code - 1, this);
    return this;
  }

  readWhole(): number {
    return this.#view.getUint32((this.#at += 4) - 4, true);
  }

  readNumber(): number {
    return this.#view.getFloat64((this.#at += 8) - 8, true);
  }

  /** A copy of bytes. */
  readBytes(): Uint8Array<ArrayBuffer> {
    const size = this.readWhole();
    return this.#bytes((this.#at += size) - size, size).slice();
  }

  readText(): string {
    return fromUtf8.decode(this.readBytes());
  }

  /** A list whose values `read` reads. */
  readList<T>(read: () => T): T[] {
    return Array.from({ length: this.readWhole() }, read);
  }

  #bytes(at: number, size: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#view.buffer as ArrayBuffer, at, size);
  }

  /** Memory that has grown is another buffer. */
  #look(): void {
    const { buffer } = this.#exports.memory;
    if (this.#view.buffer !== buffer) this.#view = new DataView(buffer);
  }

  #ensure(size: number): this {
    if (this.#at + size > this.#size) {
      this.#room = this.#exports.room((this.#size = 2 * (this.#at + size)));
      this.#look();
    }
    return this;
  }
}

/** Compiles a module, from wherever it is. */
export async function compile(from: Source | Promise<Source>): Promise<WebAssembly.Module> {
  try {
    let source = await from;
    if (source instanceof WebAssembly.Module) return source;
    if (typeof source === "string" || source instanceof URL || source instanceof Request) source = await fetch(source);
    if (!(source instanceof Response)) return await WebAssembly.compile(source as BufferSource);
    if (!source.ok) throw new Error(`${source.url} answers ${source.status}`);
    return await WebAssembly.compile(await source.arrayBuffer());
  } catch (cause) {
    throw cannotLoad(cause);
  }
}
