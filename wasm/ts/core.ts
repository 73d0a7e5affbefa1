/* The client without clock, disk or network, as the module has it. The order of values is that of `wasm/src/client.rs`. */

import { BAD_KEY, badArgument, OUT_OF_RANGE, type Refusals } from "./refusal.js";
import type { Stored } from "./storage.js";
import { Wire } from "./wire.js";

/** Whether the person has agreed that answers are kept and reported: nobody asked yet, yes, or no. */
export type Consent = "pending" | "given" | "withdrawn";

/** What a property of an event can be. */
export type PropertyValue = boolean | number | string;

/** The properties of an event, by name. */
export type Properties = Readonly<Record<string, PropertyValue | null | undefined>>;

/** An answer to a metric that the program answers by itself: a flag, a number, a label or text, a set of names, or nothing. */
export type Answer = boolean | number | string | readonly string[] | null;

/**
 * What became of an event: it was taken up; no such event is declared; there is no consent; the clock was never set. `queued`
 * until the client is there, and `off` where it cannot be, or too many calls wait.
 */
export type Tracked = "taken" | "unknown" | "no-consent" | "clock-not-set" | "queued" | "off";

/** What became of an answer. */
export type Recorded =
  | "reported" | "unknown" | "no-consent" | "clock-not-set" | "budget-spent" | "expired" | "not-rotated-in"
  | "answered-by-device" | "text-length" | "unfit" | "queued" | "off";

/** How likely each report is, whatever the answer. */
export type Odds =
  /** The report names one of so many answers: the true one with the chance `truth`, each other one with `other`. */
  | { kind: "choice"; truth: number; other: number; answers: number }
  /** The report is so many bits, at most `mostSet` of them for the true answer: set with the chance `set`, the others with `unset`. */
  | { kind: "bits"; set: number; unset: number; bits: number; mostSet: number };

/** What would be said of a metric if its period ended now. */
export interface Preview {
  metric: string;
  question: string;
  /** The true answer, in words, which does not leave the device; undefined if only the program knows it. */
  answer: string | undefined;
  /** The answers of a closed list; empty if any text can be one. */
  possible: string[];
  odds: Odds;
  /** ε₁, what one report costs. */
  epsilonOne: number;
  /** ε∞, what all reports of one answer cost together. */
  epsilonInfinity: number;
  /** The day on which the period ends, counted from 1970-01-01. */
  ends: number | undefined;
}

/** What a metric has cost this device. */
export interface Spent {
  metric: string;
  version: number;
  /** The reports that were made, sent or not. */
  reports: number;
  /** Those of them that wait or are on their way. */
  waiting: number;
  /** The reports that were refused because a cap would have been passed. */
  refused: number;
  thisWeek: number;
  forLife: number;
  stoppedBy: "week" | "life" | undefined;
}

/** A sum of ε, the most that may be spent, and what is left of it. */
export interface Budget {
  spent: number;
  cap: number;
  left: number;
}

/** What this device has spent, and may spend. */
export interface Ledger {
  metrics: Spent[];
  thisWeek: Budget;
  forLife: Budget;
  /** The reports that were ever made, sent or not. */
  reports: number;
  /** How often a stored state was lost together with what it knew of charges. */
  lostStates: number;
}

/** How the last upload ended. */
export type Outcome =
  | "delivered" | "refused" | "too-large" | "unreachable" | "timed-out" | "redirected" | "limited" | "failed"
  | "key-refused" | "not-a-collector";

/** What the module tells of itself. It holds no answer and no secret. */
export interface CoreStatus {
  consent: Consent;
  begun: "new" | "restored" | "anew";
  clockNotSet: boolean;
  /** The hash of the catalog whose questions are answered. */
  registry: string;
  catalogUnusable: boolean;
  storageFails: boolean;
  commit: number;
  stateBytes: number;
  uploads: {
    last: Outcome | undefined;
    httpStatus: number;
    failures: number;
    retryAt: number | undefined;
    counted: number;
    refused: Record<string, number>;
  };
  waiting: number;
  onTheWay: number;
  /** Reports that were made but will not be counted. */
  dropped: Record<"tooOld" | "noRoom" | "tooLarge" | "uncertain" | "erased", number>;
  /** Calls that were not taken, and answers that did not become reports. */
  refusals: Record<
    | "noConsent" | "clockNotSet" | "weekSpent" | "lifeSpent" | "expired" | "notAsked" | "notRotatedIn" | "unfit"
    | "tooManyProperties",
    number
  >;
}

/** An instant in milliseconds since 1970, and how many minutes local time is ahead of UTC. */
export type Moment = readonly [at: number, offset: number];

/** A body to be sent, and the batch that it is. */
export interface Upload {
  id: Uint8Array;
  body: Uint8Array<ArrayBuffer>;
}

/** What came of an upload: an answer of HTTP, or the status 0 where nothing answered, and 1 where nothing did in time. */
export interface Reply {
  status: number;
  retryAfter: string;
  body: Uint8Array;
}

/** The most that a catalog may spend and show, whatever it says itself. What is left out is what any registry may say. */
export interface Limits {
  /** The ε of a week; at most 64. */
  weekly?: number;
  /** The ε for ever; at most 64. */
  lifetime?: number;
  /** The bits of all public tags, which travel as they are; at most 16. */
  publicBits?: number;
}

/** What a client opens under that is only to erase. */
export const NO_CATALOG = new Uint8Array();

/** What a client opens with. */
export interface Opening {
  catalog: Uint8Array;
  key: string;
  consent: Consent;
  delaySeconds: number;
  limits: Limits;
  stored: Uint8Array;
  keptAside: boolean;
  random: Uint8Array;
}

/** The operations of the module. */
const enum Operation {
  Open = 16,
  Track,
  Record,
  Turn,
  Arm,
  Segment,
  Commit,
  Written,
  Upload,
  Finish,
  Wake,
  Catalog,
  Preview,
  Ledger,
  Status,
}

/** What changes a client as a whole, and timers. */
export const enum Turn {
  OptIn,
  OptOut,
  Reset,
  Flush,
  Advance,
  StartTimer,
  StopTimer,
}

/** What became of a catalog: it is the one in use, its questions are answered from now on, or it cannot be used. */
export const enum Taken {
  Unchanged,
  Changed,
  Unusable,
}

/** What the module says of an upload that is not on its way. */
const UNKNOWN = 4;
/** An error of storage, of whatever kind. */
const STORAGE_ERROR = 3;

/** More characters than any text may have bytes: what goes on after them makes no difference, and would take its time. */
const TOO_LONG = 4097;

/** What a consent can be, in the module's order. */
export const CONSENTS = ["pending", "given", "withdrawn"] as const;
const TRACKED = ["taken", "unknown", "no-consent", "clock-not-set"] as const;
const RECORDED = [
  "reported", "unknown", "no-consent", "clock-not-set", "budget-spent", "expired", "not-rotated-in", "answered-by-device",
  "text-length", "unfit",
] as const;
const OUTCOMES = [
  undefined, "delivered", "refused", "too-large", "unreachable", "timed-out", "redirected", "limited", "failed",
  "key-refused", "not-a-collector",
] as const;

/** What is said of a catalog that the module refuses. */
export const BAD_CATALOG = "this catalog cannot be used, so questions stay as they were: update the older of page and collector, or see whether it goes beyond `limits`";

/** Refusals that a client meets. */
const REFUSALS: Refusals = {
  0: OUT_OF_RANGE,
  7: ["bad-metric-name", (of) => `${of.readText()} is no name of a metric`],
  15: BAD_KEY,
  17: ["bad-catalog", () => BAD_CATALOG],
  18: ["unreadable-state", () => "the stored state could not be read: it was kept aside, and the client began anew"],
  19: ["newer-state", () => "a newer program wrote the stored state: update this one"],
};

function isPlain(value: unknown): value is PropertyValue {
  return ["boolean", "number", "string"].includes(typeof value);
}

/** A client of the module. */
export class Core extends Wire {
  /** Starts a client in a module of its own. */
  constructor(module: WebAssembly.Module) {
    super(REFUSALS, module);
  }

  /** Opens it; false if somebody else had the person forgotten, of whom the one before was told. */
  open(opening: Opening, now: Moment): boolean {
    if (!(opening.delaySeconds >= 0)) throw badArgument(`delaySeconds is ${opening.delaySeconds}, but must be a number from 0`);
    this.begin().putWhole(opening.catalog !== NO_CATALOG).putBytes(opening.catalog).putText(opening.key).putWhole(CONSENTS.indexOf(opening.consent));
    const { weekly = Infinity, lifetime = Infinity, publicBits = Infinity } = opening.limits;
    this.putNumber(1000 * opening.delaySeconds).putNumber(weekly).putNumber(lifetime).putNumber(publicBits).putBytes(opening.stored);
    return this.putWhole(opening.keptAside).putBytes(opening.random).#call(Operation.Open, now).readWhole() === 1;
  }

  track(kind: 0 | 1 | 2, name: string, properties: Properties, now: Moment): Tracked {
    const given = Object.entries(properties).filter(([, value]) => isPlain(value)) as [string, PropertyValue][];
    this.begin().putWhole(kind).putText(name).putWhole(given.length);
    for (const [name, value] of given) {
      this.putText(name);
      this.#value(value);
    }
    return TRACKED[this.#call(Operation.Track, now).readWhole()]!;
  }

  record(metric: string, answer: Answer, now: Moment): Recorded {
    this.begin().putText(metric);
    if (answer == null) this.putWhole(4);
    else if (isPlain(answer)) this.#value(answer);
    else if (Array.isArray(answer)) {
      this.putWhole(3).putWhole(answer.length);
      answer.forEach((name) => this.putText(name));
    } else return "unfit";
    return RECORDED[this.#call(Operation.Record, now).readWhole()]!;
  }

  override putText(text: string): this {
    return super.putText(String(text).slice(0, TOO_LONG));
  }

  #value(value: PropertyValue): void {
    if (typeof value === "boolean") this.putWhole(0).putWhole(value);
    else if (typeof value === "number") this.putWhole(1).putNumber(value);
    else this.putWhole(2).putText(value);
  }

  turn(turn: Turn, now: Moment, name = ""): this {
    return this.begin().putWhole(turn).putText(name).#call(Operation.Turn, now);
  }

  stopTimer(name: string, now: Moment): number | undefined {
    return this.turn(Turn.StopTimer, now, name).#optionalNumber();
  }

  arm(experiment: string): string | undefined {
    return this.begin().putText(experiment).call(Operation.Arm).#optionalText();
  }

  segment(name: string): string | undefined {
    return this.begin().putText(name).call(Operation.Segment).#optionalText();
  }

  /** The state to write, and whether nothing of earlier ones may be left. */
  commit(urgent: boolean, now: Moment): [state: Stored, erases: boolean] | undefined {
    this.begin().putWhole(urgent).#call(Operation.Commit, now);
    return this.readWhole() ? [{ commit: this.readNumber(), bytes: this.readBytes() }, this.readWhole() === 1] : undefined;
  }

  /** Tells whether a commit is durable. */
  settle(commit: number, isDurable: boolean, now: Moment): void {
    this.begin().putWhole(isDurable ? 0 : STORAGE_ERROR).putNumber(commit).#call(Operation.Written, now);
  }

  nextUpload(now: Moment): Upload | undefined {
    this.begin().#call(Operation.Upload, now);
    return this.readWhole() ? { id: this.readBytes(), body: this.readBytes() } : undefined;
  }

  /** Tells what came of an upload; false if it is not on its way. */
  finishUpload(id: Uint8Array, reply: Reply, now: Moment): boolean {
    this.begin().putBytes(id).putWhole(reply.status).putText(reply.retryAfter).putBytes(reply.body);
    return this.#call(Operation.Finish, now).readWhole() !== UNKNOWN;
  }

  /** When to commit and upload again, in milliseconds since 1970. */
  wakeAt(): number | undefined {
    return this.begin().call(Operation.Wake).#optionalNumber();
  }

  catalog(bytes: Uint8Array, now: Moment): Taken {
    return this.begin().putBytes(bytes).#call(Operation.Catalog, now).readWhole();
  }

  preview(now: Moment): Preview[] {
    this.begin().#call(Operation.Preview, now);
    return this.readList(() => ({
      metric: this.readText(),
      question: this.readText(),
      answer: this.#optionalText(),
      possible: this.readList(() => this.readText()),
      odds: this.#odds(),
      epsilonOne: this.readNumber(),
      epsilonInfinity: this.readNumber(),
      ends: this.readWhole() ? this.readWhole() : undefined,
    }));
  }

  #odds(): Odds {
    const isBits = this.readWhole();
    const [a, b, count, mostSet] = [this.readNumber(), this.readNumber(), this.readNumber(), this.readNumber()];
    if (isBits) return { kind: "bits", set: a, unset: b, bits: count, mostSet };
    return { kind: "choice", truth: a, other: b, answers: count };
  }

  ledger(now: Moment): Ledger {
    this.begin().#call(Operation.Ledger, now);
    const budget = () => ({ spent: this.readNumber(), cap: this.readNumber(), left: this.readNumber() });
    return {
      metrics: this.readList(() => ({
        metric: this.readText(),
        version: this.readWhole(),
        reports: this.readNumber(),
        waiting: this.readNumber(),
        refused: this.readNumber(),
        thisWeek: this.readNumber(),
        forLife: this.readNumber(),
        stoppedBy: ([undefined, "week", "life"] as const)[this.readWhole()],
      })),
      thisWeek: budget(),
      forLife: budget(),
      reports: this.readNumber(),
      lostStates: this.readWhole(),
    };
  }

  status(): CoreStatus {
    this.begin().call(Operation.Status);
    const flag = () => this.readWhole() === 1;
    const count = () => this.readNumber();
    return {
      consent: CONSENTS[this.readWhole()]!,
      begun: (["new", "restored", "anew"] as const)[this.readWhole()]!,
      clockNotSet: flag(),
      registry: Array.from(this.readBytes(), (byte) => byte.toString(16).padStart(2, "0")).join(""),
      catalogUnusable: flag(),
      storageFails: flag(),
      commit: count(),
      stateBytes: count(),
      uploads: {
        last: OUTCOMES[this.readWhole()],
        httpStatus: this.readWhole(),
        failures: this.readWhole(),
        retryAt: this.#optionalNumber(),
        counted: count(),
        refused: Object.fromEntries(this.readList(() => [this.readText(), count()] as const)),
      },
      waiting: count(),
      onTheWay: count(),
      dropped: { tooOld: count(), noRoom: count(), tooLarge: count(), uncertain: count(), erased: count() },
      refusals: {
        noConsent: count(),
        clockNotSet: count(),
        weekSpent: count(),
        lifeSpent: count(),
        expired: count(),
        notAsked: count(),
        notRotatedIn: count(),
        unfit: count(),
        tooManyProperties: count(),
      },
    };
  }

  #call(operation: Operation, [at, offset]: Moment): this {
    return this.putNumber(at).putNumber(offset).call(operation);
  }

  #optionalText(): string | undefined {
    return this.readWhole() ? this.readText() : undefined;
  }

  #optionalNumber(): number | undefined {
    return this.readWhole() ? this.readNumber() : undefined;
  }
}
