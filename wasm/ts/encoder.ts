/**
 * The encoder alone: parameters, reports and batches, for programs that keep their own state and send for themselves.
 *
 * @module
 */

import { fields, randomBytes, sized, typed, whole } from "./host.js";
import { BAD_KEY, badArgument, DeniableError, OUT_OF_RANGE, type Refusals } from "./refusal.js";
import { compile, Wire, type Source } from "./wire.js";

export { DeniableError, type DeniableErrorCode } from "./refusal.js";
export type { Source } from "./wire.js";

const RELEASE = 0, CHECK = 1, SEED = 2, ENCODER = 3, ENCODE = 4, BITS = 5, BATCH = 6;

/** By the number that the module knows them by. */
const ENCODINGS: readonly string[] = ["direct", "unary", "bloom"];

const REFUSALS: Refusals = [
  OUT_OF_RANGE,
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
  BAD_KEY,
  ["bad-batch", () => "these reports make no batch"],
];

let wire: Wire;

/** Begins the arguments of a call. */
function begin(): Wire {
  if (!wire) throw new DeniableError("not-loaded", "nothing works before init: await init() first");
  return wire.begin();
}

/**
 * Loads the encoder. Call it once, before anything else of this entry; further calls do nothing.
 *
 * It loads the `.wasm` file that lies beside it. Where that cannot be reached, give another URL, a response, the bytes or a
 * compiled module.
 *
 * @throws {DeniableError} `cannot-load`
 */
export async function init(source: Source | Promise<Source> = beside()): Promise<void> {
  initSync(await compile(source));
}

/** A bundler may make a script that has no address. */
async function beside(): Promise<URL> {
  return new URL("./encoder.wasm", import.meta.url);
}

/**
 * Loads the encoder from bytes or a module that are at hand, at once.
 *
 * @throws {DeniableError} `cannot-load`
 */
export function initSync(source: BufferSource | WebAssembly.Module): void {
  wire ??= new Wire(REFUSALS, source);
}

/** Gives back what the module keeps for an object that the page has dropped. */
const dropped = new FinalizationRegistry<number>((place) => begin().putWhole(place).call(RELEASE));

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
    begin();
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
    wire.putWhole(stage ? 1 : 0);
    if (stage) {
      fields(stage, "zero one");
      wire.putNumber(typed("zero", stage.zero, "number")).putNumber(typed("one", stage.one, "number"));
    }
  }
}

function writeClassic({ init }: Classic): void {
  fields(init, "bits hashes cohorts f p q");
  writeShape(3, init.bits, init.hashes, init.cohorts);
  wire.putNumber(typed("f", init.f, "number")).putNumber(typed("p", init.p, "number")).putNumber(typed("q", init.q, "number"));
}

function writeShape(kind: number, bits: number, hashes: number, cohorts: number): void {
  wire.putWhole(kind).putWhole(whole("bits", bits)).putWhole(whole("hashes", hashes)).putWhole(whole("cohorts", cohorts));
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
    this.place = begin().putBytes(seed).call(SEED).readWhole();
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
    begin().putText((this.metric = typed("metric", metric, "string"))).putWhole((this.version = whole("version", version)));
    this.#place = wire.putBytes(secret.toBytes()).putRaw(Params.bytes(params)).call(ENCODER).readWhole();
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
    return this.#encode(epoch, randomness, 0, () => wire.putWhole(whole("choice", choice)));
  }

  /**
   * Encodes some of a list, by their places from 0; perhaps none.
   *
   * @throws {DeniableError} as `encodeChoice`, and `too-many-choices`
   */
  encodeChoices(choices: readonly number[], epoch: number, randomness: Randomness): Report {
    return this.#encode(epoch, randomness, 1, () => {
      wire.putWhole(choices.length);
      choices.forEach((choice) => wire.putWhole(whole("choice", choice)));
    });
  }

  /**
   * Encodes a text of 1 to 4096 bytes in UTF-8.
   *
   * @throws {DeniableError} `text-length`, `wrong-kind` or `bad-argument`; no report is made then
   */
  encodeText(value: string, epoch: number, randomness: Randomness): Report {
    return this.#encode(epoch, randomness, 2, () => wire.putText(typed("text", value, "string")));
  }

  #encode(epoch: number, randomness: Randomness, kind: number, write: () => void): Report {
    begin().putWhole(this.#place).putWhole(randomness.place).putWhole(whole("epoch", epoch)).putWhole(kind);
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
    return begin().putWhole(Report.place(this)).call(BITS).readBytes();
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
  begin().putText(typed("key", key, "string")).putBytes(sized("the id", id, 16)).putWhole(reports.length);
  reports.forEach((report) => wire.putWhole(Report.take(report)));
  return wire.call(BATCH).readBytes();
}

function stage(of: Wire): string {
  return `P(1|0) = ${of.readNumber()} and P(1|1) = ${of.readNumber()}`;
}
