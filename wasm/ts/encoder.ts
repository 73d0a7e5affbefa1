/**
 * The encoder alone: parameters, reports and batches, for programs that keep their own state and send for themselves.
 *
 * @module
 */

import { badArgument, ENCODINGS, REFUSALS } from "./refusal.js";
import { fields, randomBytes, sized, typed, whole } from "./host.js";
import { Wire, type Source } from "./wire.js";

export { DeniableError, type DeniableErrorCode } from "./refusal.js";
export type { Source } from "./wire.js";

const RELEASE = 0, CHECK = 1, SEED = 2, ENCODER = 3, ENCODE = 4, BITS = 5, BATCH = 6;

const wire = new Wire(REFUSALS);

/**
 * Loads the encoder. Call it once, before anything else of this entry; further calls do nothing.
 *
 * It loads the `.wasm` file that lies beside it. Where that cannot be reached, give another URL, a response, the bytes or a
 * compiled module.
 *
 * @throws {DeniableError} `cannot-load`
 */
export function init(source: Source | Promise<Source> = new URL("./encoder.wasm", import.meta.url)): Promise<void> {
  return wire.load(source);
}

/**
 * Loads the encoder from bytes or a module that are at hand, at once.
 *
 * @throws {DeniableError} `cannot-load`
 */
export function initSync(source: BufferSource | WebAssembly.Module): void {
  wire.loadSync(source);
}

/** Gives back what the module keeps for an object that the page has dropped. */
const dropped = new FinalizationRegistry<number>((place) => wire.begin().whole(place).call(RELEASE));

/** How a value becomes bits: one of a few (`direct`), one or some of a list (`unary`), or an open text (`bloom`). */
export type Encoding = "direct" | "unary" | "bloom";

/** A response stage: how probable a reported 1 is where the bit is 0 and where it is 1. `zero` is below `one`. */
export interface ResponseStage {
  zero: number;
  one: number;
}

/** Parameters in full. At least one stage must be given. */
export interface ParamsInit {
  encoding: Encoding;
  /** The bits of a report (k), 1 to 4096: the number of choices, or the width of the Bloom filter. */
  bits: number;
  /** The hash functions of the Bloom filter, or the most choices in a set (h), 1 to 16. Without it, 1. */
  hashes?: number;
  /** The cohorts that devices are spread over (m), 1 to 65536. Without it, 1. */
  cohorts?: number;
  /** The stage whose answer a device keeps for ever. */
  permanent?: ResponseStage;
  /** The stage that is drawn anew for each report. */
  instantaneous?: ResponseStage;
}

/** The classic parameters of RAPPOR (Erlingsson, Pihur, Korolova 2014). */
export interface RapporInit {
  /** The width of the Bloom filter (k), 1 to 4096. */
  bits: number;
  /** Its hash functions (h), 1 to 16. */
  hashes: number;
  /** The cohorts (m), 1 to 65536. */
  cohorts: number;
  /** The share of bits that the permanent response replaces by coin flips. */
  f: number;
  /** How probable a reported 1 is where the permanent response is 0. */
  p: number;
  /** How probable a reported 1 is where the permanent response is 1. */
  q: number;
}

/**
 * The shape of a report and the stages that randomize it, with their privacy loss.
 *
 * A collector counts a report only if both sides have equal parameters, to the bit.
 */
export class Params {
  /** ε₁, the privacy loss of one report, in nats and rounded up. */
  readonly epsilonOne: number;
  /** ε∞, the privacy loss of all reports of one value, for ever; `Infinity` without a permanent stage. */
  readonly epsilonInfinity: number;
  /** A short name for these parameters, 16 hexadecimal digits. Reports carry it. */
  readonly fingerprint: string;
  /** As the module reads them. */
  readonly #bytes: Uint8Array;

  /**
   * Makes parameters from all their parts.
   *
   * @throws {DeniableError} for a value out of range, for stages that tell nothing, and for stages that protect nothing
   */
  constructor(init: ParamsInit) {
    wire.begin();
    if (init instanceof Classic) writeClassic(init);
    else writeParams(init);
    this.#bytes = wire.soFar();
    wire.call(CHECK);
    this.epsilonOne = wire.readNumber();
    this.epsilonInfinity = wire.readNumber();
    this.fingerprint = Array.from(wire.readBytes(), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /**
   * Makes the classic parameters of RAPPOR. Open texts go into a Bloom filter; with 1 bit it is a yes or no.
   *
   * @throws {DeniableError} as the constructor
   */
  static rappor(init: RapporInit): Params {
    return new Params(new Classic(init) as never);
  }

  /** @internal */
  static bytes(params: Params): Uint8Array {
    return params.#bytes;
  }
}

/** Marks parameters that are given by the letters of RAPPOR. */
class Classic {
  constructor(readonly init: RapporInit) {}
}

function writeParams(init: ParamsInit): void {
  fields(init, "encoding bits hashes cohorts permanent instantaneous");
  const encoding = ENCODINGS.indexOf(init.encoding);
  if (encoding < 0) throw badArgument('encoding must be "direct", "unary" or "bloom"');
  writeShape(encoding, init.bits, init.hashes ?? 1, init.cohorts ?? 1);
  for (const stage of [init.permanent, init.instantaneous]) {
    wire.whole(stage ? 1 : 0);
    if (stage) {
      fields(stage, "zero one");
      wire.number(typed("zero", stage.zero, "number")).number(typed("one", stage.one, "number"));
    }
  }
}

function writeClassic({ init }: Classic): void {
  fields(init, "bits hashes cohorts f p q");
  writeShape(3, init.bits, init.hashes, init.cohorts);
  wire.number(typed("f", init.f, "number")).number(typed("p", init.p, "number")).number(typed("q", init.q, "number"));
}

function writeShape(kind: number, bits: number, hashes: number, cohorts: number): void {
  wire.whole(kind).whole(whole("bits", bits)).whole(whole("hashes", hashes)).whole(whole("cohorts", cohorts));
}

/**
 * 256 secret bits that a device draws once and keeps.
 *
 * Permanent responses are derived from it, so a device that loses it answers every question anew, and pays for it anew.
 * Keep it where only this page or program reads, and never send it.
 */
export class DeviceSecret {
  #bytes: Uint8Array;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /**
   * Draws a new secret from `crypto`.
   *
   * @throws {DeniableError} `no-randomness` if the host has none to give
   */
  static draw(): DeviceSecret {
    return new DeviceSecret(randomBytes(32));
  }

  /**
   * Takes up a secret that was stored.
   *
   * @throws {DeniableError} `bad-argument` unless there are 32 bytes
   */
  static fromBytes(bytes: Uint8Array): DeviceSecret {
    return new DeviceSecret(sized("the secret", bytes, 32).slice());
  }

  /** The 32 bytes to store. */
  toBytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#bytes);
  }
}

/** The coins of reports: a generator seeded with 256 bits from `crypto`. One serves any number of reports. */
export class Randomness {
  /** @internal */
  readonly place: number;

  private constructor(seed: Uint8Array) {
    this.place = wire.begin().bytes(seed).call(SEED).readWhole();
    dropped.register(this, this.place);
  }

  /**
   * Draws a seed from `crypto`.
   *
   * @throws {DeniableError} `no-randomness` if the host has none to give; nothing can be reported then
   */
  static fromCrypto(): Randomness {
    return new Randomness(randomBytes(32));
  }
}

/**
 * Makes the reports of one device for one version of one metric.
 *
 * A report costs `epsilonOne` of privacy, and all reports of one value together at most `epsilonInfinity`.
 */
export class Encoder {
  /** The name of the metric. */
  readonly metric: string;
  /** Its version. */
  readonly version: number;
  /** The cohort of this device for this metric, from 0. */
  readonly cohort: number;
  #place: number;

  /**
   * Makes an encoder.
   *
   * @throws {DeniableError} `bad-metric-name` or `bad-argument`
   */
  constructor(metric: string, version: number, params: Params, secret: DeviceSecret) {
    wire.begin().text((this.metric = typed("metric", metric, "string"))).whole((this.version = whole("version", version)));
    this.#place = wire.bytes(secret.toBytes()).raw(Params.bytes(params)).call(ENCODER).readWhole();
    this.cohort = wire.readWhole();
    dropped.register(this, this.#place);
  }

  /**
   * Encodes one of a list, by its place from 0. The epoch is the day on which the period began, counted from 1970-01-01
   * UTC.
   *
   * @throws {DeniableError} `unknown-choice`, `wrong-kind` or `bad-argument`; no report is made then
   */
  encodeChoice(choice: number, epoch: number, randomness: Randomness): Report {
    return this.#encode(epoch, randomness, 0, () => wire.whole(whole("choice", choice)));
  }

  /**
   * Encodes some of a list, by their places from 0; perhaps none.
   *
   * @throws {DeniableError} as `encodeChoice`, and `too-many-choices`
   */
  encodeChoices(choices: readonly number[], epoch: number, randomness: Randomness): Report {
    return this.#encode(epoch, randomness, 1, () => {
      wire.whole(choices.length);
      choices.forEach((choice) => wire.whole(whole("choice", choice)));
    });
  }

  /**
   * Encodes a text of 1 to 4096 bytes in UTF-8.
   *
   * @throws {DeniableError} `text-length`, `wrong-kind` or `bad-argument`; no report is made then
   */
  encodeText(value: string, epoch: number, randomness: Randomness): Report {
    return this.#encode(epoch, randomness, 2, () => wire.text(typed("text", value, "string")));
  }

  #encode(epoch: number, randomness: Randomness, kind: number, write: () => void): Report {
    wire.begin().whole(this.#place).whole(randomness.place).whole(whole("epoch", epoch)).whole(kind);
    write();
    return Report.of(this, epoch, wire.call(ENCODE).readWhole());
  }
}

/** A randomized answer: all that leaves the device about a value. Only an `Encoder` makes one. */
export class Report {
  /** The metric that it answers. */
  readonly metric: string;
  /** The version of the metric. */
  readonly version: number;
  /** The cohort that it comes from. */
  readonly cohort: number;
  /** The period that it belongs to. */
  readonly epoch: number;
  #place: number | undefined;

  private constructor(encoder: Encoder, epoch: number, place: number) {
    ({ metric: this.metric, version: this.version, cohort: this.cohort } = encoder);
    this.epoch = epoch;
    this.#place = place;
    dropped.register(this, place, this);
  }

  /** @internal */
  static of(encoder: Encoder, epoch: number, place: number): Report {
    return new Report(encoder, epoch, place);
  }

  /** Its bits, eight in a byte: bit i in place i mod 8 of byte ⌊i/8⌋. */
  get bits(): Uint8Array<ArrayBuffer> {
    return wire.begin().whole(Report.place(this)).call(BITS).readBytes();
  }

  /** @internal */
  static place(report: Report): number {
    if (#place in Object(report) && report.#place !== undefined) return report.#place;
    throw badArgument("a batch is made of reports, each of which goes into one batch");
  }

  /** @internal */
  static take(report: Report): number {
    const place = Report.place(report);
    report.#place = undefined;
    dropped.unregister(report);
    return place;
  }
}

/**
 * Writes reports as one batch, the body of one request. To repeat a request send the same bytes again: the collector counts
 * a batch once.
 *
 * The reports are taken over and cannot be used again, even where this fails. The write key is the text of 32 digits that
 * the collector's operator gave; leave it out for a collector that asks for none. The id is 16 random bytes, drawn from
 * `crypto` unless given.
 *
 * @throws {DeniableError} `empty-batch`, `batch-too-large` (over 1 MiB), `bad-key`, `bad-argument` or `no-randomness`
 */
export function writeBatch(reports: readonly Report[], key = "", id = randomBytes(16)): Uint8Array<ArrayBuffer> {
  reports.forEach(Report.place);
  wire.begin().text(typed("key", key, "string")).bytes(sized("the id", id, 16)).whole(reports.length);
  reports.forEach((report) => wire.whole(Report.take(report)));
  return wire.call(BATCH).readBytes();
}
