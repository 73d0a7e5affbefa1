/* The package's side of `wasm/src/wire.rs`: values in, an operation, values out. */

import { cannotLoad, notLoaded, refused, type Refusals } from "./refusal.js";

/** What a module exports. */
interface Exports {
  memory: WebAssembly.Memory;
  room(size: number): number;
  call(operation: number): number;
}

/** From where a module can be had. */
export type Source = string | URL | Response | BufferSource | WebAssembly.Module;

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder();

/** The way into a module and out of it. Values are written one by one, then `call` makes them the arguments. */
export class Wire {
  readonly #refusals: Refusals;
  #exports?: Exports;
  #view = new DataView(new ArrayBuffer(0));
  #room = 0;
  #size = 0;
  #at = 0;

  constructor(refusals: Refusals) {
    this.#refusals = refusals;
  }

  /** Compiles and starts the module, once. */
  async load(source: Source | Promise<Source>): Promise<void> {
    const module = await compile(source);
    this.#exports ??= started(module);
  }

  /** As `load`, where the bytes or the module are at hand. */
  loadSync(source: BufferSource | WebAssembly.Module): void {
    try {
      this.#exports ??= started(source instanceof WebAssembly.Module ? source : new WebAssembly.Module(source));
    } catch (cause) {
      throw cannotLoad(cause);
    }
  }

  /** Begins the arguments of a call. */
  begin(): this {
    this.#at = 0;
    return this.#ensure(4096);
  }

  whole(number: number): this {
    this.#ensure(4).#view.setUint32(this.#room + this.#at, number, true);
    this.#at += 4;
    return this;
  }

  number(number: number): this {
    this.#ensure(8).#view.setFloat64(this.#room + this.#at, number, true);
    this.#at += 8;
    return this;
  }

  bytes(bytes: Uint8Array): this {
    return this.whole(bytes.length).raw(bytes);
  }

  /** Bytes without their number: values that were written before. */
  raw(bytes: Uint8Array): this {
    this.#ensure(bytes.length);
    this.#bytes(this.#room + this.#at, bytes.length).set(bytes);
    this.#at += bytes.length;
    return this;
  }

  text(text: string): this {
    const most = 3 * text.length;
    this.whole(0).#ensure(most);
    const { written } = utf8.encodeInto(text, this.#bytes(this.#room + this.#at, most));
    this.#view.setUint32(this.#room + this.#at - 4, written, true);
    this.#at += written;
    return this;
  }

  /** A copy of what was written since `begin`. */
  soFar(): Uint8Array {
    return this.#bytes(this.#room, this.#at).slice();
  }

  /** Carries out an operation. What it answers is read from here on. */
  call(operation: number): this {
    const at = this.#exports!.call(operation);
    this.#look();
    this.#at = at + 1;
    const code = this.#view.getUint8(at);
    if (code) throw refused(this.#refusals, code, this);
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
    const { buffer } = this.#exports!.memory;
    if (this.#view.buffer !== buffer) this.#view = new DataView(buffer);
  }

  #ensure(size: number): this {
    if (!this.#exports) throw notLoaded();
    if (this.#at + size > this.#size) {
      this.#room = this.#exports.room((this.#size = 2 * (this.#at + size)));
      this.#look();
    }
    return this;
  }
}

function started(module: WebAssembly.Module): Exports {
  return new WebAssembly.Instance(module).exports as unknown as Exports;
}

/** Compiles a module, from wherever it is. */
export async function compile(from: Source | Promise<Source>): Promise<WebAssembly.Module> {
  try {
    let source = await from;
    if (source instanceof WebAssembly.Module) return source;
    if (typeof source === "string" || source instanceof URL) source = await fetch(source);
    if (!(source instanceof Response)) return await WebAssembly.compile(source as BufferSource);
    if (!source.ok) throw new Error(`${source.url} answers ${source.status}`);
    return await WebAssembly.compile(await source.arrayBuffer());
  } catch (cause) {
    throw cannotLoad(cause);
  }
}
