/* The client without clock, disk or network, as the module has it. The order of values is that of `wasm/src/client.rs`. */

import { badArgument, REFUSALS, type Refusals } from "./refusal.js";
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
 * until the client is there, and `off` where it cannot be.
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

/** A state to be made durable. */
export interface Commit {
  number: number;
  bytes: Uint8Array<ArrayBuffer>;
}

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

/** What a client opens with. */
export interface Opening {
  catalog: Uint8Array;
  key: string;
  consent: Consent;
  delaySeconds: number;
  stored: Uint8Array;
  keptAside: boolean;
  random: Uint8Array;
}

const OPEN = 16, TRACK = 17, RECORD = 18, TURN = 19, ARM = 20, SEGMENT = 21, COMMIT = 22, WRITTEN = 23, UPLOAD = 24,
  FINISH = 25, WAKE = 26, CATALOG = 27, PREVIEW = 28, LEDGER = 29, STATUS = 30;

const CONSENTS = ["pending", "given", "withdrawn"] as const;
const TRACKED = ["taken", "unknown", "no-consent", "clock-not-set"] as const;
const RECORDED = [
  "reported", "unknown", "no-consent", "clock-not-set", "budget-spent", "expired", "not-rotated-in", "answered-by-device",
  "text-length", "unfit",
] as const;
const OUTCOMES = [
  undefined, "delivered", "refused", "too-large", "unreachable", "timed-out", "redirected", "limited", "failed",
  "key-refused", "not-a-collector",
] as const;
const TURNS = ["opt-in", "opt-out", "reset", "flush", "advance", "start-timer"] as const;
const TAKEN = ["unchanged", "changed", "unusable"] as const;

/** Refusals that only a client meets. */
const CLIENT_REFUSALS: Refusals = [
  ["bad-catalog", () => "this is no catalog that the program can use: serve the collector's own, and update the older side"],
  ["unreadable-state", () => "the stored state cannot be read"],
  ["newer-state", () => "a newer program wrote the stored state: update this one"],
];

function isPlain(value: unknown): value is PropertyValue {
  return ["boolean", "number", "string"].includes(typeof value);
}

/** A client of the module. */
export class Core {
  readonly #wire = new Wire([...REFUSALS, ...CLIENT_REFUSALS]);

  /** Starts a client in a module of its own. */
  constructor(module: WebAssembly.Module) {
    this.#wire.loadSync(module);
  }

  open(opening: Opening, now: Moment): void {
    if (!CONSENTS.includes(opening.consent)) throw badArgument(`consent must be one of ${CONSENTS.join(", ")}`);
    if (!(opening.delaySeconds >= 0)) throw badArgument(`delaySeconds is ${opening.delaySeconds}, but must be a number from 0`);
    const wire = this.#wire.begin().bytes(opening.catalog).text(opening.key).whole(CONSENTS.indexOf(opening.consent));
    wire.number(1000 * opening.delaySeconds).bytes(opening.stored).whole(Number(opening.keptAside)).bytes(opening.random);
    this.#at(now).call(OPEN);
  }

  track(kind: 0 | 1 | 2, name: string, properties: Properties, now: Moment): Tracked {
    const given = Object.entries(properties).filter(([, value]) => isPlain(value)) as [string, PropertyValue][];
    const wire = this.#wire.begin().whole(kind).text(name).whole(given.length);
    for (const [name, value] of given) {
      wire.text(name);
      this.#value(value);
    }
    return TRACKED[this.#at(now).call(TRACK).readWhole()]!;
  }

  record(metric: string, answer: Answer, now: Moment): Recorded {
    const wire = this.#wire.begin().text(metric);
    if (answer == null) wire.whole(4);
    else if (isPlain(answer)) this.#value(answer);
    else if (Array.isArray(answer)) {
      wire.whole(3).whole(answer.length);
      answer.forEach((name) => wire.text(String(name)));
    } else return "unfit";
    return RECORDED[this.#at(now).call(RECORD).readWhole()]!;
  }

  #value(value: PropertyValue): void {
    const wire = this.#wire;
    if (typeof value === "boolean") wire.whole(0).whole(Number(value));
    else if (typeof value === "number") wire.whole(1).number(value);
    else wire.whole(2).text(value);
  }

  turn(turn: (typeof TURNS)[number], now: Moment, name = ""): void {
    this.#wire.begin().whole(TURNS.indexOf(turn)).text(name);
    this.#at(now).call(TURN);
  }

  stopTimer(name: string, now: Moment): number | undefined {
    this.#wire.begin().whole(TURNS.length).text(name);
    const wire = this.#at(now).call(TURN);
    return wire.readWhole() ? wire.readNumber() : undefined;
  }

  arm(experiment: string): string | undefined {
    return this.#optionalText(this.#wire.begin().text(experiment).call(ARM));
  }

  segment(name: string): string | undefined {
    return this.#optionalText(this.#wire.begin().text(name).call(SEGMENT));
  }

  commit(urgent: boolean, now: Moment): Commit | undefined {
    this.#wire.begin().whole(Number(urgent));
    const wire = this.#at(now).call(COMMIT);
    return wire.readWhole() ? { number: wire.readNumber(), bytes: wire.readBytes() } : undefined;
  }

  /** Tells what became of a commit: 0 where it is durable. */
  written(number: number, error: number, now: Moment): void {
    this.#wire.begin().whole(error).number(number);
    this.#at(now).call(WRITTEN);
  }

  nextUpload(now: Moment): Upload | undefined {
    this.#wire.begin();
    const wire = this.#at(now).call(UPLOAD);
    return wire.readWhole() ? { id: wire.readBytes(), body: wire.readBytes() } : undefined;
  }

  finishUpload(id: Uint8Array, reply: Reply, now: Moment): "delivered" | "dropped" | "split" | "retrying" | "unknown" {
    this.#wire.begin().bytes(id).whole(reply.status).text(reply.retryAfter).bytes(reply.body);
    const finished = this.#at(now).call(FINISH).readWhole();
    return (["delivered", "dropped", "split", "retrying", "unknown"] as const)[finished]!;
  }

  /** When to commit and upload again, in milliseconds since 1970. */
  wakeAt(): number | undefined {
    return this.#optionalNumber(this.#wire.begin().call(WAKE));
  }

  catalog(bytes: Uint8Array, now: Moment): (typeof TAKEN)[number] {
    this.#wire.begin().bytes(bytes);
    return TAKEN[this.#at(now).call(CATALOG).readWhole()]!;
  }

  preview(now: Moment): Preview[] {
    this.#wire.begin();
    const wire = this.#at(now).call(PREVIEW);
    return wire.readList(() => ({
      metric: wire.readText(),
      question: wire.readText(),
      answer: this.#optionalText(wire),
      possible: wire.readList(() => wire.readText()),
      odds: this.#odds(wire),
      epsilonOne: wire.readNumber(),
      epsilonInfinity: wire.readNumber(),
      ends: wire.readWhole() ? wire.readWhole() : undefined,
    }));
  }

  #odds(wire: Wire): Odds {
    const isBits = wire.readWhole();
    const [a, b, count, mostSet] = [wire.readNumber(), wire.readNumber(), wire.readNumber(), wire.readNumber()];
    if (isBits) return { kind: "bits", set: a, unset: b, bits: count, mostSet };
    return { kind: "choice", truth: a, other: b, answers: count };
  }

  ledger(now: Moment): Ledger {
    this.#wire.begin();
    const wire = this.#at(now).call(LEDGER);
    const budget = () => ({ spent: wire.readNumber(), cap: wire.readNumber(), left: wire.readNumber() });
    return {
      metrics: wire.readList(() => ({
        metric: wire.readText(),
        version: wire.readWhole(),
        reports: wire.readNumber(),
        waiting: wire.readNumber(),
        refused: wire.readNumber(),
        thisWeek: wire.readNumber(),
        forLife: wire.readNumber(),
        stoppedBy: ([undefined, "week", "life"] as const)[wire.readWhole()],
      })),
      thisWeek: budget(),
      forLife: budget(),
      reports: wire.readNumber(),
      lostStates: wire.readWhole(),
    };
  }

  status(): CoreStatus {
    const wire = this.#wire.begin().call(STATUS);
    const flag = () => wire.readWhole() === 1;
    const count = () => wire.readNumber();
    return {
      consent: CONSENTS[wire.readWhole()]!,
      begun: (["new", "restored", "anew"] as const)[wire.readWhole()]!,
      clockNotSet: flag(),
      registry: Array.from(wire.readBytes(), (byte) => byte.toString(16).padStart(2, "0")).join(""),
      catalogUnusable: flag(),
      storageFails: flag(),
      commit: count(),
      stateBytes: count(),
      uploads: {
        last: OUTCOMES[wire.readWhole()],
        httpStatus: wire.readWhole(),
        failures: wire.readWhole(),
        retryAt: this.#optionalNumber(wire),
        counted: count(),
        refused: Object.fromEntries(wire.readList(() => [wire.readText(), count()] as const)),
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

  #at([at, offset]: Moment): Wire {
    return this.#wire.number(at).number(offset);
  }

  #optionalText(wire: Wire): string | undefined {
    return wire.readWhole() ? wire.readText() : undefined;
  }

  #optionalNumber(wire: Wire): number | undefined {
    return wire.readWhole() ? wire.readNumber() : undefined;
  }
}
