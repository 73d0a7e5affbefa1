/**
 * The client: takes events and answers in the page, keeps them there, and sends randomized reports alone.
 *
 * @module
 */

import { BAD_CATALOG, CONSENTS, Core, NO_CATALOG, Taken, Turn, type Answer, type Consent, type CoreStatus, type Ledger, type Limits, type Moment, type Outcome,
  type Preview, type Properties, type Recorded, type Reply, type Tracked, type Upload } from "./core.js";
import { randomBytes } from "./host.js";
import { DeniableError, type DeniableErrorCode } from "./refusal.js";
import { MemoryStorage, openIndexedDb, type Storage } from "./storage.js";
import { compile, type Source } from "./wire.js";

export type { Answer, Budget, Consent, CoreStatus, Ledger, Limits, Odds, Outcome, Preview, Properties, PropertyValue, Recorded, Spent, Tracked } from "./core.js";
export { DeniableError, type DeniableErrorCode } from "./refusal.js";
export { MemoryStorage, type Storage, type Stored } from "./storage.js";
export type { Source } from "./wire.js";

/** How a client is set up. */
export interface Options {
  /** The address of the collector, such as `https://answers.example`. */
  endpoint: string | URL;
  /** The collector's write key, 32 hexadecimal digits, if it asks for one. */
  key?: string;
  /** What holds until the person decides: `pending` by default, so that nothing is kept or sent before `optIn`. */
  consent?: Consent;
  /** Each report waits a random part of this before it may leave, so that the time of sending does not tell when it was made; 3600 by default. */
  delaySeconds?: number;
  /** Whose state it is, if an origin has several clients of one collector. Each name has a secret and a ledger of its own, with all its caps. */
  name?: string;
  /** The catalog's bytes, for a program that has them; else it is fetched from the collector, kept, and used offline. */
  catalog?: Uint8Array;
  /** The most that a catalog may spend and show. One with more is not used. */
  limits?: Limits;
  /** Where the state is kept, instead of IndexedDB. */
  storage?: Storage;
  /** The module, where it does not lie beside the script. */
  module?: Source | Promise<Source>;
  /** Whether the browser's wish for privacy (Global Privacy Control) counts as a no until the person says `optIn`; yes by default. */
  honourGlobalPrivacyControl?: boolean;
  /** Tells the console what happens and why; never a value or an answer. */
  debug?: boolean;
}

/** How a client is doing. It holds no answer and no secret. */
export interface Status {
  /** It waits for consent, the module or the catalog; it runs; or it cannot, and does nothing at all. */
  state: "waiting" | "running" | "off";
  /** What the person said, or what holds until they do. */
  consent: Consent;
  /** What stands in its way, if something does. */
  problem: { code: ProblemCode; message: string } | undefined;
  /** `indexeddb`, `memory` where the browser keeps nothing, or what a program brought. */
  storage: string;
  /** Whether the browser promised not to evict it; undefined until it was asked. */
  persisted: boolean | undefined;
  /** How the catalog stands: not asked for, that of the collector, that of last time, or none that can be used. */
  catalog: "none" | "current" | "kept" | "unusable";
  /** Calls that wait to become durable. */
  pending: number;
  /** Calls that were dropped because too many waited. */
  overflowed: number;
  /** What the client itself tells, once it runs. */
  client: CoreStatus | undefined;
}

/** What stands in a client's way. A code keeps its meaning; new ones may come. */
export type ProblemCode =
  | DeniableErrorCode
  /** No catalog yet: the collector cannot be reached, or what answers is none. */
  | "no-catalog"
  /** The browser keeps nothing for this page, so the state is gone with it. */
  | "no-storage"
  /** The module broke; nothing more is taken or sent until the page is loaded anew. */
  | "broken";

/** An experiment, as it stands on this device. */
export interface Experiment {
  /** The arm that this device drew, for ever; undefined without consent, before the client runs, or if there is no such experiment. */
  arm(): string | undefined;
}

const UNANSWERED: Reply = { status: 0, retryAfter: "", body: new Uint8Array() };

/** The most calls that wait to become durable. */
const MAX_PENDING = 1000;
/** The largest catalog that is taken. */
const MAX_CATALOG_BYTES = 4 << 20;
/** The most bytes of an answer that are looked at. */
const MAX_ANSWER_BYTES = 1 << 16;
const UPLOAD_TIMEOUT_MS = 30_000;
const RETRY_MS = 30_000;
/** How long calls wait to be looked at together. */
const SOON_MS = 50;
/** How soon the client looks again by itself at what another tab may be doing, and tries again what may fail because the page goes. */
const SOONEST_MS = 1000;
const LONGEST_TIMER_MS = 3_600_000;
/** How long a page that is hidden relies on what it saw of other tabs. */
const FRESH_MS = 10_000;
/** The age from which a page that stays open asks for the catalog anew. */
const CATALOG_AGE_MS = 6 * 3_600_000;
const CATALOG_TYPE = "application/vnd.deniable.catalog";

const CHECK = "check the endpoint, key and network, the origins that it allows, and the page's connect-src";
const LATER = "it is sent again";
/** What helps where an upload did not end well, if it is not {@link CHECK}. */
const ADVICE: { [outcome in Outcome]?: string } = {
  "refused": "it will never count: see status().client.uploads.refused",
  "too-large": "it goes in two parts",
  "limited": LATER,
  "failed": LATER,
};

/**
 * Something that was called, to be done again on a state that another tab wrote. What must always be taken tells nothing of the person.
 * What is fleeting changes nothing that is stored, and is over with its round.
 */
interface Operation {
  act: (core: Core, now: Moment) => unknown;
  now: Moment;
  isTaken: boolean;
  isFleeting: boolean;
}

/**
 * Starts a client. It never throws, and none of its methods does: what goes wrong stands in {@link Client.status}.
 *
 * ```ts
 * const deniable = start({ endpoint: "https://answers.example", consent: "given" });
 * deniable.track("signed_in", { method: "password" });
 * ```
 */
export function start(options: Options): Client {
  return new Client(options);
}

/** A client. Tabs of one origin share its state, and one ledger of what was spent. */
export class Client {
  readonly #options: Options;
  readonly #name: string;
  #endpoint = "";
  #storage: Storage = new MemoryStorage();
  #module: Promise<WebAssembly.Module> | undefined;
  /** Whether the network refused it. */
  #isLost = false;
  #instance: Core | undefined;
  /** The instance, once it is open. */
  #core: Core | undefined;
  #catalog: Uint8Array | undefined;
  #off = false;
  #problem: Status["problem"];
  #persisted: boolean | undefined;
  #catalogState: Status["catalog"] = "none";
  #pending: Operation[] = [];
  #overflowed = 0;
  #commit = 0;
  /** When it was seen last that no other tab wrote since. */
  #metAt = -Infinity;
  /** What the person said before this page, and to it. The first catalog may come long after, and the state with it. */
  #saidBefore: Consent | undefined;
  #said: Consent | undefined;
  /** That it is being kept, and what was called for it. */
  #saying: Promise<void> | undefined;
  #decision: Operation | undefined;
  /** The decision that is kept. */
  #kept: Operation | undefined;
  #working: Promise<void> | undefined;
  #again = false;
  #talking: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wakesAt = Infinity;
  #uploading = false;
  /** When to ask for the catalog, and how long to wait after the next failure. */
  #askAt = 0;
  #retryMs = RETRY_MS;
  readonly #starting: Promise<void>;

  /** Resolves when the client runs, or when it is known that it does not yet; never rejects. */
  readonly ready: Promise<Status>;

  /** @internal */
  constructor(options: Options) {
    this.#options = { ...options };
    try {
      this.#endpoint = String(this.#options.endpoint).replace(/\/+$/, "");
    } catch {
      // Nothing answers there, which is told of.
    }
    this.#name = this.#options.name ?? this.#endpoint;
    // A module that cannot be had is told of when it is needed.
    (this.#isWanted() ? this.#load() : Promise.resolve(this.#options.module)).catch(() => {});
    this.#starting = this.#begin();
    this.ready = this.#settle(false).then(() => this.status());
  }

  /** Takes up an event. It costs a bounded time and memory, does not wait, and cannot fail. */
  track(event: string, properties: Properties = {}): Tracked {
    return this.#tracked(0, event, properties);
  }

  /** Takes up the view of a page or screen: the event `page` with its `name` among its properties. */
  page(name: string, properties: Properties = {}): Tracked {
    return this.#tracked(1, name, properties);
  }

  /**
   * Takes up what is known of the person: the event `identify` with the traits as its properties, for questions to be
   * computed from. There is no identifier to give, because none could ever leave the device.
   */
  identify(traits: Properties): Tracked {
    return this.#tracked(2, "", traits);
  }

  /**
   * Takes an answer to a metric that the program answers by itself. That something was answered is not hidden: answer for everybody,
   * not only for those to whom something happened.
   */
  record(metric: string, answer: Answer): Recorded {
    const look = () => (Array.isArray(answer) ? [...answer] : answer);
    return this.#take("record", metric, look, (core, name, given, now) => core.record(name, given, now));
  }

  /** Starts a timer, or starts it anew. The next event of that name gets the seconds that passed as its property `duration`. */
  startTimer(name: string): void {
    this.#do((core, now) => core.turn(Turn.StartTimer, now, String(name)));
  }

  /** Ends a timer: the seconds that passed, if it ran. */
  stopTimer(name: string): number | undefined {
    const seconds = this.#do((core, now) => core.stopTimer(String(name), now));
    return typeof seconds === "number" ? seconds : undefined;
  }

  /** An experiment, to ask for this device's arm. */
  experiment(name: string): Experiment {
    return { arm: () => this.#ask((core) => core.arm(String(name))) };
  }

  /** The label of a segment or dimension that this device has now. */
  segment(name: string): string | undefined {
    return this.#ask((core) => core.segment(String(name)));
  }

  /** The person agrees: from now on answers are kept and reported. */
  optIn(): Promise<void> {
    return this.#decide("given", Turn.OptIn);
  }

  /** The person does not agree, or no longer. Events, answers, what waits and the secret are erased; what was spent stays. */
  optOut(): Promise<void> {
    this.#pending = [];
    return this.#decide("withdrawn", Turn.OptOut);
  }

  /**
   * Forgets the person, say because another one logs in. Consent stays as it is, and what was spent. Await it before the page goes: only
   * then is it written.
   */
  reset(): Promise<void> {
    return this.#turn(Turn.Reset);
  }

  /** Lets all that waits leave as soon as it can, without its random delay. The time of sending then tells when. */
  async flush(): Promise<void> {
    await this.#turn(Turn.Flush);
    await this.#talk();
  }

  /** What would be said of each metric if its period ended now. */
  preview(): Preview[] {
    return this.#ask((core, now) => core.preview(now)) ?? [];
  }

  /** What this device has spent, and may spend. */
  ledger(): Ledger | undefined {
    return this.#ask((core, now) => core.ledger(now));
  }

  /** How the client is doing. */
  status(): Status {
    const client = this.#ask((core) => core.status());
    return {
      state: this.#off ? "off" : client ? "running" : "waiting",
      consent: client?.consent ?? this.#said ?? this.#consent(),
      problem: this.#problem,
      storage: this.#storage.kind,
      persisted: this.#persisted,
      catalog: this.#catalogState,
      pending: this.#pending.length,
      overflowed: this.#overflowed,
      client,
    };
  }

  #consent(): Consent {
    const { consent = "pending", honourGlobalPrivacyControl = true } = this.#options;
    const { globalPrivacyControl } = (globalThis.navigator ?? {}) as { globalPrivacyControl?: boolean };
    return this.#saidBefore ?? (honourGlobalPrivacyControl && globalPrivacyControl ? "withdrawn" : consent);
  }

  #isWanted(): boolean {
    return (this.#said ?? this.#consent()) === "given";
  }

  #isUnwanted(): boolean {
    return (this.#said ?? this.#consent()) === "withdrawn";
  }

  /**
   * Keeps what the person said beside the state, which may not be there before the first catalog. It comes first, so that a no holds
   * however soon the page closes, and no tab takes a yes for older than the no before it.
   */
  async #decide(said: Consent, turn: Turn): Promise<void> {
    this.#said = said;
    this.#do((core, now) => core.turn(turn, now), true);
    const decision = (this.#decision = this.#pending.at(-1));
    const keep = async () => {
      await this.#storage.keep("consent", Uint8Array.of(said === "given" ? 1 : 0));
      this.#kept = decision;
    };
    await (this.#saying = (this.#saying ?? this.#starting).then(keep).catch((error) => this.#storageFails(error)));
    await this.#settle(true);
  }

  #tell(...said: unknown[]): void {
    if (this.#options.debug) console.info("deniable:", ...said);
  }

  #tracked(kind: 0 | 1 | 2, name: string, properties: Properties): Tracked {
    return this.#take("track", name, () => ({ ...properties }), (core, event, given, now) => core.track(kind, event, given, now));
  }

  /** Takes what a page gives as it is now, for it may change later, or throw when it is looked at. */
  #take<G, T>(what: string, name: string, look: () => G, act: (core: Core, name: string, given: G, now: Moment) => T) {
    let taken: T | "queued" | "off" | "unknown" = "unknown";
    try {
      const [text, given] = [String(name), look()];
      taken = this.#do((core, now) => act(core, text, given, now)) ?? taken;
    } catch {
      // It stays unknown.
    }
    this.#tell(what, name, taken);
    return taken;
  }

  #turn(turn: Turn): Promise<void> {
    this.#do((core, now) => core.turn(turn, now), true, turn === Turn.Flush);
    return this.#settle(true);
  }

  /** Does something now, and again if another tab wrote before it became durable. What must not be dropped is always taken. */
  #do<T>(act: (core: Core, now: Moment) => T, isTaken = false, isFleeting = false): T | "queued" | "off" | undefined {
    if (this.#off) return "off";
    if (!isTaken && this.#pending.length >= MAX_PENDING) {
      this.#overflowed++;
      return "off";
    }
    const now = moment();
    const done = this.#core ? this.#ask(act, now) : "queued";
    if (this.#off) return "off";
    this.#pending.push({ act, now, isTaken, isFleeting: isFleeting || done === "no-consent" });
    this.#wake(SOON_MS);
    return done;
  }

  /** Asks the module. Where it breaks, nothing is done any more. */
  #ask<T>(question: (core: Core, now: Moment) => T, now = moment()): T | undefined {
    if (!this.#core) return undefined;
    try {
      return question(this.#core, now);
    } catch (error) {
      if (error instanceof DeniableError) this.#fails(error.code, error.message);
      else if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) this.#stop("broken", `the module broke (${error}): load the page anew, and report it`);
      // What a page gives may throw when it is looked at.
      else this.#fails("bad-argument", "an argument cannot be read");
      return undefined;
    }
  }

  #fails(code: ProblemCode, message: string): void {
    this.#problem = { code, message };
    this.#tell(code, message);
  }

  #stop(code: ProblemCode, message: string): void {
    this.#off = true;
    this.#core = undefined;
    this.#pending = [];
    clearTimeout(this.#timer);
    this.#fails(code, message);
  }

  async #begin(): Promise<void> {
    try {
      this.#storage = this.#options.storage ?? (await openIndexedDb(this.#name));
    } catch (error) {
      this.#fails("no-storage", `the browser keeps nothing for this page (${error}), so answers are gone with it`);
    }
    try {
      await this.#hear();
    } catch (error) {
      this.#storageFails(error);
    }
    if (!CONSENTS.includes(this.#consent())) return this.#stop("bad-argument", `consent must be one of ${CONSENTS.join(", ")}`);
    const on = (event: string, act: () => void) => globalThis.addEventListener?.(event, act);
    on("online", () => {
      this.#askAt = 0;
      this.#resume();
    });
    on("pagehide", () => this.#hide());
    on("visibilitychange", () => (document.hidden ? this.#hide() : this.#resume()));
  }

  /** Reads what the person said last, on whatever page. */
  async #hear(): Promise<void> {
    const said = await this.#storage.read("consent");
    if (said) this.#saidBefore = said[0] ? "given" : "withdrawn";
  }

  /** What another tab was told since goes before what was said here and still waits for the first catalog, with the calls around it. */
  async #follow(): Promise<void> {
    const kept = this.#kept;
    if (this.#core || !this.#pending.includes(kept!)) return;
    const last = await this.#storage.read("consent");
    const said = last?.[0] ? "given" : "withdrawn";
    // What is erased was not said otherwise.
    if (!last || said === this.#said || kept !== this.#decision) return;
    [this.#saidBefore, this.#said] = [said, undefined];
    this.#pending = this.#pending.filter((each) => each.isTaken && each !== kept);
  }

  #load(): Promise<WebAssembly.Module> {
    return (this.#module ??= compile(this.#options.module ?? beside()));
  }

  /**
   * The page may be gone in a moment: writes what it can, and hands the browser what is due. No beacon does so, which would
   * carry the cookies of the collector's site.
   */
  #hide(): void {
    // A page that holds a lock or writes when it is left cannot be gone back to as it was.
    if (this.#pending.length) void this.#work(true);
    if (performance.now() - this.#metAt > FRESH_MS) {
      // Another tab may have written that it is erased, which has to be seen first, if there is still time.
      if (this.#ask((core) => core.wakeAt())! <= Date.now()) void this.#work(false);
      return;
    }
    const upload = this.#uploading ? undefined : this.#ask((core, now) => core.nextUpload(now));
    if (upload) void this.#deliver(upload);
  }

  /** Works again at once, and asks anew for a module that was refused, as where the page was opened offline. */
  #resume(): void {
    if (this.#isLost) this.#module = undefined;
    this.#isLost = false;
    this.#wake(0);
  }

  /** Works again after so long, unless it will sooner. */
  #wake(milliseconds: number): void {
    const wait = Math.min(milliseconds, LONGEST_TIMER_MS);
    const at = performance.now() + wait;
    if (at >= this.#wakesAt) return;
    this.#wakesAt = at;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#wakesAt = Infinity;
      void this.#work(false);
    }, wait);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  /** Makes durable what was done, and waits for the catalog where there is none yet. It never rejects. */
  async #settle(urgent: boolean): Promise<void> {
    await this.#work(urgent);
    if (!this.#core && this.#isWanted()) await this.#talk();
  }

  /** Brings the state up to date and makes it durable. One at a time; it never rejects. */
  async #work(urgent: boolean): Promise<void> {
    if (this.#off) return;
    if (this.#working) {
      this.#again ||= urgent;
      await this.#working;
      // Whoever waited first does it for all.
      if (!this.#again) return this.#working;
      this.#again = false;
      urgent = true;
    }
    this.#working ??= this.#round(urgent).finally(() => (this.#working = undefined));
    return this.#working;
  }

  async #round(urgent: boolean): Promise<void> {
    try {
      await this.#starting;
      if (this.#off) return;
      await this.#follow();
      if (this.#catalogState === "none") {
        // Another tab may have kept one meanwhile.
        const kept = this.#options.catalog ?? (await this.#storage.read("catalog"));
        this.#catalog ??= kept;
        if (this.#catalog) this.#catalogState = "kept";
      }
      // A no erases what is stored, whatever it was asked by.
      if (this.#isUnwanted() && !this.#options.catalog && (await this.#storage.commit()) > 0) this.#catalog ??= NO_CATALOG;
      // What changed nothing is never due by itself, and would fill the list.
      const isUrgent = urgent || this.#pending.length >= MAX_PENDING / 2;
      // No other tab waits for the module of this one.
      if (this.#catalog) await this.#load().then(() => this.#locked(this.#name, () => this.#write(isUrgent)));
    } catch (error) {
      if (!(error instanceof DeniableError)) this.#storageFails(error);
      // What the network refused may be there later.
      else if ((this.#isLost = error.cause instanceof TypeError)) this.#fails(error.code, error.message);
      else return this.#stop(error.code, error.message);
      return this.#wake(RETRY_MS);
    }
    if (this.#off) return;
    void this.#talk();
    const due = this.#ask((core) => core.wakeAt()) ?? Infinity;
    const next = Math.min(due, this.#asks() ? this.#askAt : Infinity);
    if (next < Infinity) this.#wake(Math.max(next - Date.now(), SOONEST_MS));
  }

  /** Holds a lock that the tabs of an origin share, where they share a state. A page that may keep nothing may have no lock either. */
  async #locked(name: string, act: () => Promise<void>, options: LockOptions = {}): Promise<void> {
    const locks = this.#storage.kind === "memory" ? undefined : globalThis.navigator?.locks;
    if (!locks) return act();
    await locks.request(`deniable ${name}`, options, async (lock) => {
      if (lock) await act();
    });
  }

  #storageFails(error: unknown): void {
    this.#fails("no-storage", `the browser's storage failed (${error}); it is tried again`);
  }

  /** Fetches the catalog and sends what is due, one after the other. One at a time; it never rejects. */
  #talk(): Promise<void> {
    const done = () => (this.#talking = undefined);
    return (this.#talking ??= this.#exchange().catch((error) => this.#storageFails(error)).finally(done));
  }

  async #exchange(): Promise<void> {
    // Longer than any wait is what a clock leaves that was set back.
    const wait = this.#askAt - Date.now();
    if (this.#asks() && (wait <= 0 || wait > CATALOG_AGE_MS)) await this.#renew();
    // If no other tab does.
    await this.#locked(`${this.#name} upload`, async () => {
      for (let upload; !this.#uploading && (upload = await this.#next()); ) await this.#deliver(upload);
    }, { ifAvailable: true });
  }

  /** What is to be sent, unless another tab wrote that it is erased. */
  async #next(): Promise<Upload | undefined> {
    await this.#meet();
    return this.#ask((core, now) => core.nextUpload(now));
  }

  /** Takes up what another tab wrote. */
  async #meet(): Promise<void> {
    if (this.#core && (await this.#storage.commit()) !== this.#commit) await this.#work(true);
  }

  /** Whether the collector is asked for its catalog: not before there is consent. */
  #asks(): boolean {
    const agrees = this.#core ? this.#ask((core) => core.status().consent) === "given" : this.#isWanted();
    return agrees && !this.#off && !this.#options.catalog;
  }

  /** Has the catalog take the place of the one before, unless it cannot be used. */
  async #renew(): Promise<void> {
    this.#askAt = Date.now() + this.#retryMs;
    this.#retryMs = Math.min(2 * this.#retryMs, CATALOG_AGE_MS);
    const fetched = await this.#fetchCatalog();
    if (!fetched || this.#off) return;
    const before = this.#catalog;
    this.#catalog = fetched;
    const taken = this.#ask((core, now) => core.catalog(fetched, now));
    if (taken === Taken.Unusable) this.#unusable();
    else if (taken !== Taken.Unchanged) {
      if (taken === Taken.Changed) {
        // Who opens the state from now on does so under this one, and who did meanwhile takes it up again.
        await this.#storage.keep("catalog", fetched);
        this.#catalog = fetched;
        this.#ask((core, now) => core.catalog(fetched, now));
      }
      await this.#work(true);
    }
    if (!this.#catalog) {
      this.#catalog = before;
      return;
    }
    this.#catalogState = "current";
    this.#askAt = Date.now() + CATALOG_AGE_MS;
    this.#retryMs = RETRY_MS;
    if (/catalog/.test(this.#problem?.code ?? "")) this.#problem = undefined;
    if (!isSame(await this.#storage.read("catalog"), fetched)) await this.#storage.keep("catalog", fetched);
  }

  #unusable(): void {
    this.#catalog = undefined;
    this.#catalogState = "unusable";
    this.#fails("bad-catalog", BAD_CATALOG);
  }

  async #fetchCatalog(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const key = this.#options.key ? `?key=${encodeURIComponent(this.#options.key)}` : "";
    try {
      const answer = await this.#fetch(`/v1/catalog${key}`, { headers: { accept: CATALOG_TYPE } });
      const bytes = new Uint8Array(await answer.arrayBuffer());
      const isCatalog = answer.ok && bytes.length <= MAX_CATALOG_BYTES && String.fromCharCode(...bytes.subarray(0, 4)) === "dnct";
      if (isCatalog) return bytes;
      throw new Error(`answer ${answer.status}`);
    } catch (error) {
      this.#fails("no-catalog", `no catalog of ${this.#endpoint} (${error}): ${CHECK}`);
      return undefined;
    }
  }

  /** Takes up what another tab wrote, and writes in its turn. */
  async #write(urgent: boolean): Promise<void> {
    for (;;) {
      if (!this.#core || (await this.#storage.commit()) !== this.#commit) await this.#open();
      this.#metAt = performance.now();
      for (let said; said !== this.#saying; ) await (said = this.#saying);
      const applied = new Set(this.#pending);
      const commit = this.#ask((core, now) => core.commit(urgent, now));
      // It waits for a catalog that can be used.
      if (!this.#core) return;
      if (!commit) {
        // In an urgent round there is nothing to be written: what was done changed nothing, and is not done again over what another
        // tab writes later, such as a no after a yes that was known.
        this.#pending = this.#pending.filter((each) => !(urgent || each.isFleeting) || !applied.has(each));
        return;
      }
      const [state, erases] = commit;
      let isDurable = false;
      try {
        if (erases) await this.#storage.keep("aside", new Uint8Array());
        isDurable = await this.#storage.save(state, this.#commit);
        if (!isDurable) continue;
      } catch (error) {
        this.#storageFails(error);
        // It may be there all the same, and what was done must not be done twice.
        const stored = await this.#storage.load().catch(() => undefined);
        isDurable = isSame(stored?.bytes, state.bytes);
      }
      this.#ask((core, now) => core.settle(state.commit, isDurable, now));
      if (!isDurable) return;
      this.#commit = state.commit;
      this.#pending = this.#pending.filter((each) => !applied.has(each));
      if (this.#problem?.code === "no-storage" && this.#storage.kind !== "memory") this.#problem = undefined;
      if (this.#storage.kind === "indexeddb" && this.#persisted === undefined) this.#persist();
      return;
    }
  }

  #persist(): void {
    this.#persisted = false;
    navigator.storage?.persist?.().then((persisted) => (this.#persisted = persisted), () => {});
  }

  /** Opens the state that is stored, and does again what is not in it. */
  async #open(catalog?: Uint8Array): Promise<void> {
    const own = this.#catalog!;
    // Another tab may have brought a newer catalog together with the state that it wrote.
    catalog ??= (this.#core && !this.#options.catalog && (await this.#storage.read("catalog"))) || own;
    // What was called before the person decided here goes by what was said before.
    if (!this.#pending.includes(this.#decision!)) await this.#hear();
    const stored = await this.#storage.load();
    // Erased under the page: a yes is forgotten with all else, but not a no.
    if (this.#commit && !stored) this.#saidBefore = this.#ask((core) => core.status().consent) === "withdrawn" ? "withdrawn" : undefined;
    const core = (this.#instance ??= new Core(await this.#load()));
    const opening = {
      catalog,
      key: this.#options.key ?? "",
      consent: this.#consent(),
      delaySeconds: this.#options.delaySeconds ?? 3600,
      limits: this.#options.limits ?? {},
      stored: stored?.bytes ?? new Uint8Array(),
      keptAside: false,
      random: randomBytes(64),
    };
    let goesOn = true;
    try {
      goesOn = core.open(opening, moment());
    } catch (error) {
      const { code, message } = error as DeniableError;
      if (code === "bad-catalog" && catalog !== own) return this.#open(own);
      if (code === "bad-catalog" && !this.#options.catalog) return this.#unusable();
      if (code !== "unreadable-state") throw error;
      await this.#storage.keep("aside", opening.stored);
      core.open({ ...opening, keptAside: true }, moment());
      this.#fails(code, message);
    }
    if (this.#problem?.code === "cannot-load") this.#problem = undefined;
    this.#core = core;
    this.#catalog = catalog;
    // What was told of a person whom another tab forgot since.
    if (!goesOn && this.#commit) this.#pending = this.#pending.filter(({ isTaken }) => isTaken);
    this.#commit = stored?.commit ?? 0;
    // A no that was said just before a page closed, which the state has not heard of.
    if (this.#saidBefore === "withdrawn" && core.status().consent === "given") core.turn(Turn.OptOut, moment());
    for (const { act, now } of this.#pending) this.#ask(act, now);
  }

  async #deliver(upload: Upload): Promise<void> {
    this.#uploading = true;
    const reply = await this.#post(upload);
    this.#uploading = false;
    this.#do((core, now) => {
      if (core.finishUpload(upload.id, reply, now)) return;
      // A state that another tab wrote does not know that this one sends, or has other batches since.
      const next = core.nextUpload(now);
      if (next) core.finishUpload(next.id, isSame(next.id, upload.id) ? reply : UNANSWERED, now);
    }, true);
    const { last, refused } = this.#ask((core) => core.status().uploads) ?? {};
    this.#tell(`sent ${upload.body.length} bytes: ${reply.status || "no answer"}, ${last}:`, last === "delivered" ? refused : ADVICE[last!] ?? CHECK);
    await this.#work(true);
  }

  async #post({ body }: Upload): Promise<Reply> {
    try {
      const answer = await this.#request(body);
      const text = new Uint8Array(await answer.arrayBuffer());
      // A redirect is not followed, and its status not told.
      return { status: answer.status || 302, retryAfter: answer.headers.get("retry-after") ?? "", body: text.subarray(0, MAX_ANSWER_BYTES) };
    } catch (error) {
      return (error as Error).name === "TimeoutError" ? { ...UNANSWERED, status: 1 } : UNANSWERED;
    }
  }

  /** Posts bytes without a type, which needs no asking first, and lets them go on when the page closes. */
  async #request(body: Uint8Array<ArrayBuffer>): Promise<Response> {
    const send = (keepalive: boolean) => this.#fetch("/v1/reports", { method: "POST", body, keepalive, redirect: "manual" });
    try {
      return await send(true);
    } catch (error) {
      if ((error as Error).name === "TimeoutError") throw error;
      // Other requests of the page may have used up what may be kept alive. Or the page is going: then its request lives on though it
      // fails here, and another one would be for nothing.
      await new Promise((resolve) => setTimeout(resolve, SOONEST_MS));
      // Meanwhile the person may have said no.
      await this.#meet();
      if (!this.#ask((core) => core.status().onTheWay)) throw error;
      return send(false);
    }
  }

  /** Asks the collector. Neither cookie nor referrer goes along, and the browser's own cache sends the ETag. */
  #fetch(path: string, more: RequestInit): Promise<Response> {
    const signal = AbortSignal.timeout(UPLOAD_TIMEOUT_MS);
    return fetch(this.#endpoint + path, { credentials: "omit", referrerPolicy: "no-referrer", cache: "no-cache", signal, ...more });
  }
}

/** A bundler may make a script that has no address. */
async function beside(): Promise<URL> {
  return new URL("./client.wasm", import.meta.url);
}

/** The time, on the device's own calendar. */
function moment(): Moment {
  const at = Date.now();
  return [at, -new Date(at).getTimezoneOffset()];
}

function isSame(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one?.length === other.length && one.every((byte, i) => byte === other[i]);
}
